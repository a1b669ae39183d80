"""Different: a one-hot product instead of indexing, log-sum-exp by np.logaddexp,
softmax with a rule of its own.
"""


def mse_loss(pred, target, *, reduction="mean"):
    target = target if isinstance(target, Tensor) else Tensor(target)
    if target.shape != pred.shape:
        raise ValueError(f"{pred.shape} against {target.shape}")
    d = target - pred
    reduce = {
        "mean": lambda s: s.sum() * (1 / s.size),
        "sum": Tensor.sum,
        "none": lambda s: s,
    }
    return reduce[reduction](d * d)


def log_softmax(x, dim=-1):
    total = np.logaddexp.reduce(x.data, axis=dim, keepdims=True)
    return record(Tensor(x.data - total), "own_log_softmax", (x,), axis=dim)


@backward_rule("own_log_softmax")
def _own_log_softmax(node, grad):
    axis = node.saved["axis"]
    return (
        grad
        - softmax(Tensor(node.inputs[0].data), axis).data
        * grad.sum(axis, keepdims=True),
    )


def softmax(x, dim=-1):
    e = np.exp(x.data - np.max(x.data, axis=dim, keepdims=True))
    return record(
        Tensor(e / e.sum(axis=dim, keepdims=True)), "own_softmax", (x,), axis=dim
    )


@backward_rule("own_softmax")
def _own_softmax(node, grad):
    p = node.out
    return (p * (grad - (grad * p).sum(axis=node.saved["axis"], keepdims=True)),)


def cross_entropy(logits, targets):
    numbers = check_targets(logits, targets)
    n, c = logits.shape
    if np.any((numbers < 0) | (numbers >= c)):
        raise IndexError("no such class")
    one_hot = np.zeros((n, c), dtype=logits.dtype)
    one_hot[np.arange(n), numbers] = 1
    return (log_softmax(logits) * one_hot).sum() / -n
