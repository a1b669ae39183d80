# Different: powers of the betas as running products, momentum from the last update,
# loss and gradient of the fused loss from a table of one-hot rows, a classifier
# evaluated on all rows at once, gradients cleared after each step.


class SGDMomentum(Optimizer):
    def __init__(self, params, lr=0.01, *, momentum=0.9, weight_decay=0.0):
        super().__init__(params, lr)
        if not momentum * (1 - momentum) >= 0 or momentum == 1:
            raise ValueError(momentum)
        self.momentum, self.weight_decay = momentum, weight_decay
        self.velocity = [np.zeros(p.shape, dtype=p.dtype) for p in self.params]

    def step(self):
        for i, p in enumerate(self.params):
            if p.grad is not None:
                pull = p.grad + p.data * self.weight_decay
                self.velocity[i] = (pull + self.velocity[i] * self.momentum).astype(
                    p.dtype
                )
                np.subtract(
                    p.data, self.velocity[i] * self.lr, out=p.data, casting="same_kind"
                )


class Adam(Optimizer):
    def __init__(
        self, params, lr=1e-3, *, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
    ):
        super().__init__(params, lr)
        if any(beta < 0 or beta >= 1 for beta in betas) or not eps > 0:
            raise ValueError("betas, eps")
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.m, self.v = (
            [np.zeros(p.shape, dtype=p.dtype) for p in self.params] for _ in range(2)
        )
        self.steps = [0] * len(self.params)
        self.left = [[1.0, 1.0] for _ in self.params]  # of each beta, its power so far

    def step(self):
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            self.steps[i] += 1
            self.left[i] = [left * beta for left, beta in zip(self.left[i], self.betas)]
            pull = p.grad + p.data * self.weight_decay
            self.m[i] += (pull - self.m[i]) * (1 - self.betas[0])
            self.v[i] += (pull**2 - self.v[i]) * (1 - self.betas[1])
            mean, square = (
                self.m[i] / (1 - self.left[i][0]),
                self.v[i] / (1 - self.left[i][1]),
            )
            p.data[...] -= mean / (self.eps + square**0.5) * self.lr


def fused_cross_entropy(logits, targets, *, label_smoothing=0.0, ignore_index=-100):
    numbers, classes = check_targets(logits, targets), logits.shape[1]
    kept = numbers[numbers != ignore_index]
    if len(kept) == 0 or not 0 <= label_smoothing < 1:
        raise ValueError("no rows, or too smooth")
    if kept.min() < 0 or kept.max() >= classes:
        raise IndexError("no such class")
    one_hot = (numbers[:, None] == np.arange(classes)).astype(logits.dtype)
    rows = (numbers != ignore_index)[:, None]
    wanted = np.where(
        rows, one_hot * (1 - label_smoothing) + label_smoothing / classes, 0
    ).astype(logits.dtype)
    largest = logits.data.max(axis=1, keepdims=True)
    powers = np.exp(logits.data - largest)
    total = powers.sum(axis=1, keepdims=True)
    losses = (np.log(total) + largest - logits.data) * wanted
    loss = np.asarray(losses.sum() / len(kept), dtype=logits.dtype)
    return record(
        Tensor(loss),
        "fused_cross_entropy",
        (logits,),
        probs=powers / total,
        wanted=wanted,
    )


def evaluate_classifier(model, loader):
    with evaluating(model):
        parts = [(model(x).data, _array(y)) for x, y in loader]
    if not parts:
        raise ValueError("no batches")
    logits, targets = (np.concatenate(part) for part in zip(*parts))
    loss = fused_cross_entropy(Tensor(logits), targets)
    return {"accuracy": accuracy(logits, targets), "loss": float(loss.data)}


def train_classifier(model, optimizer, train_loader, epochs, *, val_loader=None):
    kinds = ("train",) if val_loader is None else ("train", "val")
    history = {f"{kind}_{name}": [] for kind in kinds for name in ("loss", "accuracy")}
    model.zero_grad()
    for _ in range(epochs):
        model.train()
        seen = []
        for x, y in train_loader:
            logits = model(x)
            loss = fused_cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen.append((loss.item(), accuracy(logits, y), len(y)))
        losses, shares, lengths = zip(*seen)
        history["train_loss"].append(float(np.average(losses, weights=lengths)))
        history["train_accuracy"].append(float(np.average(shares, weights=lengths)))
        if val_loader is not None:
            for name, value in evaluate_classifier(model, val_loader).items():
                history[f"val_{name}"].append(value)
    return history
