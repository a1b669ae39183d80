"""Scaling laws: losses of small models on a line in log-log axes, what the line
predicts, and how to split a budget.

After Kaplan et al., "Scaling Laws for Neural Language Models" (2020), and, for the
split, Hoffmann et al., "Training Compute-Optimal Large Language Models" (2022).
Sizes: n or N is the size of a model, D the number of samples it learns from, B samples
in a batch, M features per sample. Logarithms are natural ones.
"""

import math
from collections.abc import Sequence

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


def fit_power_law(
    sizes: Sequence[float], losses: Sequence[float]
) -> tuple[float, float]:
    """Fit loss = a · n^-alpha, a straight line in log-log axes (equation 1.1).

    Args:
        sizes: model sizes n, in any order.
        losses: one per size.
    Returns:
        (a, alpha), two floats: log a − alpha · log n is the least squares line through
        the points (log n, log loss).

    Losses 6, 3 and 1.5 of the sizes 1, 4 and 16 halve with each factor of 4: a is 6,
    alpha 0.5. Losses that rise have a negative alpha.

    Edge cases ★
        Tensors as well as lists. float64 precision. Fewer than two points, or a size or
        loss that is not positive, is an error.
    """
    raise NotImplementedError


def fit_power_law_numpy(sizes: np.ndarray, losses: np.ndarray) -> tuple[float, float]:
    """Fit loss = a · n^-alpha, in NumPy.

    Args:
        sizes, losses: arrays (number of points,).
    Returns:
        (a, alpha), as `fit_power_law` has them.

    Losses 6, 3 and 1.5 of the sizes 1, 4 and 16: a is 6, alpha 0.5. `np.polyfit`
    is allowed.
    """
    raise NotImplementedError


def fit_saturating(
    sizes: Sequence[float], losses: Sequence[float], num_grid: int = 2000
) -> tuple[float, float, float]:
    """Fit loss = a · n^-alpha + c: a power law above a floor that no size can
    get below.

    Args:
        sizes, losses: lists, as for `fit_power_law`.
        num_grid: how many c are tried, in equal steps from 0 to just below the
            smallest loss.
    Returns:
        (a, alpha, c), three floats. For each c, `fit_power_law` to the losses minus c
        gives a and alpha; the best c has the smallest sum of (log
        loss − log(a · n^-alpha + c))².

    Losses 4, 3 and 2.5 of the sizes 1, 2 and 4: a is 2, alpha 1, c 2.
    """
    raise NotImplementedError


class FeatureModel(nn.Module):
    """A linear model whose size can be chosen: it reads the first features and is blind
    to the others.

    Args:
        num_features: n, how many features it reads.
    Attributes:
        linear: an `nn.Linear` from n to 1, without a bias. There are no
            other parameters.

    `forward(x)` takes x (B, M) with M ≥ n, and returns one prediction per sample, (B,):
    the weighted sum of the first n columns.
    """

    def __init__(self, num_features: int):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


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
    """Train a model of one size, and measure its test loss: one point for the law.

    Args:
        size: of a `FeatureModel` that starts with zero weights.
        steps: updates by plain SGD. Step k, from 0 on, has the learning rate
            lr · (1 − k / steps).
        exponent, num_features, generator: for `make_power_law_data`, which draws
            all data.
    Returns:
        The mean squared error of the trained model on 4000 fresh samples, a float.

    Each step draws `batch_size` fresh samples, and clears the gradients. Its loss is
    the mean squared error.
    """
    raise NotImplementedError


def compute_optimal(
    compute: float, a: float, alpha: float, b: float, beta: float
) -> tuple[float, float]:
    """Split a budget between the size of a model and its training data (Hoffmann et
    al., equation 4).

    Args:
        compute: a model of size N that sees D samples costs 6 · N · D.
        a, alpha, b, beta: of the loss a · N^-alpha + b · D^-beta.
    Returns:
        (N, D), two floats: the split of the whole budget with the smallest loss, in
        closed form.

    With a = b and alpha = beta, N and D are equal: compute = 600 gives (10, 10).
    """
    raise NotImplementedError


def data_limited_loss(
    num_samples: int,
    size: int = 8,
    *,
    exponent: float = 0.8,
    num_features: int = 256,
    repeats: int = 8,
    generator: torch.Generator | None = None,
) -> float:
    """Measure the other law, in the number of samples: the test loss of a model that
    has learned all they can tell.

    Args:
        num_samples: D. The model reads the first `size` features, with the least
            squares weights on D samples.
        exponent, num_features, generator: for `make_power_law_data`, which draws
            all data.
        repeats: how often this is done, each time on D new samples.
    Returns:
        The mean squared error on 4000 fresh samples, averaged over the repeats:
        a float.

    Edge cases ★
        Fewer samples than `size` is an error.
    """
    raise NotImplementedError
