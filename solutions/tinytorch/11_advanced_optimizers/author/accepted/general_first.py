# Different: one base class for both optimizers, probabilities in the rule computed anew
# from the logits, the loss from module 06's log_softmax on data without a graph.
from tinytorch.losses import log_softmax


class _Stateful(Optimizer):
    def step(self):
        for i, p in enumerate(self.params):
            if p.grad is not None:
                g = np.array(p.grad)
                g += self.weight_decay * p.data
                p.data -= (self.lr * self.direction(i, g)).astype(p.dtype)


class SGDMomentum(_Stateful):
    def __init__(self, params, lr=0.01, *, momentum=0.9, weight_decay=0.0):
        super().__init__(params, lr)
        if momentum >= 1 or momentum < 0:
            raise ValueError("momentum")
        self.momentum, self.weight_decay = momentum, weight_decay
        self.velocity = list(map(np.zeros_like, (p.data for p in self.params)))

    def direction(self, i, g):
        self.velocity[i] = self.momentum * self.velocity[i] + g
        return self.velocity[i]


class Adam(_Stateful):
    def __init__(
        self, params, lr=1e-3, *, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
    ):
        super().__init__(params, lr)
        if min(betas) < 0 or max(betas) >= 1 or eps <= 0:
            raise ValueError("betas or eps")
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.m = [np.zeros_like(p.data) for p in self.params]
        self.v = [np.zeros_like(p.data) for p in self.params]
        self.steps = [0 for _ in self.params]

    def direction(self, i, g):
        self.steps[i] += 1
        hats = []
        for state, beta, new in (
            (self.m[i], self.betas[0], g),
            (self.v[i], self.betas[1], g * g),
        ):
            state[...] = beta * state + (1 - beta) * new
            hats.append(state / (1 - beta ** self.steps[i]))
        return hats[0] / (self.eps + np.sqrt(hats[1]))


def fused_cross_entropy(logits, targets, *, label_smoothing=0.0, ignore_index=-100):
    numbers, c = check_targets(logits, targets), logits.shape[1]
    if not 0 <= label_smoothing < 1:
        raise ValueError("label_smoothing")
    wanted = []
    for t in numbers.tolist():
        if t != ignore_index and not 0 <= t < c:
            raise IndexError(t)
        wanted.append(
            [0.0] * c
            if t == ignore_index
            else [
                label_smoothing / c + (1 - label_smoothing) * (j == t) for j in range(c)
            ]
        )
    wanted = np.array(wanted, dtype=logits.dtype)
    rows = int((numbers != ignore_index).sum())
    if rows == 0:
        raise ValueError("no rows")
    logs = log_softmax(Tensor(logits.data)).data
    loss = Tensor(
        np.asarray(-np.einsum("nc,nc->", wanted, logs) / rows, dtype=logits.dtype)
    )
    return record(loss, "fused_cross_entropy", (logits,), wanted=wanted, rows=rows)


@backward_rule("fused_cross_entropy")
def fused_cross_entropy_rule(node, grad):
    wanted, rows = node.saved["wanted"], node.saved["rows"]
    e = np.exp(node.inputs[0].data - node.inputs[0].data.max(1, keepdims=True))
    softmax = e / e.sum(1, keepdims=True)
    return (
        np.where(wanted.any(1, keepdims=True), softmax - wanted, 0) * (grad / rows),
    )
