"""Bernoulli masks by hand, h and c in dicts by layer, a loss from log probabilities,
clipping as arithmetic.
"""


def dropout_numpy(x, keep_mask, p):
    y = x.copy()
    y[~keep_mask] = 0
    y /= 1 - p
    return y


class RegularizedLSTM(nn.Module):
    def __init__(
        self, vocab_size, hidden_size, num_layers=2, p=0.0, where="non_recurrent"
    ):
        super().__init__()
        if not (0 <= p < 1 and where in {"recurrent", "non_recurrent"}):
            raise ValueError(f"p = {p}, where = {where}")
        self.hidden_size, self.p, self.where = hidden_size, p, where
        self.embed = nn.Embedding(vocab_size, hidden_size)
        self.cells = nn.ModuleList()
        for _ in range(num_layers):
            self.cells.append(nn.LSTMCell(hidden_size, hidden_size))
        self.head = nn.Linear(hidden_size, vocab_size)

    def drop(self, x, place):
        if not self.training or place != self.where or self.p == 0:
            return x
        return x * (torch.rand_like(x) >= self.p) / (1 - self.p)

    def forward(self, ids, state=None):
        layers = range(len(self.cells))
        if state is None:
            state = [
                self.embed.weight.new_zeros(2, ids.shape[0], self.hidden_size)
                for _ in layers
            ]
        h = {layer: state[layer][0] for layer in layers}
        c = {layer: state[layer][1] for layer in layers}
        rows = []
        for symbols in ids.T:
            x = self.embed(symbols)
            for layer in layers:
                old = self.drop(h[layer], "recurrent")
                h[layer], c[layer] = self.cells[layer](
                    self.drop(x, "non_recurrent"), (old, c[layer])
                )
                x = h[layer]
            rows.append(self.head(self.drop(x, "non_recurrent")))
        return torch.stack(rows).transpose(0, 1), [
            (h[layer], c[layer]) for layer in layers
        ]


def perplexity(model, ids):
    mode = model.training
    with torch.inference_mode():
        logits = model.eval()(ids.view(1, -1)[:, :-1])[0]
    model.train(mode)
    loss = nn.CrossEntropyLoss()(logits.view(len(ids) - 1, -1), ids[1:])
    return float(np.exp(loss.item()))


def train_lm(model, ids, *, steps=200, batch=16, seq_len=20, lr=0.01, generator=None):
    parameters = list(model.train().parameters())
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0)
    losses = []
    while len(losses) < steps:
        inputs, targets = [], []
        for start in torch.randint(
            0, len(ids) - seq_len, (batch,), generator=generator
        ).tolist():
            inputs.append(ids[start : start + seq_len])
            targets.append(ids[start + 1 : start + seq_len + 1])
        logits, _ = model(torch.stack(inputs))
        loss = (
            -logits.log_softmax(-1).gather(-1, torch.stack(targets)[..., None]).mean()
        )
        gradients = torch.autograd.grad(loss, parameters)
        norm = torch.stack([g.norm() for g in gradients]).norm()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient / max(1.0, norm.item())
        optimizer.step()
        losses.append(loss.detach().item())
    return losses
