"""Logsumexp minus the chosen logit, classes picked by advanced indexing, a boolean
selection put back into zeros.
"""


def nll_loss(log_probs, targets, *, weight=None, ignore_index=-100, reduction="mean"):
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"unknown reduction {reduction}")
    if targets.dtype in (
        torch.bool,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
    ):
        raise TypeError("integer targets, please")
    if log_probs.dim() != 2 or targets.shape != (log_probs.size(0),):
        raise ValueError("log_probs (N, C), targets (N,)")
    C = log_probs.size(1)
    if weight is not None and weight.shape != (C,):
        raise ValueError("weight (C,)")
    keep = (targets != ignore_index).nonzero().squeeze(1)
    t = targets[keep]
    for value in t.tolist():
        if not 0 <= value < C:
            raise IndexError(f"{value}")
    w = torch.ones(len(t), dtype=log_probs.dtype) if weight is None else weight[t]
    rows = -w * log_probs[keep, t]
    if reduction == "sum":
        return rows.sum()
    if reduction == "mean":
        return rows.sum() / w.sum() if len(t) else rows.sum()
    return torch.zeros(len(targets), dtype=log_probs.dtype).index_put((keep,), rows)


def cross_entropy(
    logits, targets, *, ignore_index=-100, label_smoothing=0.0, reduction="mean"
):
    if label_smoothing < 0 or label_smoothing >= 1:
        raise ValueError("label_smoothing")
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"unknown reduction {reduction}")
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise TypeError("integer targets, please")
    if logits.dim() != 2 or targets.shape != logits.shape[:1]:
        raise ValueError("logits (N, C), targets (N,)")
    keep = targets != ignore_index
    t, x = targets[keep], logits[keep]
    bad = [value for value in t.tolist() if value not in range(logits.size(1))]
    if bad:
        raise IndexError(f"bad targets {bad}")
    rows = (
        x.logsumexp(1) - (1 - label_smoothing) * x.take_along_dim(t[:, None], 1)[:, 0]
    )
    if label_smoothing:
        rows = rows - label_smoothing * x.mean(1)
    if reduction == "none":
        return torch.zeros(len(targets), dtype=logits.dtype).masked_scatter(keep, rows)
    return rows.sum() if reduction == "sum" else rows.sum() / max(len(t), 1)


def token_log_probs(logits, targets, mask=None):
    if targets.dtype is not torch.int64:
        raise TypeError(f"{targets.dtype}")
    if (
        logits.dim() != 3
        or logits.shape[:2] != targets.shape
        or (mask is not None and mask.shape != targets.shape)
    ):
        raise ValueError("shapes")
    if mask is None:
        mask = torch.full(targets.shape, True)
    b, t = mask.nonzero(as_tuple=True)
    tokens = targets[mask]
    if len(tokens) and not (tokens.min() >= 0 and tokens.max() < logits.size(2)):
        raise IndexError(f"tokens {tokens.tolist()}")
    result = torch.zeros(targets.shape, dtype=logits.dtype)
    result[b, t] = logits[b, t, tokens] - logits[b, t].logsumexp(-1)
    return result
