"""Minimum description length: of all polynomials, take the one with which model and
data take the fewest bits.

After Grünwald, "A tutorial introduction to the minimum description length principle"
(2004), and Rissanen, "Modeling by shortest data description" (1978).
Sizes: N points (n in formulas), k = degree + 1 coefficients. Code lengths are in bits,
so their logarithms have base 2. Everything is float64.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_polynomial_data(
    num_points: int,
    coefficients: Sequence[float],
    noise: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw x (N,), uniform in [-1, 1], and y (N,), Σ_k coefficients[k] · x^k plus
    normal noise. Both are float64.
    """
    x = 2 * torch.rand(num_points, generator=generator, dtype=torch.float64) - 1
    y = noise * torch.randn(num_points, generator=generator, dtype=torch.float64)
    return x, y + sum(coefficient * x**k for k, coefficient in enumerate(coefficients))


def integer_code_length(n: int) -> float:
    """The bits of Rissanen's universal code for an integer n ≥ 1: log2(2.865064) + log2
    n + log2 log2 n + …

    Only positive terms are added.
    """
    bits, term = math.log2(2.865064), math.log2(n)
    while term > 0:
        bits += term
        term = math.log2(term)
    return bits


class PolynomialModel(nn.Module):
    """A polynomial whose coefficients are learned.

    Args:
        degree: the highest power.
    Attributes:
        coefficients: the only parameter, (degree + 1,) float64, zeros at the start.

    `forward(x)` takes x (N,) float64, and returns Σ_k coefficients[k] · x^k for k = 0
    to degree, (N,) float64.

    With coefficients [1, 0, 2], the inputs [0, 1, 3] become [1, 3, 19].

    Edge cases ★
        A degree below 0 is a ValueError.
    """

    def __init__(self, degree: int):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def train_polynomial(
    model: nn.Module, x: Tensor, y: Tensor, *, steps: int = 30
) -> list[float]:
    """Train a polynomial on all points at once, until its mean squared error is the
    smallest possible.

    Args:
        model: a `PolynomialModel`.
        x, y: (N,) each, float64.
        steps: of L-BFGS, with 20 inner iterations each and the line
            search "strong_wolfe".
    Returns:
        One float per step, the mean squared error before it.

    For 60 points and degrees up to 8, 30 steps end within 1e-6 of the least squares
    error. SGD and Adam are too slow.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    raise NotImplementedError


def gaussian_code_length(residuals: Tensor, precision: float = 0.01) -> float:
    """Count the bits that write residuals on a grid, by a code for normal noise.

    Args:
        residuals: r (N,), what a model leaves over.
        precision: p, the spacing of the grid.
    Returns:
        n/2 · log2(2πv) + Σr² / (2v · ln 2) − n · log2(p), a float, with v = mean(r²):
        the sum of −log2(density · p) for a normal density of mean 0 and variance v.

    Residuals [1, −1] with p = 0.5 take log2(2π) + 1 / ln 2 + 2 = 6.09 bits.

    Edge cases ★
        v is at least p²: perfect fits cost finitely many bits. float64 precision.
    """
    raise NotImplementedError


def gaussian_code_length_numpy(residuals: np.ndarray, precision: float = 0.01) -> float:
    """Count the bits that write residuals on a grid, in NumPy.

    Args:
        residuals: r (N,) float64.
        precision: p, the spacing of the grid.
    Returns:
        The bits of `gaussian_code_length`, a Python float: n/2 · log2(2πv) + Σr² /
        (2v · ln 2) − n · log2(p), with v = mean(r²).

    Edge cases ★
        v is at least p². float64 precision.
    """
    raise NotImplementedError


def model_code_length(degree: int, num_points: int) -> float:
    """Count the bits of a polynomial: how many coefficients it has, then
    the coefficients.

    Args:
        degree: k = degree + 1 coefficients.
        num_points: n.
    Returns:
        integer_code_length(k) + k/2 · log2(n), a float.

    Each coefficient takes half of log2(n): n points fix it to about 1/√n of its scale,
    and more digits would be noise. Degree 0 and 16 points:
    log2(2.865064) + 2 = 3.52 bits.
    """
    raise NotImplementedError


def two_part_code(
    x: Tensor, y: Tensor, degree: int, precision: float = 0.01
) -> dict[str, float]:
    """Count the bits of data with the help of a model: first the polynomial, then what
    it leaves over.

    Args:
        x, y: (N,) each, float64. x is known to the reader of the code, and
            costs nothing.
        degree: of the `PolynomialModel` to be trained.
        precision: the spacing of the grid for y.
    Returns:
        "model": the bits of the polynomial.
        "data": those of the residuals y − model(x) after training.
        "total": both together. All are floats.

    Edge cases ★
        `x` and `y` are not written to.
    """
    raise NotImplementedError


def select_degree(
    x: Tensor, y: Tensor, max_degree: int, precision: float = 0.01
) -> tuple[int, list[dict[str, float]]]:
    """Choose the polynomial with the shortest two-part code. No validation set
    is needed.

    Args:
        x, y: (N,) each, float64.
        max_degree: the largest degree to try. The smallest is 0.
        precision: the spacing of the grid for y.
    Returns:
        The degree with the smallest total, and the list of `two_part_code` for all
        degrees: entry d belongs to degree d, and there are max_degree + 1 entries.

    Edge cases ★
        The smaller degree on a tie.
    """
    raise NotImplementedError


def information_criteria(residuals: Tensor, num_parameters: int) -> dict[str, float]:
    """Judge a fit by two famous criteria. The smaller, the better.

    Args:
        residuals: r (N,), what a model leaves over.
        num_parameters: k, the number of coefficients.
    Returns:
        "aic": n · ln v + 2k, and "bic": n · ln v + k · ln n, with v = mean(r²). Both
        are floats.

    Residuals [1, −1, 2, 0] have v = 1.5. For k = 1, AIC is 3.62 and BIC 3.01.

    Edge cases ★
        A k below 0 is a ValueError.
    """
    raise NotImplementedError
