"""Multi-head attention: the model width cut into heads that attend separately, and
mixed again by one linear layer.

Sizes: B batch elements, T queries, S keys, C = d_model features, H heads of D = C / H
features each.
Masks are boolean everywhere, and True means "may attend" (`nn.MultiheadAttention` means
the opposite).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch  # stub: keep
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
    if x.ndim != 3:
        raise ValueError(f"x should be (B, T, C), not of shape {tuple(x.shape)}")
    features = x.shape[-1]
    if num_heads < 1 or features % num_heads:
        raise ValueError(
            f"{features} features cannot be shared equally by {num_heads} heads"
        )
    return x.unflatten(-1, (num_heads, features // num_heads)).transpose(1, 2)


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
    if x.ndim != 4:
        raise ValueError(f"x should be (B, H, T, D), not of shape {tuple(x.shape)}")
    return x.transpose(1, 2).flatten(2)


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
    batch, heads, queries, keys = shape
    allowed = None
    if mask is not None:
        _require_bool("mask", mask)
        forms = {1: (keys,), 2: (queries, keys), 3: (batch, queries, keys)}
        wanted = forms.get(mask.ndim, (batch, heads, queries, keys))
        fits = len(wanted) == mask.ndim and all(
            n in (1, size) for n, size in zip(mask.shape, wanted, strict=True)
        )
        if not fits:
            raise ValueError(
                f"mask has shape {tuple(mask.shape)}, which does not fit {wanted}"
            )
        allowed = mask.unsqueeze(1) if mask.ndim == 3 else mask
    if key_padding_mask is not None:
        _require_bool("key_padding_mask", key_padding_mask)
        if key_padding_mask.shape != (batch, keys):
            raise ValueError(
                f"key_padding_mask has shape {tuple(key_padding_mask.shape)}, wanted "
                f"is exactly {(batch, keys)}"
            )
        real = key_padding_mask[:, None, None, :]
        allowed = real if allowed is None else allowed & real
    return allowed


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
        super().__init__()
        if num_heads < 1 or d_model % num_heads:
            raise ValueError(
                f"d_model {d_model} cannot be shared equally by {num_heads} heads"
            )
        self.d_model = d_model
        self.num_heads = num_heads
        self.d_k = d_model // num_heads
        self.W_q = nn.Linear(d_model, d_model, bias=bias)
        self.W_k = nn.Linear(d_model, d_model, bias=bias)
        self.W_v = nn.Linear(d_model, d_model, bias=bias)
        self.W_o = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

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
        if query.shape[-1] != self.d_model:
            raise ValueError(
                f"query has {query.shape[-1]} features, d_model is {self.d_model}"
            )
        key = query if key is None else key
        value = key if value is None else value
        q = split_heads(self.W_q(query), self.num_heads)
        k = split_heads(self.W_k(key), self.num_heads)
        v = split_heads(self.W_v(value), self.num_heads)
        scores = q @ k.mT / math.sqrt(self.d_k)
        allowed = prepare_mask(mask, key_padding_mask, scores.shape)
        if allowed is None:
            weights = scores.softmax(dim=-1)
        else:
            # The smallest finite number instead of −inf: a row of −inf only would be
            # NaN. The second fill zeroes it.
            scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
            weights = scores.softmax(dim=-1).masked_fill(~allowed, 0.0)
        output = self.W_o(merge_heads(self.dropout(weights) @ v))
        return (output, weights) if need_weights else output


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
    with _eval_mode(mha), torch.no_grad():
        _, weights = mha(
            query, key, mask=mask, key_padding_mask=key_padding_mask, need_weights=True
        )
    return weights


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
    weights = weights.to(torch.promote_types(weights.dtype, torch.float32))
    queries, keys = weights.shape[2:]
    offset = torch.arange(queries, device=weights.device)[:, None] - torch.arange(
        keys, device=weights.device
    )
    totals = {  # a row of all zeros adds 0 to each
        "entropy": torch.special.entr(weights).sum(dim=(0, 2, 3)),
        "mean_distance": (weights * offset.abs()).sum(dim=(0, 2, 3)),
        "max_weight": weights.amax(dim=3).sum(dim=(0, 2)),
        "self_weight": (weights * (offset == 0)).sum(dim=(0, 2, 3)),
    }
    live = (weights != 0).any(dim=3).sum(dim=(0, 2))
    return {name: total / live.clamp(min=1) for name, total in totals.items()}


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
    inputs = (mha.W_q, mha.W_k, mha.W_v)
    has_bias = mha.W_o.bias is not None
    theirs = nn.MultiheadAttention(
        mha.d_model,
        mha.num_heads,
        dropout=mha.dropout.p,
        bias=has_bias,
        batch_first=True,
        device=mha.W_o.weight.device,
        dtype=mha.W_o.weight.dtype,
    )
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in inputs]))
        theirs.out_proj.weight.copy_(mha.W_o.weight)
        if has_bias:
            theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in inputs]))
            theirs.out_proj.bias.copy_(mha.W_o.bias)
    return theirs.train(mha.training)


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
    key = query if key is None else key
    value = key if value is None else value
    theirs = to_torch_mha(mha).eval()
    with _eval_mode(mha), torch.no_grad():
        output, weights = mha(
            query, key, value, mask, key_padding_mask, need_weights=True
        )
        allowed = prepare_mask(mask, key_padding_mask, weights.shape)
        allowed = (
            torch.ones_like(weights, dtype=torch.bool)
            if allowed is None
            else allowed.expand(weights.shape)
        )
        torch_output, torch_weights = theirs(
            query,
            key,
            value,
            attn_mask=~allowed.flatten(0, 1),
            average_attn_weights=False,
        )
    live = allowed.any(dim=-1)
    return {
        "output": _largest((output - torch_output)[live.all(dim=1)]),
        "weights": _largest((weights - torch_weights)[live]),
    }


def _require_bool(name: str, mask: Tensor) -> None:
    if mask.dtype != torch.bool:
        raise TypeError(f"{name} should be bool (True = may attend), not {mask.dtype}")


@contextmanager
def _eval_mode(module: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; every part gets its own training flag
    back afterwards.
    """
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, flag in flags:
            part.training = flag


def _largest(differences: Tensor) -> float:
    return differences.abs().max().item() if differences.numel() else 0.0
