# Clipping by hand, gradients cleared through the model, rows drawn one by one, accuracy
# counted in chunks.


def train_classifier(
    model,
    ids,
    labels,
    key_padding_mask=None,
    steps=100,
    batch_size=64,
    lr=3e-3,
    generator=None,
):
    before = model.training
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr)
    losses, right = [], 0
    try:
        for _ in range(steps):
            model.train()
            rows = torch.tensor(
                [
                    int(torch.randint(0, ids.shape[0], (), generator=generator))
                    for _ in range(batch_size)
                ]
            )
            if key_padding_mask is None:
                logits = model(ids[rows])
            else:
                logits = model(
                    ids[rows], key_padding_mask=key_padding_mask.index_select(0, rows)
                )
            loss = -logits.log_softmax(-1).gather(1, labels[rows][:, None]).mean()
            model.zero_grad()
            loss.backward()
            grads = [p.grad for p in parameters if p.grad is not None]
            norm = float(torch.stack([g.square().sum() for g in grads]).sum().sqrt())
            if norm > 1:
                for g in grads:
                    g.div_(norm)
            losses.append(float(loss.detach()))
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            for chunk in torch.arange(len(ids)).split(100):
                mask = None if key_padding_mask is None else key_padding_mask[chunk]
                right += int((model(ids[chunk], mask).argmax(1) == labels[chunk]).sum())
    finally:
        model.train(before)
    return {"accuracy": right / len(ids), "losses": losses}
