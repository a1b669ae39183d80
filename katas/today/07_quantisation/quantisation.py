"""Weights in few bits: rounding to 8, 4 and 8 floating bits, two numbers per byte, and
training through the rounding.

Sizes: a weight is (O, I), as nn.Linear holds it. A code is the small integer that
stands for a number: number ≈ code · scale.
"""

from collections.abc import Callable

from torch import Tensor


def absmax_int8(w: Tensor) -> tuple[Tensor, Tensor]:
    """Round every row of a weight to 8-bit integers, with one scale per row.

    Args:
        w: (O, I).
    Returns:
        (q, scale), with w ≈ q · scale.

        - scale (O, 1), in w's dtype: the row's largest |w| / 127. A row of zeros has
          the scale 1.
        - q (O, I), int8: w / scale, rounded as `torch.round` does, from −127 to 127.

        The row [1.27, −0.5, 0.004] has the scale 0.01 and the codes [127, −50, 0].

    Edge cases ★
        In bfloat16, w / scale may be rounded to 128 for the largest. Its code is 127
        all the same.
    """
    raise NotImplementedError


def pack_int4(q: Tensor) -> Tensor:
    """Put two 4-bit integers into each byte.

    Args:
        q: (…, n), integers from −8 to 7 of any integer dtype; n is even.
    Returns:
        (…, n / 2), uint8. Element 2i is in the low four bits, element 2i + 1 in the
        high four, in two's complement:
        −1 is 1111 in binary, and −8 is 1000. [−1, −8] becomes 0x8F, which is 143.

    Edge cases ★
        An odd n is an error that names it, and so is a value outside −8 … 7.
    """
    raise NotImplementedError


def unpack_int4(packed: Tensor) -> Tensor:
    """Take the 4-bit integers out of their bytes again.

    Args:
        packed: (…, m), uint8, as `pack_int4` returns it.
    Returns:
        (…, 2m), int8, from −8 to 7: the low four bits of a byte first. 0x8F
        becomes [−1, −8].
    """
    raise NotImplementedError


def absmax_int4(w: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """Round a weight to 4-bit integers, with one scale per group of neighbours in
    a row.

    Args:
        w: (O, I), I even.
        group_size: a divisor of I.
    Returns:
        (packed, scale).

        - scale (O, I / group_size), in w's dtype: the group's largest |w| / 7. A group
          of zeros has the scale 1.
        - packed (O, I / 2), uint8: w / scale, rounded, from −7 to 7, and packed
          by `pack_int4`.

    Edge cases ★
        A group_size that does not divide I is an error that names both numbers.
    """
    raise NotImplementedError


def quantised_linear(
    x: Tensor,
    packed: Tensor,
    scale: Tensor,
    group_size: int,
    bias: Tensor | None = None,
) -> Tensor:
    """Apply a linear layer whose weight is kept in four bits. The input is not rounded.

    Args:
        x: (…, I).
        packed: (O, I / 2), uint8, two codes per byte as `pack_int4` has them.
        scale: (O, I / group_size): code j of row o belongs to scale[o, j
            // group_size].
        group_size: how many neighbours share a scale.
        bias: (O,), or None.
    Returns:
        (…, O): x wᵀ + bias, with w = code · scale.

    Edge cases ★
        The result has x's dtype, whatever the dtype of scale.
    """
    raise NotImplementedError


def calibrate(x: Tensor, bits: int = 8, candidates: int = 100) -> Tensor:
    """Choose a scale for activations by trying: a smaller one rounds finer, and cuts
    off what is large.

    Args:
        x: a sample of activations, any shape.
        bits: of a code. n = 2^(bits − 1) − 1 is the largest one, 127 for 8 bits.
        candidates: how many scales are tried.
    Returns:
        A scalar: of the scales s = absmax / n · i / candidates, for i = 1 to
        candidates, the one with the smallest mean squared error between x and
        round(x / s) · s, where codes are clamped to −n … n. Zeros alone have the
        scale 1.

    Edge cases ★
        Of several scales with the smallest error, the largest counts.
    """
    raise NotImplementedError


def fp8_scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """Scale a tensor so that its largest value is the largest of float8_e4m3fn, and
    cast it.

    Args:
        x: any shape.
    Returns:
        (y, scale), with x ≈ y · scale.

        - scale: a float32 scalar, the largest |x| / 448. Zeros alone have the scale 1.
        - y: x / scale, clamped to −448 … 448, as `torch.float8_e4m3fn`. The clamp comes
          before the cast: what rounding lifts above 448 may become NaN on some devices.

    Edge cases ★
        The scale is float32 for an x in bfloat16, too.
    """
    raise NotImplementedError


def straight_through(w: Tensor, quantise: Callable[[Tensor], Tensor]) -> Tensor:
    """Use rounded weights in the forward pass, and act in the backward pass as if they
    were not rounded.

    Args:
        w: any shape.
        quantise: returns a tensor of w's shape.
    Returns:
        The values of quantise(w). The gradient of w is the one that arrives, whatever
        `quantise` does: 1 for each element.
    """
    raise NotImplementedError
