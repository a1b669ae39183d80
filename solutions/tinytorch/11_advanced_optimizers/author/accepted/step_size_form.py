# Different: Adam in the step-size form with eps scaled to match, momentum with
# np.multiply, the loss by logaddexp, whose own gradient is saved, counts by bincount.


class SGDMomentum(Optimizer):
    def __init__(self, params, lr=0.01, *, momentum=0.9, weight_decay=0.0):
        super().__init__(params, lr)
        assert 0 <= momentum < 1
        self.mu, self.decay = momentum, weight_decay
        self.velocity = [0 * p.data for p in self.params]

    def step(self):
        for i in range(len(self.params)):
            p = self.params[i]
            if p.grad is None:
                continue
            self.velocity[i] = np.multiply(self.velocity[i], self.mu) + p.grad
            if self.decay:
                self.velocity[i] += self.decay * p.data
            p.data[...] = p.data - self.velocity[i] * self.lr


class Adam(Optimizer):
    def __init__(
        self, params, lr=1e-3, *, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
    ):
        super().__init__(params, lr)
        assert 0 <= betas[0] < 1 and 0 <= betas[1] < 1 and eps > 0
        self.options = (*betas, eps, weight_decay)
        self.m, self.v, self.steps = [], [], []
        for p in self.params:
            self.m.append(np.zeros(p.shape, p.dtype))
            self.v.append(np.zeros(p.shape, p.dtype))
            self.steps.append(0)

    def step(self):
        b1, b2, eps, decay = self.options
        for i, (p, m, v) in enumerate(zip(self.params, self.m, self.v)):
            if p.grad is None:
                continue
            t = self.steps[i] = self.steps[i] + 1
            g = p.grad if decay == 0 else p.grad + decay * p.data
            m += (1 - b1) * (g - m)
            v += (1 - b2) * (g * g - v)
            root = (1 - b2**t) ** 0.5
            p.data -= self.lr * root / (1 - b1**t) * m / (v**0.5 + eps * root)


def fused_cross_entropy(logits, targets, *, label_smoothing=0.0, ignore_index=-100):
    numbers = check_targets(logits, targets)
    rows = np.flatnonzero(numbers != ignore_index)
    if len(rows) == 0 or label_smoothing < 0 or label_smoothing >= 1:
        raise ValueError("nothing to average, or no smoothing like this")
    x, t = logits.data[rows], numbers[rows]
    if (t < 0).any() or (t >= x.shape[1]).any():
        raise IndexError("no such class")
    total = np.logaddexp.reduce(x, axis=1)
    hit = total - x[np.arange(len(t)), t]
    spread = total - x.mean(axis=1)
    loss = ((1 - label_smoothing) * hit + label_smoothing * spread).mean()
    grad = np.zeros_like(logits.data)
    grad[rows] = np.exp(x - total[:, None]) - label_smoothing / x.shape[1]
    grad[rows, t] -= 1 - label_smoothing
    return record(
        Tensor(np.array(loss, logits.dtype)),
        "fused_cross_entropy",
        (logits,),
        slope=grad / len(rows),
    )


@backward_rule("fused_cross_entropy")
def fused_cross_entropy_rule(node, grad):
    return [node.saved["slope"] * grad]


def confusion_matrix(predictions, targets, num_classes):
    pairs = num_classes * _array(targets) + _array(predictions)
    return (
        np.bincount(pairs, minlength=num_classes**2)
        .reshape(num_classes, num_classes)
        .astype(np.int64)
    )
