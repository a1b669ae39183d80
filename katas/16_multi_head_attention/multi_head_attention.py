"""Multi-head attention: the model width cut into heads that attend separately, and
mixed again by one linear layer.

Sizes: B batch elements, T queries, S keys, C = d_model features, H heads of D = C / H
features each.
Masks are boolean everywhere, and True means "may attend" (`nn.MultiheadAttention` means
the opposite).
"""

import torch
from torch import Tensor, nn


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Give every head its own slice of the features.

    Args:
        x: (B, T, C) features.
        num_heads: H, a divisor of C.
    Returns:
        (B, H, T, D) with D = C / H: head h of position t holds features h·D to
        (h + 1)·D − 1 of `x[:, t]`.
        With C = 6 and H = 3, [a b c d e f] becomes [a b], [c d] and [e f].

    Gradients flow back to `x`.

    Edge cases ★
        `x` may be non-contiguous. An `x` that is not 3-D or an H below 1 is an error.
        So is an H that does not divide C, and its message names both numbers.
    """
    raise NotImplementedError


def merge_heads(x: Tensor) -> Tensor:
    """Put the heads of every position side by side again: the inverse of `split_heads`.

    Args:
        x: (B, H, T, D), contiguous or not.
    Returns:
        (B, T, H·D): position t holds the features of head 0, then those of head 1, and
        so on.

    Gradients flow back to `x`.

    Edge cases ★
        An `x` that is not 4-D is an error.
    """
    raise NotImplementedError


def prepare_mask(
    mask: Tensor | None,
    key_padding_mask: Tensor | None,
    shape: tuple[int, int, int, int],
) -> Tensor | None:
    """Turn the masks of a caller into one that fits the scores of all heads. True means
    "may attend".

    Args:
        mask: bool. The number of dimensions says what it is: (S,), (T, S), (B, T, S) or
            (B, H, T, S). Any size may be 1, which means "the same for all". Three
            dimensions are one mask per batch element, for all heads, also when B
            equals H.
        key_padding_mask: (B, S) bool, True for a real token. A padded key is hidden
            from every query.
        shape: (B, H, T, S), the shape of the scores.
    Returns:
        A bool tensor that `.expand(B, H, T, S)` accepts: True where both masks, or the
        only one, allow it.
        None if there is no mask.

    Edge cases ★
        Neither mask is written to. A mask that is not bool is an error that names its
        dtype. A mask that does not fit is an error that names its shape: sizes other
        than those above, more than four dimensions, or a `key_padding_mask` that is not
        exactly (B, S). A mask never enlarges the scores: (5, T, S) does not fit B = 1.
    """
    raise NotImplementedError


class MultiHeadAttention(nn.Module):
    """Attention in `num_heads` slices of the features at once (Vaswani et al. 2017,
    section 3.2.2).

    Each head computes softmax(q kᵀ / √d_k) v on its own d_k features of the projected
    query, key and value. The heads are merged, and `W_o` mixes them. Write it without
    `nn.MultiheadAttention` and `F.multi_head_attention_forward`;
    `F.scaled_dot_product_attention` is allowed.
    """

    def __init__(
        self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True
    ):
        """Create four linear layers and a dropout.

        Args:
            d_model: C, the number of features of query, key, value and output.
            num_heads: H, a divisor of `d_model`.
            dropout: the probability of dropping an attention weight.
            bias: whether the linear layers have a bias.
        Attributes:
            W_q, W_k, W_v, W_o: `nn.Linear(d_model, d_model, bias=bias)`. They hold all
                the parameters.
            dropout: an `nn.Dropout`.
            d_model, num_heads, d_k: ints. d_k is the width of one head,
                d_model / num_heads.

        Edge cases ★
            A `num_heads` that is below 1 or does not divide `d_model` is an error. So
            is a `dropout` outside [0, 1].
        """
        raise NotImplementedError

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Let every query read from the keys that it may attend to.

        Args:
            query: (B, T, C).
            key: (B, S, C). By default the query: self-attention.
            value: (B, S, C). By default the key.
            mask, key_padding_mask: as in `prepare_mask`, True = may attend.
            need_weights: whether to return the attention weights as well.
        Returns:
            The output (B, T, C); with `need_weights` the pair (output, weights), the
            weights being (B, H, T, S).

        The softmax runs over the keys. The allowed keys share a weight of 1; what a
        masked key or value holds changes nothing. Dropout acts on the weights and on
        nothing else, in training mode only.

        Edge cases ★
            The returned weights are those before dropout. A query without any allowed
            key has weights of zero, so its output is the bias of `W_o`; all gradients
            stay finite. Scores in the thousands and masked contents of 1e4 do no harm.
            Output and weights have the layer's dtype, also float64, float16
            and bfloat16.
            Under `torch.autocast` they stay finite and near those of float32. The layer
            keeps nothing between calls, and no argument is written to: a layer that
            loads the state_dict of another one gives the same output.
            A query that is not `d_model` wide is an error that names both widths. Masks
            are checked as in `prepare_mask`. Everything runs on the device of
            the input.
        """
        raise NotImplementedError


def attention_patterns(
    mha: MultiHeadAttention,
    query: Tensor,
    key: Tensor | None = None,
    mask: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
) -> Tensor:
    """Compute the attention weights of one call, ready to plot.

    Args:
        mha: the layer to look into.
        query, key, mask, key_padding_mask: as in a call of the layer. The value is
            the key.
    Returns:
        (B, H, T, S) weights without a graph (`requires_grad` is False), computed in
        eval mode: no dropout is drawn.

    Edge cases ★
        The training flag of the layer and of its parts is put back, also when the call
        raises. No `.grad` is touched.
    """
    raise NotImplementedError


def head_statistics(weights: Tensor) -> dict[str, Tensor]:
    """Describe the attention of each head by four numbers.

    Args:
        weights: (B, H, T, S) attention weights. Each row sums to 1.
    Returns:
        A dict of four (H,) tensors, each averaged over all rows of the head in all
        batch elements.
        For row i with weights w_i0 … w_i(S−1):

        - `entropy`: −Σ_j w_ij · ln w_ij in nats, with 0 · ln 0 = 0. One key gives 0,
          equal weights give ln S.
        - `mean_distance`: Σ_j w_ij · |i − j|.
        - `max_weight`: the largest w_ij.
        - `self_weight`: w_ii.

    Edge cases ★
        Rows of all zeros (every key masked) do not count in the average; a head with
        only such rows gets 0.0. `self_weight` is 0 where i ≥ S. Half-precision weights
        are summed in float32 and give float32 statistics. Everything runs on the device
        of the weights.
    """
    raise NotImplementedError


def to_torch_mha(mha: MultiHeadAttention) -> nn.MultiheadAttention:
    """Build PyTorch's own layer with the same weights.

    Returns:
        An `nn.MultiheadAttention` with `batch_first=True` and the same d_model, number
        of heads and bias.
        Its `in_proj_weight` (3·C, C) is W_q, W_k and W_v stacked in this order, its
        `in_proj_bias` likewise.
        Its `out_proj` is W_o.

    Edge cases ★
        Dropout probability, training flag, dtype and device are those of `mha`. The
        weights are copies: a later change of one layer does not reach the other. The
        parameters of the result are leaves that require a gradient, also if `mha`
        is frozen.
    """
    raise NotImplementedError


def compare_with_torch(
    mha: MultiHeadAttention,
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    mask: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
) -> dict[str, float]:
    """Measure how far the layer is from `to_torch_mha(mha)` on one call, both in
    eval mode.

    Args:
        mha: the layer to check.
        query, key, value, mask, key_padding_mask: as in a call of the layer, with the
            same defaults.
    Returns:
        The largest absolute difference of the outputs, as "output", and of the weights
        of every head (not averaged over the heads), as "weights". Both are plain
        floats, around 1e-7 for a right float32 layer.

    PyTorch's boolean masks mean the opposite (True = blocked). One mask per head is
    (B·H, T, S) there: all heads of the first batch element, then those of the second.

    Edge cases ★
        PyTorch returns NaN for a query without any allowed key. Leave out row (b, h, t)
        of the weights if it is fully masked, and row (b, t) of the output if any of its
        heads is. If nothing is left, the difference is 0.0.
        The training flag of `mha` is put back.
    """
    raise NotImplementedError
