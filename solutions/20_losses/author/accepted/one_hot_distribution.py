"""Cross-entropy as a sum over a full target distribution, with `where` against
0 · −inf; KL estimates by `where`.
"""


def cross_entropy(
    logits, targets, *, ignore_index=-100, label_smoothing=0.0, reduction="mean"
):
    if not (0.0 <= label_smoothing < 1.0):
        raise ValueError(f"label_smoothing={label_smoothing}")
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise TypeError(f"targets are {targets.dtype}")
    if logits.ndim != 2 or targets.ndim != 1 or len(logits) != len(targets):
        raise ValueError(f"{tuple(logits.shape)} and {tuple(targets.shape)}")
    N, C = logits.shape
    kept = targets != ignore_index
    for t in targets[kept]:
        if t < 0 or t >= C:
            raise IndexError(f"class {int(t)} of {C}")
    wanted = torch.full((N, C), label_smoothing / C, dtype=logits.dtype)
    wanted[torch.arange(N)[kept], targets[kept]] += 1 - label_smoothing
    wanted = wanted * kept[:, None]
    shifted = logits - logits.detach().amax(dim=1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=1, keepdim=True).log()
    terms = torch.where(wanted > 0, log_probs, 0.0) * wanted
    if reduction == "none":
        return -terms.sum(dim=1)
    if reduction == "sum":
        return -terms.sum()
    if reduction == "mean":
        return -terms.sum() / max(int(kept.sum()), 1)
    raise ValueError(f"reduction={reduction}")


def sequence_cross_entropy(logits, targets, *, ignore_index=-100, reduction="mean"):
    if logits.ndim != 3 or logits.shape[:2] != targets.shape:
        raise ValueError("shapes")
    B, T, V = logits.shape
    table = [
        cross_entropy(x, t, ignore_index=ignore_index, reduction="none")
        for x, t in zip(logits, targets)
    ]
    losses, kept = torch.stack(table), (targets != ignore_index).to(logits.dtype)
    match reduction:
        case "none":
            return losses
        case "sum":
            return losses.sum()
        case "mean":
            return losses.sum() / kept.sum().clamp(min=1)
        case "sequence":
            return (losses * kept).sum(1) / kept.sum(1).clamp(min=1)
    raise ValueError(f"reduction={reduction}")


def approximate_kl(log_probs_policy, log_probs_ref, estimator="k1", mask=None):
    if log_probs_policy.shape != log_probs_ref.shape:
        raise ValueError("shapes")
    if mask is None:
        mask = torch.ones(log_probs_policy.shape, dtype=torch.bool)
    if mask.shape != log_probs_ref.shape:
        raise ValueError("mask")
    r = torch.where(mask, log_probs_ref - log_probs_policy, 0.0)
    if estimator == "k1":
        table = -r
    elif estimator == "k2":
        table = r * r / 2
    elif estimator == "k3":
        table = torch.exp(r) - 1 - r
    else:
        raise ValueError(f"estimator={estimator}")
    return table.sum() / mask.sum().clamp(min=1)
