"""Weights in few bits: rounding to 8, 4 and 8 floating bits, two numbers per byte, and
training through the rounding.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def absmax_int8(w: Tensor) -> tuple[Tensor, Tensor]:
    """Round every row of a weight to 8-bit integers, with one scale per row."""
    scale = w.abs().amax(dim=1, keepdim=True) / 127
    scale[scale == 0] = 1
    q = torch.round(w / scale).to(torch.int8)
    return q, scale


def pack_int4(q: Tensor) -> Tensor:
    """Put two 4-bit integers into each byte."""
    q = q.to(torch.uint8)
    low, high = q[..., 0::2] & 0xF, q[..., 1::2] & 0xF
    return low | (high << 4)


def unpack_int4(packed: Tensor) -> Tensor:
    """Take the 4-bit integers out of their bytes again."""
    low, high = (packed & 0xF).to(torch.int8), (packed >> 4).to(torch.int8)
    q = torch.stack([low, high], dim=-1).flatten(-2)
    q[q > 7] -= 16
    return q


def absmax_int4(w: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """Round a weight to 4-bit integers, with one scale per group of neighbours in
    a row.
    """
    groups = w.reshape(len(w), -1, group_size)
    scale = groups.abs().amax(dim=-1) / 7
    scale[scale == 0] = 1
    q = torch.round(groups / scale[..., None]).to(torch.int8)
    return pack_int4(q.reshape(w.shape)), scale


def quantised_linear(
    x: Tensor,
    packed: Tensor,
    scale: Tensor,
    group_size: int,
    bias: Tensor | None = None,
) -> Tensor:
    """Apply a linear layer whose weight is kept in four bits. The input is
    not rounded.
    """
    w = unpack_int4(packed) * scale.repeat_interleave(group_size, dim=1)
    return F.linear(x, w, bias)


def calibrate(x: Tensor, bits: int = 8, candidates: int = 100) -> Tensor:
    """Choose a scale for activations by trying: a smaller one rounds finer, and cuts
    off what is large.
    """
    n = 2 ** (bits - 1) - 1
    absmax = x.abs().max()
    if absmax == 0:
        return torch.tensor(1.0)
    best, best_error = None, None
    for i in range(1, candidates + 1):
        s = absmax / n * i / candidates
        error = ((torch.round(x / s).clamp(-n, n) * s - x) ** 2).mean()
        if best is None or error <= best_error:
            best, best_error = s, error
    return best


def fp8_scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """Scale a tensor so that its largest value is the largest of float8_e4m3fn, and
    cast it.
    """
    scale = x.abs().max() / 448
    if scale == 0:
        scale = torch.tensor(1.0)
    return (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn), scale


def straight_through(w: Tensor, quantise: Callable[[Tensor], Tensor]) -> Tensor:
    """Use rounded weights in the forward pass, and act in the backward pass as if they
    were not rounded.
    """
    return w + (quantise(w) - w).detach()
