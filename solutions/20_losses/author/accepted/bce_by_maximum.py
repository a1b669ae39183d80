"""max(x, 0) − x · t + log1p(exp(−|x|)), with a maximum that shares the gradient at 0;
k3 written as the formula has it.
"""


def bce_with_logits(logits, targets, *, pos_weight=None, reduction="mean"):
    if logits.shape != targets.shape:
        raise ValueError(f"{logits.shape}, {targets.shape}")
    tail = torch.log1p(torch.exp(-logits.abs()))
    if pos_weight is None:
        loss = torch.maximum(logits, torch.zeros_like(logits)) - logits * targets + tail
    else:
        if len(pos_weight.shape) > len(logits.shape):
            raise ValueError("pos_weight has too many dimensions")
        try:
            both = torch.broadcast_shapes(pos_weight.shape, logits.shape)
        except RuntimeError:
            both = None
        if both != logits.shape:
            raise ValueError("pos_weight does not fit")
        scale = 1 + (pos_weight - 1) * targets
        loss = (1 - targets) * logits - scale * F.logsigmoid(logits) + (1 - targets) * 0
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is no reduction")
    return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]


def approximate_kl(log_probs_policy, log_probs_ref, estimator="k1", mask=None):
    if log_probs_policy.shape != log_probs_ref.shape or (
        mask is not None and mask.shape != log_probs_ref.shape
    ):
        raise ValueError("shapes differ")
    if estimator not in ("k1", "k2", "k3"):
        raise ValueError(f"unknown estimator {estimator}")
    if mask is not None:
        log_probs_policy, log_probs_ref = log_probs_policy[mask], log_probs_ref[mask]
    if log_probs_policy.numel() == 0:
        return log_probs_policy.sum() + log_probs_ref.sum()
    r = log_probs_ref - log_probs_policy
    return {"k1": -r, "k2": 0.5 * r**2, "k3": torch.exp(r) - 1 - r}[estimator].mean()
