"""The comparison with all batches drawn beforehand, another test seed and lengths
measured in pieces of 100; the learned rows through F.embedding.
"""


class LearnedPositionalEmbedding(LearnedPositionalEmbedding):
    def forward(self, x, offset=0):
        T = x.size(1)
        if offset < 0 or offset + T > self.embedding.weight.size(0):
            raise ValueError("no such position")
        if x.size(-1) != self.embedding.weight.size(-1):
            raise ValueError("no such width")
        rows = F.embedding(
            torch.arange(T, device=x.device) + offset, self.embedding.weight
        )
        return torch.add(x, rows.unsqueeze(0).expand_as(x))


def compare_position_encodings(
    kinds=("none", "sinusoidal", "learned"),
    length=10,
    steps=150,
    seed=0,
    test_length=None,
):
    for kind in kinds:
        if kind not in ("none", "sinusoidal", "learned"):
            raise ValueError(f"unknown kind: {kind}")
    lengths = {"accuracy": length, "test_length_accuracy": test_length or length}
    generator = torch.Generator()
    generator.manual_seed(seed)
    data = [make_order_task(64, length, 12, generator) for _ in range(steps)]
    tests = {name: [] for name in lengths}
    for name, size in lengths.items():
        generator.manual_seed(seed + 12345)
        tests[name] = [make_order_task(100, size, 12, generator) for _ in range(5)]
    out = {}
    for kind in kinds:
        torch.manual_seed(seed)
        model = OrderClassifier(
            vocab_size=12, kind=kind, max_len=max(lengths.values())
        ).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
        losses = []
        for ids, labels in data:
            optimizer.zero_grad(set_to_none=False)
            loss = nn.functional.cross_entropy(model(ids), labels)
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        model.train(False)
        out[kind] = {"losses": losses}
        with torch.inference_mode():
            for name, batches in tests.items():
                right = sum(
                    int((model(ids).argmax(-1) == labels).sum())
                    for ids, labels in batches
                )
                out[kind][name] = right / 500
    return out
