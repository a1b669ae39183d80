"""Loss functions: tables of values, one for each element, row or token, and the rule
that makes one number of them.

Sizes: N rows, C classes, B sequences, T tokens in each, V words in the vocabulary.
Where nothing is left to average, because everything is ignored or masked, a "mean" is
0.0 here and its gradient is 0 (PyTorch's own functions answer NaN). No function writes
to its arguments.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def _reduce(values: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.mean()


def regression_loss(
    pred: Tensor,
    target: Tensor,
    kind: str = "mse",
    *,
    delta: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """The distance of predictions from the numbers they should be."""
    if pred.shape != target.shape:
        raise ValueError(
            f"pred {tuple(pred.shape)} and target {tuple(target.shape)} differ in shape"
        )
    d = pred - target
    if kind == "mse":
        values = d**2
    elif kind == "l1":
        values = d.abs()
    else:
        values = torch.where(d.abs() <= delta, d**2 / 2, delta * (d.abs() - delta / 2))
    return _reduce(values, reduction)


def nll_loss(
    log_probs: Tensor,
    targets: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-probability of the right class."""
    if weight is None:
        weight = torch.ones(log_probs.shape[1], device=log_probs.device)
    keep = targets != ignore_index
    targets = targets.masked_fill(~keep, 0)  # any class will do: the row does not count
    weights = weight[targets].masked_fill(~keep, 0)
    picked = log_probs.gather(1, targets[:, None]).squeeze(1).masked_fill(~keep, 0)
    values = -weights * picked
    if reduction == "mean":
        return values.sum() / weights.sum()
    return _reduce(values, reduction)


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Softmax and negative log-likelihood in one, from raw scores."""
    keep = targets != ignore_index
    log_probs = logits.log_softmax(dim=1)
    values = nll_loss(log_probs, targets, ignore_index=ignore_index, reduction="none")
    if label_smoothing > 0:
        uniform = -log_probs.mean(dim=1).masked_fill(~keep, 0)
        values = (1 - label_smoothing) * values + label_smoothing * uniform
    if reduction == "mean":
        return values.sum() / keep.sum().clamp(min=1)
    return _reduce(values, reduction)


def bce_with_logits(
    logits: Tensor,
    targets: Tensor,
    *,
    pos_weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross-entropy, from raw scores: each element is a yes-or-no question of
    its own.
    """
    yes = targets * F.logsigmoid(logits)
    if pos_weight is not None:
        yes = pos_weight * yes
    no = (1 - targets) * F.logsigmoid(-logits)
    return _reduce(-(yes + no), reduction)


def sequence_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of a batch of token sequences, as a language model is
    trained with.
    """
    values = F.cross_entropy(
        logits.transpose(1, 2), targets, ignore_index=ignore_index, reduction="none"
    )
    keep = targets != ignore_index
    if reduction == "sequence":
        return values.sum(dim=1) / keep.sum(dim=1).clamp(min=1)
    if reduction == "mean":
        return values.sum() / keep.sum().clamp(min=1)
    return _reduce(values, reduction)


def token_log_probs(
    logits: Tensor, targets: Tensor, mask: Tensor | None = None
) -> Tensor:
    """The log-probability that a model gives to each token of a text."""
    if mask is not None:
        targets = targets.masked_fill(~mask, 0)
    picked = logits.log_softmax(dim=-1).gather(-1, targets[..., None]).squeeze(-1)
    return picked if mask is None else picked.masked_fill(~mask, 0.0)


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """The Kullback-Leibler divergence KL(p ‖ q) of whole distributions: what it costs
    to take q for p.
    """
    difference = (log_p - log_q).masked_fill(log_p == -torch.inf, 0.0)
    return (log_p.exp() * difference).sum(dim=-1)


def approximate_kl(
    log_probs_policy: Tensor,
    log_probs_ref: Tensor,
    estimator: str = "k1",
    mask: Tensor | None = None,
) -> Tensor:
    """Estimate KL(policy ‖ ref) from tokens that were drawn from the policy, without
    the rest of the vocabulary.
    """
    r = log_probs_ref - log_probs_policy
    if mask is not None:
        r = r[mask]
    if estimator == "k1":
        values = -r
    elif estimator == "k2":
        values = r**2 / 2
    else:
        values = r.exp() - 1 - r
    return values.mean()
