"""Reductions, broadcasting and matrix products: which dimension goes, which sizes fit,
and what happens at zero.
"""

from collections.abc import Sequence
from itertools import zip_longest

import torch  # stub: keep
from torch import Tensor


def between(x: Tensor, low: float, high: float) -> Tensor:
    """Mark every element that lies between two numbers.

    Args:
        x: any shape.
        low, high: the ends of the range, both included.
    Returns:
        A bool tensor of x's shape: True where low ≤ x ≤ high.

    With x = [1, 2, 3, 4], low = 2 and high = 3 this is [False, True, True, False]. x
    may be an integer tensor, and the ends may be fractions.

    Edge cases ★
        NaN is never in the range: False. Either end may be infinite. A `low` greater
        than `high` is an error.
    """
    if low > high:
        raise ValueError(f"low {low} is greater than high {high}")
    return (x >= low) & (x <= high)


def summary_stats(x: Tensor, dim: int | None = None) -> dict[str, Tensor]:
    """Summarise numbers by their minimum, maximum, mean and standard deviation.

    Args:
        x: any shape, floating point.
        dim: the dimension to reduce, which may be negative; None reduces all of x.
    Returns:
        A dict of tensors with the keys "min", "max", "mean" and "std", each of x's
        shape without `dim`: for x of shape (3, 4, 5), dim = 1 gives (3, 5) and None
        gives ().

    `std` = sqrt(mean((x − mean)²)) divides by n, not by n − 1: [1, 3] has std 1, and a
    single element has std 0. Gradients flow back to x.

    Edge cases ★
        x may be an integer tensor or non-contiguous. `min` and `max` keep its dtype,
        and so do `mean` and `std` of a floating-point x; for an integer x they are
        float32. std stays accurate where the mean is much larger than the spread:
        [9999, 10001] in float32 has std 1. An empty x is an error.
    """
    if x.numel() == 0:
        raise ValueError(
            f"a tensor of shape {tuple(x.shape)} has no elements to summarise"
        )
    dims = _dims(x, dim)
    values = _floating(x)
    return {
        "min": x.amin(dims),
        "max": x.amax(dims),
        "mean": values.mean(dims),
        "std": values.std(dims, correction=0),
    }


def standardize(x: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Shift and scale every slice of x to mean 0 and standard deviation 1.

    Args:
        x: any shape, floating point; it is not written to.
        dim: the dimension or dimensions that form one slice, may be negative; None
            takes all of x as one slice.
    Returns:
        (x − mean) / std per slice, of x's shape; std divides by n, not by n − 1.

    Along dim 0 each column is a slice: [[1, 10], [3, 30]] becomes [[−1, −1], [1, 1]].
    A slice of equal elements becomes 0. Gradients flow back to x.

    Edge cases ★
        Each slice has std 1 afterwards, however small its spread was (as long as the
        dtype can hold its square): no eps in the divisor. This holds far from 0 as
        well: [5, 5 + 2e-9] in float64 becomes [−1, 1].
        Equal elements become exactly 0, even where rounding changes the computed mean,
        as for seven times 0.1. Their gradient is finite. A floating-point dtype stays;
        an integer x becomes float32.
    """
    x = _floating(x)
    dims = _dims(x, dim)
    constant = x.amin(dims, keepdim=True) == x.amax(dims, keepdim=True)
    centred = (x - x.mean(dims, keepdim=True)).masked_fill(constant, 0.0)
    variance = centred.square().mean(dims, keepdim=True).masked_fill(constant, 1.0)
    return centred / variance.sqrt()


def cosine_similarity(a: Tensor, b: Tensor, dim: int = -1, eps: float = 1e-8) -> Tensor:
    """Compare the directions of two vectors: 1 for the same direction, 0 at right
    angles, −1 for opposite ones.

    Args:
        a, b: floating-point tensors whose shapes broadcast: (N, 1, D) with (1, M, D)
            gives all pairs, (N, M).
        dim: the dimension along which the vectors lie.
        eps: the lower bound of each norm.
    Returns:
        a·b / (max(‖a‖, eps) · max(‖b‖, eps)), of the broadcast shape without `dim`.

    a = [3, 4] and b = [4, 3] have a·b = 24 and norms 5: 24 / 25 = 0.96. A zero vector
    has similarity 0 to everything. Gradients flow to a and b.

    Write it without `F.cosine_similarity` and `nn.CosineSimilarity`; functions for
    norms are allowed.

    Edge cases ★
        `eps` bounds each norm separately. The gradients are finite at a zero vector.
        `dim` refers to the broadcast shape: (2, 3) with (3,) along dim 0 gives (3,).
        The dtype stays.
    """
    a, b = torch.broadcast_tensors(a, b)
    norm_a = torch.linalg.vector_norm(a, dim=dim).clamp(min=eps)
    norm_b = torch.linalg.vector_norm(b, dim=dim).clamp(min=eps)
    return (a * b).sum(dim) / (norm_a * norm_b)


def matmul_shape(a_shape: Sequence[int], b_shape: Sequence[int]) -> tuple[int, ...]:
    """Predict the shape of `torch.matmul(a, b)` from the shapes of a and b.

    Args:
        a_shape, b_shape: the sizes of a and of b.
    Returns:
        The shape of the product, as a tuple of ints. Do not multiply: the tensors may
        fit into no memory.
    Raises:
        ValueError: the inner sizes K differ (they do not broadcast), or the batch sizes
            do not fit.

    - Two matrices: (M, K), (K, N) → (M, N).
    - A 1-D b is a column and a 1-D a is a row, which disappear from the result: (M, K),
      (K,) → (M,) and (K,), (K, N) → (N,). Two vectors give ().
    - Dimensions before the last two are batch dimensions, and broadcast. Aligned from
      the right, two sizes fit if they are equal or one is 1. A missing size counts as
      1: (7, 1, M, K), (5, K, N) → (7, 5, M, N).

    Edge cases ★
        A size may be 0: batch sizes 0 and 1 give 0, and 0 and 3 do not fit. The shapes
        may be lists or torch.Size.
        (), the shape of a single number, is an error. Error messages name both shapes
        as tuples, like "(2, 3)".
    """
    a, b = tuple(a_shape), tuple(b_shape)
    mismatch = ValueError(f"matmul cannot multiply shapes {a} and {b}")
    if not a or not b:
        raise mismatch
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
    inner_a, inner_b = a[-1], b[0] if len(b) == 1 else b[-2]
    if inner_a != inner_b:
        raise mismatch
    batch = []
    for size_a, size_b in zip_longest(reversed(a[:-2]), reversed(b[:-2]), fillvalue=1):
        if size_a != size_b and 1 not in (size_a, size_b):
            raise mismatch
        batch.append(size_b if size_a == 1 else size_a)
    return (*reversed(batch), *rows, *columns)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply two matrices.

    Args:
        a: (M, K).
        b: (K, N).
    Returns:
        (M, N): entry [i, j] is Σ_k a[i, k] · b[k, j], row i of a with column j of b.

    [[1, 2], [3, 4]] · [[5, 6], [7, 8]] = [[19, 22], [43, 50]], where 19 = 1·5 + 2·7.
    Gradients flow to both.

    Write it with element-wise products and sums, or `torch.dot`: without `@`, `mm`,
    `matmul`, `einsum`, `tensordot`, `addmm`, `bmm` and `F.linear`.

    Edge cases ★
        The dtype stays, int32 included. a and b may be non-contiguous. K = 0
        gives zeros.
        Anything but two 2-D tensors with equal inner sizes is an error: an inner size
        of 1 is not stretched.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(
            f"cannot multiply {tuple(a.shape)} by {tuple(b.shape)}: expected (M, K) "
            "and (K, N)"
        )
    products = a.unsqueeze(2) * b.unsqueeze(0)  # (M, K, 1) · (1, K, N) → (M, K, N)
    return products.sum(dim=1, dtype=products.dtype)


def pairwise_distances(a: Tensor, b: Tensor) -> Tensor:
    """Measure the Euclidean distance from every point in a to every point in b.

    Args:
        a: (N, D), N points.
        b: (M, D), M points.
    Returns:
        (N, M): entry [i, j] is sqrt(Σ_d (a[i, d] − b[j, d])²). The distance from (0, 0)
        to (3, 4) is 5.

    Gradients flow to both.

    Write it without `torch.cdist`, `nn.PairwiseDistance` and `F.pairwise_distance`.

    Edge cases ★
        Equal points have distance exactly 0. Points near 1000 that are 0.25 apart have
        distance 0.25 ± 1e-4 in float32. The gradient is finite at distance 0. The dtype
        stays, and M = 0 gives (N, 0).
        Anything but two 2-D tensors with the same D is an error: a D of 1 is
        not stretched.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"points of shapes {tuple(a.shape)} and {tuple(b.shape)}: expected (N, D) "
            "and (M, D)"
        )
    differences = a.unsqueeze(1) - b.unsqueeze(0)  # (N, 1, D) − (1, M, D) → (N, M, D)
    return torch.linalg.vector_norm(differences, dim=2)


def masked_mean(
    x: Tensor, mask: Tensor, dim: int | tuple[int, ...] | None = None
) -> Tensor:
    """Average the entries that a mask lets through.

    Args:
        x: floating point, any shape.
        mask: bool, True where an entry counts; it broadcasts to x's shape, such as
            (T, 1) to (B, T, C).
        dim: the dimension or dimensions to reduce, which may be negative; None reduces
            all of x.
    Returns:
        The sum of the entries where mask is True, divided by their number; of x's shape
        without `dim`.

    x = [2, 4, 100] with mask [True, True, False] gives 3. The gradient is 0 at every
    masked-out entry.
    x and mask are not changed.

    Edge cases ★
        Where no entry counts, the mean is 0. A masked-out NaN or infinity changes
        neither the value nor the gradient;
        a NaN that counts gives NaN, as in any mean. The dtype of x stays. A mask that
        is not bool is an error.
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"mask should be bool (True = counts), not {mask.dtype}")
    dims = _dims(x, dim)
    total = x.masked_fill(~mask, 0.0).sum(dims)
    count = mask.expand_as(x).sum(dims)
    return total / count.clamp(min=1)


def _dims(x: Tensor, dim: int | tuple[int, ...] | None) -> int | tuple[int, ...]:
    return tuple(range(x.ndim)) if dim is None else dim


def _floating(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.float()
