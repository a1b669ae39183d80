"""Different: cross-entropy as one operation with a rule of its own, in the way of
module 11; norms element by element.
"""

import math


def check_targets(logits, targets):
    array = targets.numpy() if isinstance(targets, Tensor) else targets
    if len(logits.shape) != 2 or array.ndim != 1 or array.shape[0] != logits.shape[0]:
        raise ValueError(f"logits {logits.shape}, targets {array.shape}")
    if not issubclass(array.dtype.type, np.integer):
        raise TypeError(f"{array.dtype} is no class number")
    return array


def cross_entropy(logits, targets):
    rows, picked = np.arange(logits.shape[0]), check_targets(logits, targets)
    if set(picked.tolist()) - set(range(logits.shape[1])):
        raise IndexError(f"classes are 0 to {logits.shape[1] - 1}")
    z = logits.data - logits.data.max(1, keepdims=True)
    total = np.exp(z).sum(1)
    loss = (np.log(total) - z[rows, picked]).mean()
    return record(
        Tensor(loss),
        "fused_entropy",
        (logits,),
        p=np.exp(z) / total[:, None],
        picked=picked,
    )


@backward_rule("fused_entropy")
def _fused_entropy(node, grad):
    p = node.saved["p"].copy()
    p[np.arange(len(p)), node.saved["picked"]] -= 1
    return (grad * p / len(p),)


def gradient_magnitudes(loss, named):
    loss.backward()
    squares = {
        k: 0.0 if v.grad is None else (v.grad.astype(float) ** 2).sum()
        for k, v in named.items()
    }
    return {k: math.sqrt(v) for k, v in squares.items()}


def sigmoid_loss_gradients(logits, target):
    z = np.array(logits, dtype=float)
    p = np.where(z < 0, np.exp(-np.logaddexp(0, -z)), 1 / (1 + np.exp(-np.abs(z))))
    slope = np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))) ** 2
    return dict(
        logit=z, mse=(p - target) * slope * 2, bce=p * (1 - target) - target * (1 - p)
    )
