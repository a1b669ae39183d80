"""Loss functions: tables of values, one for each element, row or token, and the rule that makes one number of them.

Sizes: N rows, C classes, B sequences, T tokens in each, V words in the vocabulary.
Where nothing is left to average, because everything is ignored or masked, a "mean" is 0.0 here and its gradient is 0
(PyTorch's own functions answer NaN). No function writes to its arguments.
"""

from torch import Tensor


def regression_loss(
    pred: Tensor, target: Tensor, kind: str = "mse", *, delta: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """How far predictions are from the numbers they should be.

    Args:
        pred: predictions, any shape.
        target: the right numbers, exactly the same shape.
        kind: what an error d = pred − target costs:
            "mse" → d²;
            "l1" → |d|;
            "huber" → d²/2 as long as |d| <= delta, and delta · (|d| − delta/2) beyond.
        delta: where "huber" turns from a parabola into a line; the other kinds do not use it.
        reduction: "none" → the costs, in the shape of `pred`; "sum" → their sum; "mean" → the sum divided by the
            number of elements.
    Returns:
        The costs, or a scalar, in the dtype of `pred`. Errors 0.5 and −3 cost 0.25 and 9 as "mse", 0.5 and 3 as "l1",
        0.125 and 2.5 as "huber".

    Gradients flow to both `pred` and `target`. Written without PyTorch's own losses: not `F.mse_loss`, `F.l1_loss`,
    `F.huber_loss`, `F.smooth_l1_loss`, nor the `nn` classes of the same names.

    Raises:
        ValueError: the shapes differ, also where broadcasting could hide it, as between (B,) and (B, 1); or `kind` or
            `reduction` is none of the above (the message holds the value).
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
    """The negative log-probability of the right class.

    Args:
        log_probs: (N, C), row n holds the log-probabilities of the C classes.
        targets: (N,) int64, the right class of each row, or `ignore_index`.
        weight: (C,), what a row of each class counts; without it, 1.
        ignore_index: rows with this target contribute nothing. It may be a class id, such as 0 for padding.
        reduction: "none" → (N,), with 0 for ignored rows; "sum" → their sum; "mean" → the sum divided by the total
            weight of the kept rows, which without `weight` is their number.
    Returns:
        Row n counts −weight[t] · log_probs[n, t] with t = targets[n]; reduced, in the dtype of `log_probs`. Values 2
        and 5 of classes with weights 1 and 3 have the mean (1·2 + 3·5) / (1 + 3) = 4.25.

    If every row is ignored, the mean is 0.0 and its gradient is 0. Entries of −inf that are not a kept row's target do
    no harm: loss and gradient stay finite. `targets` stays as it was. Written without `F.nll_loss`, `F.cross_entropy`
    and the `nn` classes of the same names.

    Raises:
        TypeError: `targets` is float or bool.
        ValueError: `log_probs` is not (N, C), `targets` not (N,) or `weight` not (C,); `reduction` is none of the above
            (the message holds the value).
        IndexError: a target outside [0, C) that is not `ignore_index`; the message holds its value.
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
    """Softmax and negative log-likelihood in one, from raw scores.

    Args:
        logits: (N, C), any real numbers; a softmax over a row gives its probabilities.
        targets: (N,) int64, the right class of each row, or `ignore_index`.
        ignore_index: rows with this target contribute nothing; it may be a class id.
        label_smoothing: s. The row should give the target 1 − s, plus s/C to every class, the target included. With
            C = 4 and s = 0.2: [0.05, 0.85, 0.05, 0.05] for target 1.
        reduction: "none" → (N,), with 0 for ignored rows; "sum" → their sum; "mean" → the sum divided by the number of
            kept rows.
    Returns:
        Row n counts −Σ_c q_c · log softmax(logits[n])_c, where q is the distribution that the row should give; reduced,
        in the dtype of `logits`. Two equal logits cost ln 2.

    Logits of ±1e4 give finite values and gradients. Without smoothing, a logit of −inf does no harm to loss or gradient
    in a class that is not the target. If every row is ignored, the mean is 0.0 and its gradient is 0. `targets` stays
    as it was. Written without `F.cross_entropy`, `F.nll_loss` and the `nn` classes of the same names; `log_softmax`,
    `logsumexp` and your own `nll_loss` are fine.

    Raises:
        TypeError: `targets` is float or bool.
        ValueError: `logits` is not (N, C) or `targets` not (N,); not 0 <= label_smoothing < 1; `reduction` is none of
            the above (the message holds the value).
        IndexError: a target outside [0, C) that is not `ignore_index`; the message holds its value.
    """
    raise NotImplementedError


def bce_with_logits(
    logits: Tensor, targets: Tensor, *, pos_weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Binary cross-entropy, from raw scores: each element is a yes-or-no question of its own.

    Args:
        logits: x, any shape; sigmoid(x) is the probability of yes.
        targets: t, the same shape, floats in [0, 1]. Values in between are fine: 0.3 is "yes in 30% of the cases".
        pos_weight: w, of any shape that broadcasts to that of `logits`; multiplies the part of yes. Without it, 1.
        reduction: "none" → the values, in the shape of `logits`; "sum" → their sum; "mean" → the sum divided by the
            number of elements.
    Returns:
        −(w · t · log sigmoid(x) + (1 − t) · log(1 − sigmoid(x))), reduced, in the dtype of `logits`. A logit of 0
        costs ln 2, whatever the target, without `pos_weight`.

    Logits of ±1e4 give finite values and gradients: a logit of −1e4 with target 1 costs 1e4. Confident right answers
    stay precise: in float64 a logit of 30 with target 1 costs log1p(exp(−30)) = 9.36e-14, not 0. Without `pos_weight`
    the gradient of the sum is sigmoid(logits) − targets everywhere, also at a logit of exactly 0, which is what a
    head initialised to zeros produces. Written without `F.binary_cross_entropy`, `F.binary_cross_entropy_with_logits`
    and their `nn` classes; `F.softplus`, `F.logsigmoid` and `torch.logaddexp` are fine.

    Raises:
        ValueError: the shapes of `logits` and `targets` differ; `pos_weight` does not broadcast to that shape, or would
            enlarge it; `reduction` is none of the above (the message holds the value).
    """
    raise NotImplementedError


def sequence_cross_entropy(
    logits: Tensor, targets: Tensor, *, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy of a batch of token sequences, as a language model is trained with.

    Args:
        logits: (B, T, V), contiguous or not.
        targets: (B, T) int64, the right token at each position (already shifted: targets[b, t] belongs to
            logits[b, t]), or `ignore_index`.
        ignore_index: tokens with this target contribute nothing; it may be a token id.
        reduction:
            "none" → (B, T), 0 at ignored positions;
            "sum" → their sum;
            "mean" → the sum divided by the number of kept tokens of the whole batch, so that every token counts alike;
            "sequence" → (B,), for each sequence the mean over its own kept tokens, 0 if it has none.
    Returns:
        The cross-entropies, reduced, in the dtype of `logits`. Two sequences, one with the losses 6, the other with
        1, 1, 1, 1, have the mean 10/5 = 2, and as "sequence" [6, 1].

    If every token is ignored, the mean is 0.0 and its gradient is 0. `targets` stays as it was. Here `F.cross_entropy`
    is allowed.

    Raises:
        TypeError: `targets` is float or bool.
        ValueError: `logits` is not (B, T, V) or `targets` not (B, T); `reduction` is none of the above (the message
            holds the value).
        IndexError: a target outside [0, V) that is not `ignore_index`; the message holds its value.
    """
    raise NotImplementedError


def token_log_probs(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """The log-probability that a model gives to each token of a text.

    Args:
        logits: (B, T, V), contiguous or not.
        targets: (B, T) int64, the tokens; targets[b, t] belongs to logits[b, t].
        mask: (B, T) bool, True = this token counts. Where it is False the target may be anything, such as −100.
    Returns:
        (B, T) log softmax(logits[b, t]) at targets[b, t], in the dtype of `logits`, and 0.0 where the mask is False.

    The numbers are logarithms, so none is above 0. No gradient flows where the mask is False: it is exactly 0 there.
    Logits of ±1e4 give finite values and gradients. `targets` stays as it was.

    Raises:
        TypeError: `targets` is float or bool.
        ValueError: `logits` is not (B, T, V), or `targets` or `mask` not (B, T).
        IndexError: a target outside [0, V) that is not masked; the message holds its value.
    """
    raise NotImplementedError


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """The Kullback-Leibler divergence KL(p ‖ q) of whole distributions: what it costs to take q for p.

    Args:
        log_p: (…, V) log-probabilities of p, which the average is taken over.
        log_q: (…, V) log-probabilities of q, exactly the same shape.
    Returns:
        (…), the sum over the last dimension of p · (log p − log q), with p = exp(log_p).
        For p = [1, 0] and q = [½, ½] it is ln 2; for these two exchanged it is +inf.

    Where p is 0 (log_p is −inf) the term is 0, and the gradients that it sends to log_p and log_q are 0, also if q is
    0 there too. Where q is 0 and p is not, the result is +inf. Elsewhere both inputs get the gradients of the formula.
    Written without `F.kl_div` and `nn.KLDivLoss`.

    Raises:
        ValueError: the shapes differ.
    """
    raise NotImplementedError


def approximate_kl(
    log_probs_policy: Tensor, log_probs_ref: Tensor, estimator: str = "k1", mask: Tensor | None = None
) -> Tensor:
    """Estimate KL(policy ‖ ref) from tokens that were drawn from the policy, without the rest of the vocabulary.

    Args:
        log_probs_policy: log-probabilities that the policy gives to the drawn tokens: (B, T), or any other shape.
        log_probs_ref: those that the reference model gives to the same tokens, exactly the same shape.
        estimator: how a position is estimated, with r = log_probs_ref − log_probs_policy:
            "k1" → −r, right on average, may be negative;
            "k2" → r²/2, never negative, a little off on average;
            "k3" → exp(r) − 1 − r, never negative and right on average.
        mask: bool, the same shape, True = this position counts.
    Returns:
        A scalar, the mean over all positions, or over those that the mask keeps; 0.0 with gradient 0 if it keeps none.

    Gradients flow to both inputs. What stands at masked positions has no influence, whatever it is (NaN and −inf
    included), and gets a gradient of exactly 0. The estimators are those of J. Schulman, "Approximating KL Divergence"
    (2020).

    Raises:
        ValueError: the shapes differ; or `estimator` is none of the above (the message holds the value).
    """
    raise NotImplementedError
