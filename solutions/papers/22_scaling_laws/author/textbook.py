"""Scaling laws: fit a line in logs, measure points on it with small models, and split a
compute budget.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_power_law_data(
    num_samples: int,
    num_features: int = 256,
    exponent: float = 0.8,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw x (num_samples, num_features), standard normal, and y (num_samples,), y = Σ
    c_i x_i over i = 1, 2, …

    c_i² = i^-(1 + exponent): later features count for less and less.
    """
    x = torch.randn(num_samples, num_features, generator=generator)
    ranks = torch.arange(1.0, num_features + 1)
    return x, x @ ranks ** (-(1 + exponent) / 2)


def exact_loss(size: int, exponent: float = 0.8, num_features: int = 256) -> float:
    """The smallest mean squared error of a model that reads the first `size` features:
    Σ c_i² over the others.
    """
    return sum(i ** -(1 + exponent) for i in range(size + 1, num_features + 1))


def fit_power_law(sizes, losses) -> tuple[float, float]:
    """log loss = log a - alpha log n."""
    x, y = torch.tensor(sizes).log(), torch.tensor(losses).log()
    dx, dy = x - x.mean(), y - y.mean()
    alpha = -(dx * dy).sum() / (dx * dx).sum()
    a = (y.mean() + alpha * x.mean()).exp()
    return a.item(), alpha.item()


def fit_power_law_numpy(sizes, losses) -> tuple[float, float]:
    """The same in NumPy."""
    slope, intercept = np.polyfit(np.log(sizes), np.log(losses), 1)
    return np.exp(intercept), -slope


def fit_saturating(sizes, losses, num_grid: int = 2000) -> tuple[float, float, float]:
    """Try every floor c, fit a power law to what is above it, keep the best."""
    best_error, best = math.inf, None
    for k in range(num_grid):
        c = min(losses) * k / num_grid
        a, alpha = fit_power_law(sizes, [loss - c for loss in losses])
        error = 0.0
        for n, loss in zip(sizes, losses):
            error += (math.log(loss) - math.log(a * n**-alpha + c)) ** 2
        if error < best_error:
            best_error, best = error, (a, alpha, c)
    return best


class FeatureModel(nn.Module):
    """A linear model of the first features."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features
        self.linear = nn.Linear(num_features, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x[:, : self.num_features]).squeeze(1)


def train_size(
    size: int,
    *,
    steps: int = 300,
    batch_size: int = 128,
    lr: float = 0.1,
    exponent: float = 0.8,
    num_features: int = 256,
    generator: torch.Generator | None = None,
) -> float:
    """SGD on fresh batches, then the error on fresh samples."""
    model = FeatureModel(size)
    nn.init.zeros_(model.linear.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        x, y = make_power_law_data(batch_size, num_features, exponent, generator)
        loss = F.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y = make_power_law_data(4000, num_features, exponent, generator)
    return F.mse_loss(model(x), y).item()


def compute_optimal(
    compute: float, a: float, alpha: float, b: float, beta: float
) -> tuple[float, float]:
    """Put D = compute / 6N into the loss and set its derivative to zero."""
    n = (alpha * a / (beta * b)) ** (1 / (alpha + beta)) * (compute / 6) ** (
        beta / (alpha + beta)
    )
    return n, compute / (6 * n)


def data_limited_loss(
    num_samples: int,
    size: int = 8,
    *,
    exponent: float = 0.8,
    num_features: int = 256,
    repeats: int = 8,
    generator: torch.Generator | None = None,
) -> float:
    """Least squares on a few samples, judged on fresh ones."""
    total = 0.0
    for _ in range(repeats):
        x, y = make_power_law_data(num_samples, num_features, exponent, generator)
        weights = torch.linalg.lstsq(x[:, :size], y[:, None]).solution
        x, y = make_power_law_data(4000, num_features, exponent, generator)
        total += F.mse_loss(x[:, :size] @ weights, y[:, None]).item()
    return total / repeats
