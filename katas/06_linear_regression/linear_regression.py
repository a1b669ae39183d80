"""Linear regression, by hand and with PyTorch's parts: predict, measure,
differentiate, step.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def make_line_data(
    n: int,
    slope: float,
    intercept: float,
    noise: float = 0.0,
    *,
    x_range: tuple[float, float] = (-1.0, 1.0),
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw points on a line, with noise on y.

    Args:
        n: the number of points.
        slope: of the line.
        intercept: the height of the line at x = 0.
        noise: standard deviation of the normal noise.
        x_range: (low, high); x is uniform between them.
        generator: the source of random numbers; None is torch's global generator.
    Returns:
        X (n, 1) and y (n, 1), float32, with y = slope * X + intercept + noise *
        N(0, 1). Each point has noise of its own, independent of X.

    Do not set a seed. With a generator, draw from it alone.

    Edge cases ★
        n < 1 and noise < 0 are errors.
    """
    raise NotImplementedError


def mse_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Measure the mean squared error of predictions.

    Args:
        pred: of any shape.
        target: of the same shape.
    Returns:
        A 0-dim tensor, the mean of (pred - target)² over all elements: 2 for
        predictions 1, 2 and targets 3, 2.

    Shapes that differ are an error: (N, 1) minus (N,) would broadcast to (N, N) and
    compare every prediction with every target. Write it without `F.mse_loss`
    and `nn.MSELoss`.

    Edge cases ★
        The error names both shapes.
    """
    raise NotImplementedError


def fit_manual(
    X: Tensor, y: Tensor, lr: float, epochs: int
) -> tuple[Tensor, Tensor, list[float]]:
    """Fit y ≈ X @ w + b by gradient descent on two tensors of your own.

    Args:
        X: (N, D) features.
        y: (N, 1) targets.
        lr: the learning rate.
        epochs: the number of steps, each on all N rows.
    Returns:
        w (D, 1) and b (1,), detached, and the loss of each epoch before its update, as
        Python floats.

    Start w and b at zero. Each epoch computes the mean squared error, both its
    gradients, then both updates. With X = [[1], [3]], y = [[2], [4]] and lr 0.1, one
    epoch gives w = [[1.4]], b = [0.6] and the losses [10.0].
    Write it without `torch.nn` and `torch.optim`.

    Edge cases ★
        w and b have X's dtype. epochs = 0 gives zeros and []. X and y are not changed.
    """
    raise NotImplementedError


class LinearRegression(nn.Module):
    """A line, or with more features a plane, as a module.

    Args of `__init__`:
        in_features: features per row.
        out_features: predictions per row.
    Args of `forward`:
        x: (N, in_features).
    Returns of `forward`:
        (N, out_features), x @ linear.weight.T + linear.bias.

    The only submodule is an `nn.Linear` named `linear`, so the state dict has the keys
    "linear.weight" (out, in) and "linear.bias" (out,).

    Edge cases ★
        After `model.double()` the model takes and returns float64.
    """

    def __init__(self, in_features: int = 1, out_features: int = 1):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def train(
    model: nn.Module,
    X: Tensor,
    y: Tensor,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    loss_fn: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> list[float]:
    """Train any model with any optimizer, on all rows at once.

    Args:
        model: called as model(X).
        X: input of the model.
        y: targets, of the shape of model(X).
        optimizer: built by the caller on the model's parameters.
        epochs: the number of steps.
        loss_fn: called as loss_fn(prediction, y); None is the mean squared error.
    Returns:
        The loss of each epoch before its update, as Python floats.

    Set train mode, whatever mode the model is in. Each epoch predicts once, measures,
    differentiates and lets the optimizer step once.

    Edge cases ★
        Gradients left from before the call have no influence. epochs = 0 gives [] and
        moves nothing.
    """
    raise NotImplementedError


def fit_least_squares(X: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Fit y ≈ X @ w + b exactly: the w and b with the least mean squared error.

    Args:
        X: (N, D) features.
        y: (N, O) targets, one fit per column.
    Returns:
        w (D, O) and b (O,). At the minimum the residual X @ w + b - y has mean zero and
        is orthogonal to every column of X.

    Edge cases ★
        Solve in float64 and return X's dtype: a float32 feature near 1000 with spread 1
        still gives its slope to 1e-2. Columns that are constant, duplicate or
        proportional are no error; any minimizer will do. (`torch.linalg.lstsq` needs
        driver="gelsd" for such columns.) X and y are not changed.
    """
    raise NotImplementedError


def fit_standardized(
    X: Tensor, y: Tensor, lr: float = 0.1, epochs: int = 300
) -> tuple[Tensor, Tensor]:
    """Fit y ≈ X @ w + b by gradient descent in standard units, and map the result back.

    Args:
        X: (N, D) features, such as heights in cm and ages in years.
        y: (N, 1) targets, such as weights in kg.
        lr: the learning rate in standard units.
        epochs: the number of steps.
    Returns:
        w (D, 1) and b (1,) in original units, detached: X @ w + b predicts y.

    Heights around 170 make descent at lr 0.1 explode. Subtract the mean of each column
    of X and of y, and divide by its standard deviation (over N or N - 1). With the
    defaults and weakly correlated columns, predictions match least squares to 0.1 kg.

    Edge cases ★
        A column whose entries are all equal gets weight exactly 0, and the other
        weights are those of a fit without it. A constant y is predicted as that
        constant. w and b have X's dtype. X and y are not changed.
    """
    raise NotImplementedError


def compare_optimizers(
    make_model: Callable[[], nn.Module],
    X: Tensor,
    y: Tensor,
    optimizers: dict[str, Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]],
    epochs: int,
) -> dict[str, list[float]]:
    """Record the loss curves of several optimizers from one start.

    Args:
        make_model: returns a new model; its weights may differ from call to call.
        X: input of the models.
        y: targets.
        optimizers: by name, a function from a model's parameters to its optimizer, such
            as `lambda parameters: torch.optim.SGD(parameters, lr=0.1)`.
        epochs: the number of steps for each.
    Returns:
        By name, in the order of `optimizers`, the mean squared error of each epoch
        before its update.

    Every optimizer starts from identical weights, so all curves begin with the same
    loss. Nothing that one run learns reaches the next.

    Edge cases ★
        No optimizers give {}, and epochs = 0 gives empty curves.
    """
    raise NotImplementedError
