"""Reductions, broadcasting and matrix products: which dimension goes, which sizes fit, and what happens at zero."""

from collections.abc import Sequence

from torch import Tensor


def between(x: Tensor, low: float, high: float) -> Tensor:
    """Mark every element that lies between two numbers.

    Args:
        x: any shape.
        low, high: the ends, which both belong to the range.
    Returns:
        A bool tensor of x's shape: True where low ≤ x ≤ high.

    With x = [1, 2, 3, 4], low = 2 and high = 3 this is [False, True, True, False]. x may hold integers, and the ends
    fractions.

    Edge cases ★
        NaN lies between no two numbers: False. Either end may be infinite. A `low` greater than `high` is an error.
    """
    raise NotImplementedError


def summary_stats(x: Tensor, dim: int | None = None) -> dict[str, Tensor]:
    """Summarise numbers by the smallest, the largest, the mean and the spread.

    Args:
        x: any shape, floating point.
        dim: the dimension to reduce, which may be negative; None reduces all of x.
    Returns:
        A dict of tensors with the keys "min", "max", "mean" and "std", each of x's shape without `dim`: for x of shape
        (3, 4, 5), dim = 1 gives (3, 5) and None gives ().

    `std` = sqrt(mean((x − mean)²)) divides by n, not by n − 1: [1, 3] has std 1, and a single element has std 0.
    Gradients flow back to x.

    Edge cases ★
        x may be an integer tensor or non-contiguous. `min` and `max` keep its dtype, and so do `mean` and `std` of a
        floating-point x; of an integer x they are float32. Where the mean is large beside the spread, std stays
        accurate: [9999, 10001] in float32 has std 1. An empty x is an error.
    """
    raise NotImplementedError


def standardize(x: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Shift and scale every slice of x to mean 0 and standard deviation 1.

    Args:
        x: any shape, floating point; it is not written to.
        dim: the dimension or dimensions of one slice, which may be negative; None takes all of x as one slice.
    Returns:
        (x − mean) / std per slice, of x's shape; std divides by n, not by n − 1.

    Along dim 0 each column is a slice: [[1, 10], [3, 30]] becomes [[−1, −1], [1, 1]].
    A slice of equal elements becomes 0. Gradients flow back to x.

    Edge cases ★
        Each slice has std 1 afterwards, however small its spread was (as long as the dtype can hold its square): no eps
        in the divisor. Far from 0 as well: [5, 5 + 2e-9] in float64 becomes [−1, 1].
        Equal elements become exactly 0 even where the computed mean is off by a rounding step, as that of seven
        times 0.1 is; their gradient is finite. A floating-point dtype stays; an integer x becomes float32.
    """
    raise NotImplementedError


def cosine_similarity(a: Tensor, b: Tensor, dim: int = -1, eps: float = 1e-8) -> Tensor:
    """Measure how far two vectors point the same way: 1 for the same direction, 0 at right angles, −1 for opposite.

    Args:
        a, b: floating-point tensors whose shapes broadcast: (N, 1, D) with (1, M, D) gives all pairs, (N, M).
        dim: the dimension that the vectors lie along.
        eps: the least that a norm counts as.
    Returns:
        a·b / (max(‖a‖, eps) · max(‖b‖, eps)), of the broadcast shape without `dim`.

    a = [3, 4] and b = [4, 3] have a·b = 24 and norms 5: 24 / 25 = 0.96. A zero vector has similarity 0 to everything.
    Gradients flow to a and b.

    Write it without `F.cosine_similarity` and `nn.CosineSimilarity`; functions for norms are allowed.

    Edge cases ★
        `eps` bounds each norm by itself. The gradients are finite at a zero vector. `dim` counts in the broadcast
        shape: (2, 3) with (3,) along dim 0 gives (3,). The dtype stays.
    """
    raise NotImplementedError


def matmul_shape(a_shape: Sequence[int], b_shape: Sequence[int]) -> tuple[int, ...]:
    """Predict the shape of `torch.matmul(a, b)` from the shapes of a and b.

    Args:
        a_shape, b_shape: sizes.
    Returns:
        The shape of the product, as a tuple of ints.

    - Two matrices: (M, K), (K, N) → (M, N).
    - A 1-D b is a column that vanishes afterwards, a 1-D a is a row that does: (M, K), (K,) → (M,) and
      (K,), (K, N) → (N,). Two vectors: (K,), (K,) → ().
    - All dimensions before the last two are batch dimensions. They broadcast: aligned from the right, two sizes fit if
      they are equal or one is 1, and a missing one counts as 1. (7, 1, M, K), (5, K, N) → (7, 5, M, N).

    Raises:
        ValueError: the inner sizes K differ (they do not broadcast), or the batch sizes do not fit.

    Multiply nothing: shapes alone decide, and the sizes may be larger than any memory.

    Edge cases ★
        A size may be 0: batch sizes 0 and 1 give 0, and 0 and 3 do not fit. The shapes may be lists or torch.Size.
        () is an error, that of a single number.
        The message of an error holds both shapes as tuples, like "(2, 3)".
    """
    raise NotImplementedError


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply two matrices.

    Args:
        a: (M, K).
        b: (K, N).
    Returns:
        (M, N): entry [i, j] is Σ_k a[i, k] · b[k, j], row i of a with column j of b.

    [[1, 2], [3, 4]] · [[5, 6], [7, 8]] = [[19, 22], [43, 50]], where 19 = 1·5 + 2·7. Gradients flow to both.

    Write it with element-wise products and sums, or `torch.dot`: without `@`, `mm`, `matmul`, `einsum`, `tensordot`,
    `addmm`, `bmm` and `F.linear`.

    Edge cases ★
        The dtype stays, int32 included. a and b may be non-contiguous. K = 0 gives zeros.
        Anything but two 2-D tensors with equal inner sizes is an error: an inner size 1 is not stretched.
    """
    raise NotImplementedError


def pairwise_distances(a: Tensor, b: Tensor) -> Tensor:
    """Measure the Euclidean distance of every point in a to every point in b.

    Args:
        a: (N, D), N points.
        b: (M, D), M points.
    Returns:
        (N, M): entry [i, j] is sqrt(Σ_d (a[i, d] − b[j, d])²). The point (0, 0) is 5 away from (3, 4).

    Equal points have distance exactly 0. Gradients flow to both.

    Write it without `torch.cdist`, `nn.PairwiseDistance` and `F.pairwise_distance`.

    Edge cases ★
        Distances are accurate far from the origin: points near 1000 that are 0.25 apart have distance 0.25 ± 1e-4 in
        float32. The gradient is finite at distance 0. The dtype stays, and M = 0 gives (N, 0).
        Anything but two 2-D tensors of the same D is an error: a D of 1 is not stretched.
    """
    raise NotImplementedError


def masked_mean(x: Tensor, mask: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Average the entries that a mask lets through.

    Args:
        x: floating point, any shape.
        mask: bool, True = counts; it broadcasts to x's shape, such as (T, 1) to (B, T, C).
        dim: the dimension or dimensions to reduce, which may be negative; None reduces all of x.
    Returns:
        The sum of the entries with mask True, divided by their number: x's shape without `dim`.

    x = [2, 4, 100] with mask [True, True, False] gives 3. The gradient is 0 at every masked-out entry.
    Neither x nor mask is written to.

    Edge cases ★
        Where no entry counts, the mean is 0. A masked-out NaN or infinity reaches neither the value nor the gradient;
        a NaN that counts gives NaN, as in any mean. The dtype of x stays. A mask that is not bool is an error.
    """
    raise NotImplementedError
