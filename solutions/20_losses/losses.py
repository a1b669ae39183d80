"""Loss functions: a table of values, one per element, row or token, and a rule that
reduces it to one number.

Sizes: N rows, C classes, B sequences, T tokens in each, V words in the vocabulary.
"""

import torch  # stub: keep
import torch.nn.functional as F
from torch import Tensor


def regression_loss(
    pred: Tensor,
    target: Tensor,
    kind: str = "mse",
    *,
    delta: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """Measure how far predictions are from the right numbers.

    Args:
        pred: predictions, any shape.
        target: the right numbers, the same shape.
        kind: the cost of an error d = pred − target: "mse" → d²; "l1" → |d|;
            "huber" → d²/2 as long as |d| <= delta, and delta · (|d| − delta/2) beyond.
        delta: where "huber" turns from a parabola into a line.
        reduction: "none" → the costs; "sum" → their sum; "mean" → the sum divided by
            the number of elements.
    Returns:
        The costs, or a scalar. Errors 0.5 and −3 cost 0.25 and 9 as "mse", 0.5 and 3 as
        "l1", 0.125 and 2.5 as "huber".

    Written without `F.mse_loss`, `F.l1_loss`, `F.huber_loss`, `F.smooth_l1_loss` and
    their `nn` classes.

    Edge cases ★
        Shapes that differ are an error, even (B,) and (B, 1), which would broadcast; so
        is an unknown kind or reduction. The dtype is that of `pred`. Nothing is written
        to the arguments.
    """
    _require_same_shape("target", target, pred.shape)
    error = pred - target
    if kind == "mse":
        values = error.square()
    elif kind == "l1":
        values = error.abs()
    elif kind == "huber":
        size = error.abs()
        values = torch.where(
            size <= delta, error.square() / 2, delta * (size - delta / 2)
        )
    else:
        raise ValueError(f"kind should be 'mse', 'l1' or 'huber', not {kind!r}")
    return _reduced(values, reduction, values.numel())


def nll_loss(
    log_probs: Tensor,
    targets: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Take the negative log-probability of the right class.

    Args:
        log_probs: (N, C), the log-probabilities of the C classes per row.
        targets: (N,) int64, the right class of each row, or `ignore_index`.
        weight: (C,), the weight of a row of each class; without it, 1.
        ignore_index: rows with this target contribute nothing. It may be a class id,
            such as 0 for padding.
        reduction: "none" → (N,), with 0 for ignored rows; "sum" → their sum;
            "mean" → the sum divided by the total weight of the kept rows, which without
            `weight` is their number.
    Returns:
        −weight[t] · log_probs[n, t] with t = targets[n], reduced. Values 2 and 5 of
        classes with weights 1 and 3 have the mean (1·2 + 3·5) / (1 + 3) = 4.25.

    Written without `F.nll_loss`, `F.cross_entropy` and their `nn` classes.

    Edge cases ★
        If every row is ignored, the mean and its gradient are 0. Entries of −inf that
        are not a kept row's target leave loss and gradient finite. The dtype is that of
        `log_probs`; the arguments are not written to. Errors: float or bool targets; a
        target outside [0, C) that is not `ignore_index`, whose value the message holds;
        shapes that do not fit; an unknown reduction.
    """
    if log_probs.ndim != 2:
        raise ValueError(
            f"the input should be (N, C), not of shape {tuple(log_probs.shape)}"
        )
    kept = targets != ignore_index
    classes = _class_ids(targets, kept, log_probs)
    chosen = log_probs.gather(1, classes.unsqueeze(1)).squeeze(1)
    counts = kept.to(log_probs.dtype)
    if weight is not None:
        _require_same_shape("weight", weight, log_probs.shape[1:])
        counts = counts * weight[classes]
    total = counts.sum()
    return _reduced(
        -counts * chosen.masked_fill(~kept, 0.0),
        reduction,
        torch.where(total == 0, 1.0, total),
    )


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Compute softmax and negative log-likelihood in one, from raw scores.

    Args:
        logits: (N, C), any real numbers.
        targets: (N,) int64, the right class of each row, or `ignore_index`.
        ignore_index: rows with this target contribute nothing; it may be a class id.
        label_smoothing: s. The wanted distribution q is 1 − s on the target plus s/C on
            every class, the target included. With C = 4 and s = 0.2:
            [0.05, 0.85, 0.05, 0.05] for target 1.
        reduction: "none" → (N,), with 0 for ignored rows; "sum"; "mean" → the sum
            divided by the number of kept rows.
    Returns:
        −Σ_c q_c · log softmax(logits[n])_c per row, reduced. Two equal logits cost
        ln 2.

    Logits of ±1e4 give finite values and gradients. Written without `F.cross_entropy`,
    `F.nll_loss` and their `nn` classes; `log_softmax`, `logsumexp` and your own
    `nll_loss` are fine.

    Edge cases ★
        With s = 0, a logit of −inf in a class that is not the target leaves loss and
        gradient finite. If every row is ignored, the mean and its gradient are 0. The
        dtype is that of `logits`; the arguments are not written to. Errors: float or
        bool targets; a target outside [0, C) that is not `ignore_index`, whose value
        the message holds; shapes that do not fit; s outside [0, 1); an
        unknown reduction.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f"label_smoothing should be at least 0 and below 1, not {label_smoothing}"
        )
    if logits.ndim != 2:
        raise ValueError(f"logits should be (N, C), not of shape {tuple(logits.shape)}")
    log_probs = logits.log_softmax(dim=1)
    values = nll_loss(log_probs, targets, ignore_index=ignore_index, reduction="none")
    kept = targets != ignore_index
    if label_smoothing > 0:  # 0 · −inf would be NaN
        everywhere = -log_probs.mean(dim=1)
        values = (
            1 - label_smoothing
        ) * values + label_smoothing * everywhere.masked_fill(~kept, 0.0)
    return _reduced(values, reduction, kept.sum().clamp(min=1))


def bce_with_logits(
    logits: Tensor,
    targets: Tensor,
    *,
    pos_weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Compute binary cross-entropy from raw scores: each element is a yes-or-no
    question of its own.

    Args:
        logits: x, any shape; sigmoid(x) is the probability of yes.
        targets: t, the same shape, floats in [0, 1]; 0.3 is "yes in 30% of the cases".
        pos_weight: w, broadcasts to `logits`; multiplies the part of yes. Without
            it, 1.
        reduction: "none" → the values; "sum" → their sum; "mean" → the sum divided by
            the number of elements.
    Returns:
        −(w · t · log sigmoid(x) + (1 − t) · log(1 − sigmoid(x))), reduced. A logit of 0
        costs ln 2.

    Logits of ±1e4 give finite values and gradients. In float64 a logit of 30 with
    target 1 costs log1p(exp(−30)) = 9.36e-14, not 0. Without `pos_weight` the gradient
    of the sum is sigmoid(x) − t. Written without `F.binary_cross_entropy`,
    `F.binary_cross_entropy_with_logits` and their `nn` classes; `F.softplus`,
    `F.logsigmoid` and `torch.logaddexp` are fine.

    Edge cases ★
        The gradient is sigmoid(x) − t even at a logit of exactly 0, which a head
        initialised to zeros produces. The dtype is that of `logits`; the arguments are
        not written to. Errors: shapes that differ, a `pos_weight` that does not
        broadcast or would enlarge the result, an unknown reduction.
    """
    _require_same_shape("targets", targets, logits.shape)
    yes = targets * F.softplus(-logits)
    no = (1 - targets) * F.softplus(logits)
    if pos_weight is not None:
        _require_fitting("pos_weight", pos_weight, logits.shape)
        yes = pos_weight * yes
    return _reduced(yes + no, reduction, logits.numel())


def sequence_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Compute the cross-entropy of a batch of token sequences, the loss of a
    language model.

    Args:
        logits: (B, T, V).
        targets: (B, T) int64, the right token at each position, already shifted,
            or `ignore_index`.
        ignore_index: tokens with this target contribute nothing; it may be a token id.
        reduction: "none" → (B, T), 0 at ignored positions; "sum" → their sum;
            "mean" → the sum divided by the number of kept tokens of the whole batch;
            "sequence" → (B,), the mean over the kept tokens of each sequence.
    Returns:
        The cross-entropies, reduced. Two sequences with the losses 6 and 1, 1, 1, 1
        have the mean 10/5 = 2, and as "sequence" [6, 1].

    `F.cross_entropy` is allowed here.

    Edge cases ★
        A sequence without kept tokens has the loss 0; if every token is ignored, the
        mean and its gradient are 0. `logits` may be non-contiguous. The arguments are
        not written to. Errors: float or bool targets; a target outside
        [0, V) that is not `ignore_index`, whose value the message holds; shapes that do
        not fit; an unknown reduction.
    """
    if logits.ndim != 3:
        raise ValueError(
            f"logits should be (B, T, V), not of shape {tuple(logits.shape)}"
        )
    _require_same_shape("targets", targets, logits.shape[:-1])
    values = cross_entropy(
        logits.flatten(0, -2),
        targets.flatten(),
        ignore_index=ignore_index,
        reduction="none",
    )
    values = values.reshape(targets.shape)
    kept = targets != ignore_index
    if reduction == "sequence":
        return values.sum(dim=1) / kept.sum(dim=1).clamp(min=1)
    return _reduced(values, reduction, kept.sum().clamp(min=1))


def token_log_probs(
    logits: Tensor, targets: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Take the log-probability that a model gives to each token of a text.

    Args:
        logits: (B, T, V).
        targets: (B, T) int64, the tokens; targets[b, t] belongs to logits[b, t].
        mask: (B, T) bool, True = this token counts. Where it is False the target may be
            anything, such as −100.
    Returns:
        (B, T) log softmax(logits[b, t]) at targets[b, t], and 0.0 where the mask
        is False.

    No gradient flows where the mask is False. Logits of ±1e4 give finite values
    and gradients.

    Edge cases ★
        A masked token of logit −inf gives 0 as well. `logits` may be non-contiguous;
        the dtype is theirs. The arguments are not written to. Errors: float or bool
        targets; a target outside [0, V) that is not masked, whose value the message
        holds; targets or a mask that are not (B, T).
    """
    if logits.ndim != 3:
        raise ValueError(
            f"logits should be (B, T, V), not of shape {tuple(logits.shape)}"
        )
    if mask is None:
        mask = torch.ones_like(targets, dtype=torch.bool)
    _require_same_shape("mask", mask, targets.shape)
    tokens = _class_ids(targets, mask, logits)
    chosen = logits.log_softmax(dim=-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return chosen.masked_fill(~mask, 0.0)


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Compute the Kullback-Leibler divergence KL(p ‖ q) of whole distributions: the
    price of taking q for p.

    Args:
        log_p: (…, V) log-probabilities of p, which does the averaging.
        log_q: (…, V) log-probabilities of q, the same shape.
    Returns:
        (…), the sum over the last dimension of p · (log p − log q), with
        p = exp(log_p). For p = [¼, ¾] and q = [½, ½] it is ¼ ln ½ + ¾ ln 1½. Where q is
        0 and p is not, it is +inf.

    Written without `F.kl_div` and `nn.KLDivLoss`.

    Edge cases ★
        Where p is 0 (log_p is −inf) the term is 0, and so are its gradients to log_p
        and log_q, even if q is 0 there too. The arguments are not written to. Shapes
        that differ are an error.
    """
    _require_same_shape("log_q", log_q, log_p.shape)
    p = log_p.exp()
    log_ratio = torch.where(p > 0, log_p - log_q, 0.0)
    return (p * log_ratio).sum(dim=-1)


def approximate_kl(
    log_probs_policy: Tensor,
    log_probs_ref: Tensor,
    estimator: str = "k1",
    mask: Tensor | None = None,
) -> Tensor:
    """Estimate KL(policy ‖ ref) from tokens that were drawn from the policy, without
    the rest of the vocabulary.

    Args:
        log_probs_policy: log-probabilities that the policy gives to the drawn tokens:
            (B, T), or any other shape.
        log_probs_ref: those of the reference model, the same shape.
        estimator: with r = log_probs_ref − log_probs_policy, "k1" → −r; "k2" → r²/2;
            "k3" → exp(r) − 1 − r.
        mask: bool, the same shape, True = this position counts.
    Returns:
        A scalar, the mean over all positions, or over those that the mask keeps.

    k1 is right on average and may be negative; k2 is never negative, a little off on
    average; k3 is never negative and right on average. Gradients flow to both inputs.
    Source: J. Schulman, "Approximating KL Divergence" (2020).

    Edge cases ★
        Masked positions have no influence and gradient 0, whatever they hold (NaN,
        −inf). If the mask keeps none, the result and its gradient are 0. The arguments
        are not written to. Errors: shapes that differ, an unknown estimator.
    """
    _require_same_shape("log_probs_ref", log_probs_ref, log_probs_policy.shape)
    if mask is None:
        mask = torch.ones_like(log_probs_policy, dtype=torch.bool)
    _require_same_shape("mask", mask, log_probs_policy.shape)
    r = log_probs_ref.masked_fill(~mask, 0.0) - log_probs_policy.masked_fill(~mask, 0.0)
    if estimator == "k1":
        values = -r
    elif estimator == "k2":
        values = r.square() / 2
    elif estimator == "k3":
        values = r.expm1() - r
    else:
        raise ValueError(f"estimator should be 'k1', 'k2' or 'k3', not {estimator!r}")
    return values.sum() / mask.sum().clamp(min=1)


def _reduced(values: Tensor, reduction: str, count: Tensor | int) -> Tensor:
    """The values themselves, their sum, or their sum divided by `count`."""
    if reduction == "none":
        return values
    if reduction == "sum":
        return values.sum()
    if reduction == "mean":
        return values.sum() / count
    raise ValueError(f"there is no reduction {reduction!r}")


def _class_ids(targets: Tensor, kept: Tensor, scores: Tensor) -> Tensor:
    """The targets, checked, and a class id that is safe to look up where `kept`
    is False.
    """
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise TypeError(f"targets should be int64 class ids, not {targets.dtype}")
    _require_same_shape("targets", targets, scores.shape[:-1])
    wrong = kept & ((targets < 0) | (targets >= scores.shape[-1]))
    if wrong.any():
        raise IndexError(
            f"target {targets[wrong][0].item()} is no class id: there are "
            f"{scores.shape[-1]} classes"
        )
    return targets.masked_fill(~kept, 0)


def _require_same_shape(name: str, tensor: Tensor, shape: torch.Size) -> None:
    if tensor.shape != shape:
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}"
        )


def _require_fitting(name: str, tensor: Tensor, shape: torch.Size) -> None:
    """The tensor can be expanded to the shape."""
    pairs = zip(reversed(tensor.shape), reversed(shape), strict=False)
    if tensor.ndim > len(shape) or any(
        size not in (1, wanted) for size, wanted in pairs
    ):
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)}, which does not broadcast to "
            f"{tuple(shape)}"
        )
