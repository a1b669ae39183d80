"""Reductions, broadcasting and matrix products: which dimension goes, which sizes fit, and what happens at zero."""

from collections.abc import Sequence

from torch import Tensor


def between(x: Tensor, low: float, high: float) -> Tensor:
    """Say of every element whether it lies between two numbers.

    Args:
        x: any shape, integer or floating point.
        low, high: the ends, which both belong to the range.
    Returns:
        A bool tensor of x's shape: True where low ≤ x ≤ high.

    With x = [1, 2, 3, 4], low = 2 and high = 3 this is [False, True, True, False].

    NaN lies between no two numbers: False. `low` may equal `high`, and either end may be infinite.

    Raises:
        ValueError: `low` is greater than `high`.
    """
    raise NotImplementedError


def summary_stats(x: Tensor, dim: int | None = None) -> dict[str, Tensor]:
    """Summarise numbers by the smallest, the largest, the mean and the spread.

    Args:
        x: any shape, integer or floating point.
        dim: the dimension to reduce, which may be negative; None reduces all of x.
    Returns:
        A dict with the keys "min", "max", "mean" and "std". Without `dim` its values are 0-dim tensors; with `dim` they
        have x's shape without that dimension: for x of shape (3, 4, 5), dim = 1 gives (3, 5).

    `std` = sqrt(mean((x − mean)²)): the sum of squares is divided by n, the number of elements reduced, and not by
    n − 1. So [1, 3] has std 1, and a single element has std 0.

    It stays accurate where the mean is large beside the spread: [9999, 10001] in float32 has std 1.

    `min` and `max` keep the dtype of x. So do `mean` and `std` of a floating-point x; of an integer x they are float32.
    Gradients flow back to a floating-point x.

    Raises:
        ValueError: x is empty.
    """
    raise NotImplementedError


def standardize(x: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Shift and scale every slice of x to mean 0 and standard deviation 1.

    Args:
        x: any shape with at least one element.
        dim: the dimension or dimensions that one slice extends along, which may be negative; None takes all of x as
            one slice.
    Returns:
        (x − mean) / std, of x's shape. Mean and std are those of each slice; std divides by n, not by n − 1.

    For x of shape (N, D), dim = 0 treats each column by itself and dim = −1 each row: [[1, 10], [3, 30]] becomes
    [[−1, −1], [1, 1]] along dim 0.

    Each slice has std 1 afterwards, however small its spread was (as long as the dtype can hold its square): nothing is
    added to the divisor. Far from 0 as well: [5, 5 + 2e-9] in float64 becomes [−1, 1].

    A slice whose elements are all equal becomes exactly 0, even where the computed mean is off by a rounding step, as
    that of seven times 0.1 is. The gradient is finite there too.

    A floating-point dtype stays; an integer x is turned to float32. x is not written to, and gradients flow back to it.
    """
    raise NotImplementedError


def cosine_similarity(a: Tensor, b: Tensor, dim: int = -1, eps: float = 1e-8) -> Tensor:
    """Measure how far two vectors point the same way: 1 for the same direction, 0 at right angles, −1 for opposite.

    Args:
        a, b: floating-point tensors of one dtype whose shapes broadcast. They are broadcast first, as in `a * b`.
        dim: the dimension that the vectors lie along, counted in the broadcast shape; it may be negative.
        eps: the least that a norm counts as.
    Returns:
        a·b / (max(‖a‖, eps) · max(‖b‖, eps)), of the broadcast shape without `dim`, in the dtype of a and b.

    a = [3, 4] and b = [4, 3] have a·b = 24 and norms 5, so the result is 24 / 25 = 0.96. All pairs of N and M vectors:
    (N, 1, D) with (1, M, D) gives (N, M).

    A zero vector has similarity 0 to everything, with finite gradients on both sides. Gradients flow to a and b.

    `F.cosine_similarity` and `nn.CosineSimilarity` are not allowed; functions for norms are.
    """
    raise NotImplementedError


def matmul_shape(a_shape: Sequence[int], b_shape: Sequence[int]) -> tuple[int, ...]:
    """Predict the shape of `torch.matmul(a, b)` from the shapes of a and b.

    Args:
        a_shape, b_shape: sizes, in a tuple, a list or a `torch.Size`.
    Returns:
        The shape of the product, as a tuple of ints.

    - Two matrices: (M, K), (K, N) → (M, N).
    - A 1-D b is a column that vanishes afterwards, a 1-D a is a row that does: (M, K), (K,) → (M,) and
      (K,), (K, N) → (N,). Two vectors: (K,), (K,) → ().
    - All dimensions before the last two are batch dimensions, and broadcast: aligned from the right, two sizes fit if
      they are equal or one is 1, and a missing one counts as 1. (7, 1, M, K), (5, K, N) → (7, 5, M, N). The inner
      sizes K do not broadcast.

    A size may be 0, which is a size like any other: batch sizes 0 and 1 give 0, and 0 and 3 do not fit.
    Nothing is multiplied and no memory is taken, however large the sizes.

    Raises:
        ValueError: the shapes do not fit, or one of them is (), that of a single number. The message holds both shapes
            as tuples, like "(2, 3)".
    """
    raise NotImplementedError


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply two matrices.

    Args:
        a: (M, K).
        b: (K, N), of a's dtype.
    Returns:
        (M, N): entry [i, j] is Σ_k a[i, k] · b[k, j], row i of a with column j of b.

    [[1, 2], [3, 4]] · [[5, 6], [7, 8]] = [[19, 22], [43, 50]], where 19 = 1·5 + 2·7.

    Made from element-wise products and sums, or `torch.dot`: `@`, `mm`, `matmul`, `einsum`, `tensordot`, `addmm`, `bmm`
    and `F.linear` are not allowed. Gradients flow to both.

    The dtype stays, int32 included. K = 0 gives zeros.

    Raises:
        ValueError: a or b is not 2-D, or the inner sizes differ. An inner size 1 is not stretched to fit another.
    """
    raise NotImplementedError


def pairwise_distances(a: Tensor, b: Tensor) -> Tensor:
    """Measure the Euclidean distance of every point in a to every point in b.

    Args:
        a: (N, D), N points, floating point.
        b: (M, D), M points, of a's dtype.
    Returns:
        (N, M) in that dtype: entry [i, j] is sqrt(Σ_d (a[i, d] − b[j, d])²). The point (0, 0) is 5 away from (3, 4).

    It is accurate far from the origin: points near 1000 that are 0.25 apart have distance 0.25 ± 1e-4 in float32.

    Equal points have distance exactly 0, and the gradient stays finite there. Gradients flow to both. M = 0 gives
    (N, 0).

    `torch.cdist`, `nn.PairwiseDistance` and `F.pairwise_distance` are not allowed.

    Raises:
        ValueError: a or b is not 2-D, or the two D differ. A D of 1 is not stretched to fit another.
    """
    raise NotImplementedError


def masked_mean(x: Tensor, mask: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Average the entries that a mask lets through.

    Args:
        x: floating point, any shape.
        mask: bool, True = counts. It broadcasts to x's shape: (T, 1) with x (B, T, C) says for each t whether it
            counts, in all batch elements and all features.
        dim: the dimension or dimensions to reduce, which may be negative; None reduces all of x.
    Returns:
        The sum of the entries with mask True, divided by how many they are: x's shape without `dim`, in x's dtype.

    x = [2, 4, 100] with mask [True, True, False] gives 3.

    Where no entry counts, the mean is 0. A masked-out NaN or infinity reaches neither the value nor the gradient, which
    is 0 at every masked-out entry; a NaN that counts gives NaN, as in any mean. Neither x nor mask is written to.

    Raises:
        TypeError: mask is not bool.
    """
    raise NotImplementedError
