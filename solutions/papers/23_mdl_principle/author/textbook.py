"""Minimum description length: the polynomial with which model and data together take
the fewest bits.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_polynomial_data(
    num_points: int,
    coefficients: list[float],
    noise: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw x (num_points,), uniform in [-1, 1], and y (num_points,) = Σ_k
    coefficients[k] · x^k + noise · normal.

    Both are float64.
    """
    x = 2 * torch.rand(num_points, generator=generator, dtype=torch.float64) - 1
    y = noise * torch.randn(num_points, generator=generator, dtype=torch.float64)
    for k, coefficient in enumerate(coefficients):
        y = y + coefficient * x**k
    return x, y


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
    """A polynomial."""

    def __init__(self, degree: int):
        super().__init__()
        self.coefficients = nn.Parameter(torch.zeros(degree + 1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return sum(c * x**k for k, c in enumerate(self.coefficients))


def train_polynomial(
    model: PolynomialModel, x: Tensor, y: Tensor, *, steps: int = 30
) -> list[float]:
    """Least squares by L-BFGS."""
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=20, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for _ in range(steps)]


def gaussian_code_length(residuals: Tensor, precision: float = 0.01) -> float:
    """Bits of the residuals under a normal distribution of their own variance."""
    n, v = len(residuals), residuals.square().mean()
    bits = n / 2 * torch.log2(2 * math.pi * v) + residuals.square().sum() / (
        2 * v * math.log(2)
    )
    return bits.item() - n * math.log2(precision)


def gaussian_code_length_numpy(residuals: np.ndarray, precision: float = 0.01) -> float:
    """The same on an array."""
    n, v = len(residuals), np.mean(residuals**2)
    bits = n / 2 * np.log2(2 * np.pi * v) + np.sum(residuals**2) / (2 * v * np.log(2))
    return float(bits - n * np.log2(precision))


def model_code_length(degree: int, num_points: int) -> float:
    """Bits of the number of coefficients and of the coefficients."""
    return integer_code_length(degree + 1) + (degree + 1) / 2 * math.log2(num_points)


def two_part_code(
    x: Tensor, y: Tensor, degree: int, precision: float = 0.01
) -> dict[str, float]:
    """Bits of a fitted model and of what it leaves over."""
    model = PolynomialModel(degree)
    train_polynomial(model, x, y)
    with torch.no_grad():
        data = gaussian_code_length(y - model(x), precision)
    bits = model_code_length(degree, len(x))
    return {"model": bits, "data": data, "total": bits + data}


def select_degree(
    x: Tensor, y: Tensor, max_degree: int, precision: float = 0.01
) -> tuple[int, list[dict[str, float]]]:
    """The degree with the fewest bits."""
    table = [two_part_code(x, y, degree, precision) for degree in range(max_degree + 1)]
    totals = [row["total"] for row in table]
    return totals.index(min(totals)), table


def information_criteria(residuals: Tensor, num_parameters: int) -> dict[str, float]:
    """AIC and BIC."""
    n = len(residuals)
    fit = n * math.log(residuals.square().mean())
    return {"aic": fit + 2 * num_parameters, "bic": fit + num_parameters * math.log(n)}
