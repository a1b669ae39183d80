"""`F.cross_entropy` on (B, V, T) for the sequences, and once more, turned round, for
the log-probabilities of tokens.
"""


def sequence_cross_entropy(logits, targets, *, ignore_index=-100, reduction="mean"):
    if targets.dtype == torch.bool or targets.is_floating_point():
        raise TypeError("targets are token ids")
    if logits.ndim != 3 or targets.shape != logits.shape[:-1]:
        raise ValueError("logits (B, T, V), targets (B, T)")
    losses = F.cross_entropy(
        logits.transpose(1, 2), targets, ignore_index=ignore_index, reduction="none"
    )
    counts = (targets != ignore_index).sum(1)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "mean":
        return losses.sum() / torch.clamp(counts.sum(), min=1)
    if reduction == "sequence":
        return torch.where(counts > 0, losses.sum(1) / counts.clamp(min=1), 0.0)
    raise ValueError(f"no such reduction: {reduction}")


def token_log_probs(logits, targets, mask=None):
    if mask is not None and mask.shape != targets.shape:
        raise ValueError("mask and targets differ")
    if targets.dtype == torch.bool or targets.is_floating_point():
        raise TypeError("targets are token ids")
    kept = targets if mask is None else torch.where(mask, targets, -1)
    if (
        mask is None
        and (targets < 0).any()
        or mask is not None
        and (targets[mask] < 0).any()
    ):
        raise IndexError(f"negative token in {targets.tolist()}")
    return -sequence_cross_entropy(logits, kept, ignore_index=-1, reduction="none")


def kl_divergence(log_p, log_q):
    if log_p.shape != log_q.shape:
        raise ValueError("shapes differ")
    nothing = log_p == float("-inf")
    log_p, log_q = log_p.masked_fill(nothing, 0.0), log_q.masked_fill(nothing, 0.0)
    return torch.sum(log_p.exp() * (log_p - log_q), -1)
