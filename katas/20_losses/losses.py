"""Loss functions: a table of values, one per element, row or token, and a rule that
reduces it to one number.

Sizes: N rows, C classes, B sequences, T tokens in each, V words in the vocabulary.
"""

import torch
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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError
