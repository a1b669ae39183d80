"""Scaled dot-product attention: two matrix products, a softmax between them, and masks
for what may not be seen.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def causal_mask(
    query_len: int, key_len: int | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Say which keys each query may see when none may look into the future.

    Args:
        query_len: T, the number of queries.
        key_len: S, the number of keys. By default as many as queries.
        device: the device of the mask.
    Returns:
        (T, S) bool, True = may attend. The queries are the last T of S positions: query
        i sees keys 0 … S − T + i. causal_mask(2, 4) is [[True, True, True, False],
        [True, True, True, True]].

    Edge cases ★
        The mask is on the given device. Fewer keys than queries are an error that names
        both numbers, 0 keys as well.
    """
    raise NotImplementedError


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    """Say which keys are real in a batch of sequences that are padded at the end to
    one length.

    Args:
        lengths: (B,) int64, the number of real keys per sequence.
        max_len: S, the padded length. It may be above the longest of `lengths`.
    Returns:
        (B, 1, S) bool, True for the first lengths[b] keys of sequence b. The dimension
        of size 1 broadcasts over the queries of (B, T, S) scores.
        padding_mask(torch.tensor([1, 3]), 3) is [[[True, False, False]], [[True,
        True, True]]].

    Edge cases ★
        A length may be 0. A length that is negative or above max_len is an error. The
        mask is on the device of `lengths`.
    """
    raise NotImplementedError


def combine_masks(*masks: Tensor | None) -> Tensor | None:
    """Allow what every mask allows.

    Args:
        masks: any number of bool masks (True = may attend) with shapes that broadcast.
            None means no restriction.
    Returns:
        The logical and of the masks: (T, S) and (B, 1, S) give (B, T, S). None if no
        mask is left.

    Edge cases ★
        No mask is written to; with only one, the result may be that same tensor. A mask
        that is not bool is an error, even if it is the only one.
    """
    raise NotImplementedError


def scaled_dot_product_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Give every query the mean of the values, weighted by the dot products of the
    query with the keys.

    weights = softmax(q kᵀ · scale) over the keys, output = weights v (Vaswani et al.
    2017, equation 1).

    Args:
        q: (..., T, D) queries.
        k: (..., S, D) keys.
        v: (..., S, Dv) values. Any number of leading dims, also none; those of q, k and
            v broadcast.
        mask: bool, broadcastable to (..., T, S), True = may attend.
        scale: replaces 1/√D, the default.
    Returns:
        (output, weights): (..., T, Dv) and (..., T, S).

    - A masked key has weight exactly 0, and the weights of the others sum to 1.
    - A query that may see no key gets zero weights and zero output, and all gradients
      stay finite.
    - Write it without F.scaled_dot_product_attention and nn.MultiheadAttention.

    Edge cases ★
        A scale of 0.0 is a scale. Scores of ±1e5 are handled. Inputs may be
        non-contiguous and are not written to.
        Both results have the dtype of v; float64 is computed in float64. float16 stays
        finite if the scaled scores fit: q = k = 40 everywhere with D = 64 works. A mask
        that is not bool is an error. So are q and k of different D, or k and v of
        different S; the message names both sizes. Everything runs on the device of
        the inputs.
    """
    raise NotImplementedError


def score_statistics(scores: Tensor, v: Tensor) -> dict[str, float]:
    """Measure how sharply the weights w = softmax(scores) choose among the keys.

    Args:
        scores: (T, S), one row per query.
        v: (S, D), one value per key.
    Returns:
        Four floats:

        - "std": the standard deviation of all scores.
        - "entropy": −Σ_j w_j log w_j in nats, mean over the queries. A weight of 0
          adds 0. Equal weights give log S.
        - "gradient": Σ_j w_j (1 − w_j), mean over the queries: how much the weights
          move when the scores do.
        - "output_std": the standard deviation of all entries of w v.

        Equal scores over S = 4 keys have std 0, entropy log 4 and gradient 3/4.
    """
    raise NotImplementedError


def compare_scaling(
    head_dims: Sequence[int],
    num_queries: int = 64,
    num_keys: int = 32,
    generator: torch.Generator | None = None,
) -> dict[int, dict[str, float]]:
    """Compare the scores q kᵀ with q kᵀ/√D on random queries, keys and values.

    Per D, draw q (num_queries, D), k (num_keys, D) and v (num_keys, D) once, from the
    standard normal distribution.

    Args:
        head_dims: the sizes D to try.
        num_queries: the number of queries.
        num_keys: the number of keys and values.
        generator: the source of all random numbers. None means torch's
            default generator.
    Returns:
        Per D, in the given order, the `score_statistics` of the raw and of the scaled
        scores: "std_raw", "std_scaled", "entropy_raw", "entropy_scaled",
        "gradient_raw", "gradient_scaled", "output_std_raw", "output_std_scaled".
    """
    raise NotImplementedError


def attention_cost(
    num_queries: int, num_keys: int, dim: int
) -> dict[str, dict[str, int]]:
    """Count the cost of scoring T queries against S keys of D features: by dot products
    and by additive attention.

    Dot products score q · k and take q and k as given. Additive attention scores
    v · tanh(W_q q + W_k k): its projections W_q and W_k, (D, D) each, are counted, once
    per query or key; v has D entries. Softmax, the division by √D and the product with
    the values are not counted.

    Args:
        num_queries: T.
        num_keys: S.
        dim: D.
    Returns:
        {"dot": …, "additive": …}, each a dict of three ints:

        - "multiplications": T·S·D for dot, T·D² + S·D² + T·S·D for additive.
        - "nonlinearities": calls of tanh, 0 for dot, T·S·D for additive.
        - "largest_intermediate": elements of the largest tensor over all pairs, T·S for
          dot, T·S·D for additive.
    """
    raise NotImplementedError
