"""Multi-head attention: the model width cut into heads that attend separately, and mixed again by one linear layer.

Sizes: B batch elements, T queries, S keys, C = d_model features, H heads of D = C / H features each.
Masks are boolean everywhere, and True means "may attend" (`nn.MultiheadAttention` means the opposite).
"""

from torch import Tensor, nn


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Give every head its own slice of the features.

    Args:
        x: (B, T, C).
        num_heads: H, how many heads share the C features.
    Returns:
        (B, H, T, D) with D = C / H: head h of position t holds the features h·D to (h + 1)·D − 1 of `x[:, t]`.
        With C = 6 and H = 3, position t = [a b c d e f] gives head 0 [a b], head 1 [c d] and head 2 [e f].

    Once the heads stand before the positions, every head is one more batch element to a matrix product. `x` may be
    non-contiguous (a transposed view, say), and gradients flow back to it.

    Raises:
        ValueError: `x` is not 3-D; or `num_heads` is below 1 or does not divide C (the message names both numbers).
    """
    raise NotImplementedError


def merge_heads(x: Tensor) -> Tensor:
    """Put the heads of every position side by side again: the exact inverse of `split_heads`.

    Args:
        x: (B, H, T, D), contiguous or not.
    Returns:
        (B, T, H·D): `merge_heads(split_heads(x, H))` equals `x`.

    Gradients flow back to `x`.

    Raises:
        ValueError: `x` is not 4-D.
    """
    raise NotImplementedError


def prepare_mask(
    mask: Tensor | None, key_padding_mask: Tensor | None, shape: tuple[int, int, int, int]
) -> Tensor | None:
    """Turn the masks that a caller may pass into one that fits the scores of all heads.

    Args:
        mask: bool, True = this query may attend to this key. The number of its dimensions says what it is:
            1 → (S,), 2 → (T, S), 3 → (B, T, S), 4 → (B, H, T, S). Each size may also be 1, which stands for
            "the same for all", as in broadcasting. Three dimensions always are one mask per batch element for all
            heads, never one per head, also when B equals H.
        key_padding_mask: bool, exactly (B, S), True = a real token. A padded key is hidden from every query.
        shape: (B, H, T, S), the shape of the scores.
    Returns:
        None if both masks are None; otherwise a bool tensor for which `.expand(B, H, T, S)` works, True where both
        masks (or the only one given) allow it. It may keep sizes of 1, or be expanded already.

    Neither mask is written to.

    Raises:
        TypeError: a mask is not bool; the message names the argument and its dtype.
        ValueError: a mask does not fit; the message names the argument, its shape and the wanted shape, which is the
            one above for that number of dimensions, and (B, H, T, S) for a mask of more than four. A mask never
            enlarges the scores: a (5, T, S) mask for B = 1 does not fit.
    """
    raise NotImplementedError


class MultiHeadAttention(nn.Module):
    """Attention in `num_heads` slices of the features at once, with one mask for all of them or one for each.

    Each head computes softmax(q kᵀ / √d_k) v on its own d_k = d_model / num_heads features of the projected query, key
    and value; the heads are put side by side again and go through `W_o` (Vaswani et al. 2017, section 3.2.2).

    Args:
        d_model: C, the number of features of query, key, value and output.
        num_heads: H, a divisor of `d_model`.
        dropout: the probability with which an attention weight is zeroed in training mode.
        bias: whether the four linear layers have a bias.
    Attributes:
        W_q, W_k, W_v, W_o: `nn.Linear(d_model, d_model, bias=bias)`; they hold the only entries of the state_dict.
        dropout: an `nn.Dropout`.
        d_model, num_heads, d_k: plain ints.

    `forward(query, key=None, value=None, mask=None, key_padding_mask=None, need_weights=False)` takes a query (B, T, C)
    and a key and a value (B, S, C); T and S may differ. Without a key, the key is the query (self-attention); without
    a value, the value is the key. It returns the output (B, T, C), or with `need_weights` the pair (output, weights)
    with weights (B, H, T, S); the numbers do not depend on whether the weights are asked for.

    - The softmax runs over the keys. Scores in the hundreds are no problem.
    - The masks are those of `prepare_mask`, True = may attend. A masked key gets weight 0 and the allowed ones share 1;
      what a masked key or value holds changes nothing, even 1e4. A query without any allowed key gets weights of all
      zeros, so that its output is the bias of `W_o` (zeros without bias); every gradient stays finite.
    - Dropout acts on the weights and on nothing else, in training mode only. The returned weights are those before
      dropout. The layer keeps no state between calls: the output depends on the arguments, the parameters and (in
      training mode) the dropout draw; the arguments stay as they were.
    - A layer of float64, float32, float16 or bfloat16 returns output and weights of its own dtype, masked or not. Under
      `torch.autocast` the result stays finite and near that of float32.
    - `nn.MultiheadAttention` and `F.multi_head_attention_forward` are not used here;
      `F.scaled_dot_product_attention` may be.

    Raises:
        ValueError: `num_heads` is below 1 or does not divide `d_model`; `dropout` lies outside [0, 1]; in `forward`,
            the last dimension of query is not `d_model` (the message names both numbers); masks as in `prepare_mask`.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True):
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
        raise NotImplementedError


def attention_patterns(
    mha: MultiHeadAttention,
    query: Tensor,
    key: Tensor | None = None,
    mask: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
) -> Tensor:
    """The attention weights of one call, ready to plot.

    Args:
        mha: the layer to look into.
        query, key, mask, key_padding_mask: as in a call of the layer; the value is the key.
    Returns:
        (B, H, T, S) weights without a graph (`requires_grad` is False).

    Looking changes nothing: the weights are computed in eval mode, so no dropout is drawn; the training flag of the
    layer is put back afterwards, also when the call raises; and no `.grad` is touched.
    """
    raise NotImplementedError


def head_statistics(weights: Tensor) -> dict[str, Tensor]:
    """Four numbers a head that say what kind of attention it pays.

    Args:
        weights: (B, H, T, S) attention weights; each row adds up to 1, or is all zeros where every key was masked.
    Returns:
        A dict of four (H,) tensors. For one row i with weights w_i0 … w_i(S−1):

        - `entropy`: −Σ_j w_ij · ln w_ij in nats, with 0 · ln 0 = 0; 0 for one key, ln S for all alike.
        - `mean_distance`: Σ_j w_ij · |i − j|, how far away the head looks.
        - `max_weight`: the largest w_ij.
        - `self_weight`: w_ii, what the position gives to itself; 0 where i ≥ S.

        Each is averaged over all rows of the head, in all batch elements, except the rows of all zeros. A head
        that has only such rows gets 0.0. Half-precision weights are summed in float32, and give float32 statistics.
    """
    raise NotImplementedError


def to_torch_mha(mha: MultiHeadAttention) -> nn.MultiheadAttention:
    """PyTorch's own layer with the same weights.

    Returns:
        An `nn.MultiheadAttention` with `batch_first=True` and the same d_model, number of heads, bias, dropout
        probability, training flag, dtype and device. Its `in_proj_weight` (3·C, C) is W_q, W_k and W_v stacked in this
        order, its `in_proj_bias` likewise, and its `out_proj` is W_o.

    The weights are copies: later changes of one layer do not reach the other. The parameters of the result are leaves
    that require a gradient.
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
    """How far the layer is from PyTorch's own with the same weights (`to_torch_mha`), on one call in eval mode.

    Args:
        mha: the layer to check.
        query, key, value, mask, key_padding_mask: as in a call of the layer, with the same defaults.
    Returns:
        The largest absolute difference of the outputs under "output" and of the weights of every head (not averaged
        over the heads) under "weights", as plain floats. Around 1e-7 for a correct float32 layer.

    PyTorch's boolean masks mean the opposite (True = blocked), and one mask per head is (B·H, T, S) there, the heads of
    one batch element after one another. It answers NaN for a query without any allowed key, so these are left out:
    row (b, t) of the output if any head of it is fully masked, row (b, h, t) of the weights if it is. If nothing is
    left, the difference is 0.0. The training flag of the layer is put back.
    """
    raise NotImplementedError
