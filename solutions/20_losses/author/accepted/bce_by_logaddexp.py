"""Binary cross-entropy by logaddexp; Huber in one formula with a clamp; the mean
by `mean`.
"""


def regression_loss(pred, target, kind="mse", *, delta=1.0, reduction="mean"):
    if pred.size() != target.size():
        raise ValueError(f"{pred.size()} is not {target.size()}")
    costs = {
        "mse": lambda d: d**2,
        "l1": torch.abs,
        "huber": lambda d: (
            0.5 * d.abs().clamp(max=delta) ** 2
            + delta * (d.abs() - d.abs().clamp(max=delta))
        ),
    }
    reductions = {"none": lambda x: x, "mean": torch.mean, "sum": torch.sum}
    if kind not in costs:
        raise ValueError(f"kind={kind}")
    if reduction not in reductions:
        raise ValueError(f"reduction={reduction}")
    return reductions[reduction](costs[kind](pred - target))


def bce_with_logits(logits, targets, *, pos_weight=None, reduction="mean"):
    if logits.shape != targets.shape:
        raise ValueError("shapes differ")
    if pos_weight is None:
        pos_weight = torch.ones((), dtype=logits.dtype)
    try:
        pos_weight = pos_weight.expand(logits.shape)
    except RuntimeError as error:
        raise ValueError("pos_weight does not fit") from error
    zero = torch.zeros_like(logits)
    loss = pos_weight * targets * torch.logaddexp(zero, -logits) + (
        1 - targets
    ) * torch.logaddexp(zero, logits)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction == "mean":
        return loss.mean()
    raise ValueError(reduction)
