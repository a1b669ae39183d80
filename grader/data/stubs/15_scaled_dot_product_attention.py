"""Scaled dot-product attention: two matrix products, a softmax between them, and masks for what may not be seen."""

from collections.abc import Sequence

import torch
from torch import Tensor


def causal_mask(query_len: int, key_len: int | None = None, device: torch.device | str | None = None) -> Tensor:
    """Say which keys each query may see when nothing may look into the future.

    Args:
        query_len: T, how many queries.
        key_len: S, how many keys; None means as many as queries.
        device: where the mask lies.
    Returns:
        (T, S) bool, True = may attend. The queries are the last T of S positions: query i sees keys 0 … S − T + i.
    Raises:
        ValueError: there are fewer keys than queries; the message names both numbers.

    causal_mask(2, 4) is [[True, True, True, False], [True, True, True, True]], and one query sees every key.
    That is the mask for generating text: the keys of earlier tokens are kept, and only the newest tokens ask.
    """
    raise NotImplementedError


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    """Say which keys are real where sequences of several lengths are padded at the end to one length.

    Args:
        lengths: (B,) int64, how many real keys each sequence has; 0 is allowed.
        max_len: S, the padded length. It need not be the longest of `lengths`.
    Returns:
        (B, 1, S) bool on the device of `lengths`, True for the first lengths[b] keys of sequence b. The dimension
        of size 1 lets it broadcast over the queries of (B, T, S) scores.
    Raises:
        ValueError: a length is negative or above max_len.

    padding_mask(torch.tensor([1, 3]), 3) is [[[True, False, False]], [[True, True, True]]].
    """
    raise NotImplementedError


def combine_masks(*masks: Tensor | None) -> Tensor | None:
    """Allow what every mask allows.

    Args:
        masks: any number of bool masks (True = may attend) whose shapes broadcast; None stands for no restriction.
    Returns:
        The logical and of the masks, of their broadcast shape: (T, S) and (B, 1, S) give (B, T, S). None where no
        mask is left. No mask is written to; if there is just one, the result may be that very tensor.
    Raises:
        TypeError: a mask is not bool, also if it is the only one.
    """
    raise NotImplementedError


def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """Give every query a mean of the values, weighted by how well its dot products with the keys come out.

    weights = softmax(q kᵀ · scale) over the keys, output = weights v.

    Args:
        q: (..., T, D) queries.
        k: (..., S, D) keys.
        v: (..., S, Dv) values. There may be any number of leading dims, also none; those of q, k and v broadcast.
        mask: bool, broadcastable to (..., T, S), True = this query may attend to this key; None allows everything.
        scale: what the dot products are multiplied by; None means 1/√D. A given scale, 0.0 too, replaces 1/√D.
    Returns:
        (output, weights): (..., T, Dv) and (..., T, S). A masked key has weight exactly 0, and the weights of a
        query that may see any key sum to 1, also where scores reach ±1e5. Gradients flow through both results.
    Raises:
        TypeError: the mask is not bool.
        ValueError: q and k differ in D, or k and v in S; the message names their shapes.

    A query that may see no key gets zero weights and zero output, and all gradients stay finite.
    Inputs may be non-contiguous, and none is written to. Both results have the dtype of v, also where q and k have
    another; float64 is computed in float64. float16 stays finite if the scaled scores fit into it, even though the
    unscaled ones do not: q = k = 40 everywhere with D = 64 has dot products of 102400, and float16 ends at 65504.
    Write it yourself: F.scaled_dot_product_attention and nn.MultiheadAttention may not be used.

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1, equation 1.
    """
    raise NotImplementedError


def compare_scaling(
    head_dims: Sequence[int], num_queries: int = 64, num_keys: int = 32, generator: torch.Generator | None = None
) -> dict[int, dict[str, float]]:
    """Measure what dividing the scores by √D changes, on random queries, keys and values.

    For each D draw q (num_queries, D), k (num_keys, D) and v (num_keys, D) from the standard normal distribution.
    Compare the raw scores q kᵀ with the scaled scores q kᵀ/√D of this same draw, w being their softmax over the keys.

    Args:
        head_dims: the sizes D to try.
        num_queries: how many queries are drawn.
        num_keys: how many keys and values are drawn.
        generator: where all random numbers come from (None: torch's default generator): same seed, same result.
    Returns:
        For each D, in the order of head_dims, a dict of eight floats:
        "std_raw", "std_scaled": the standard deviation over all scores, with either divisor.
        "entropy_raw", "entropy_scaled": −Σ_j w_j log w_j in nats, mean over the queries; log(num_keys) if a query
        looks at all keys alike, 0 if at one alone. A weight of 0 adds 0.
        "gradient_raw", "gradient_scaled": Σ_j w_j (1 − w_j), mean over the queries. It is the trace of the
        Jacobian of softmax: how much the weights still move when the scores do.
        "output_std_raw", "output_std_scaled": the standard deviation over all entries of w v. Near 1 it says that
        one row of v is copied, near 0 that many are averaged.
    """
    raise NotImplementedError


def attention_cost(num_queries: int, num_keys: int, dim: int) -> dict[str, dict[str, int]]:
    """Count what it costs to score every query against every key: by dot products, and by additive attention.

    With T queries, S keys and D features, per batch element; softmax and the division by √D are not counted.
    Additive attention scores v · tanh(W_q q + W_k k): W_q and W_k are (D, D), and each is applied once to every
    query or key; v has D entries.

    Args:
        num_queries: T.
        num_keys: S.
        dim: D.
    Returns:
        {"dot": …, "additive": …}, each a dict of three ints:
        "multiplications": T·S·D for dot, T·D² + S·D² + T·S·D for additive.
        "nonlinearities": calls of tanh, 0 for dot, T·S·D for additive.
        "largest_intermediate": elements of the largest tensor on the way, T·S for dot, T·S·D for additive.
    """
    raise NotImplementedError
