"""Linear regression, by hand and with PyTorch's parts: predict, measure, differentiate, step."""

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
    """Draw points on a line, with some noise on their heights if asked.

    Args:
        n: how many points.
        slope: of the line.
        intercept: where the line is at x = 0.
        noise: the standard deviation of what is added to y.
        x_range: (low, high), between which x is uniform.
        generator: where the random numbers come from; None takes torch's global generator.
    Returns:
        X (n, 1) and y (n, 1), float32, with y = slope * X + intercept + noise * N(0, 1). The noise of a point is drawn
        for it alone and independently of X; with noise 0 all points lie on the line, rounding apart.

    Nothing is seeded here: two calls in a row give different points, and a generator of the same seed gives the same
    points again, whatever the state of the global one. A call with a generator leaves the global one as it was.

    Raises:
        ValueError: n < 1 or noise < 0.
    """
    raise NotImplementedError


def mse_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Measure how wrong predictions are: the mean of their squared differences to the targets.

    Args:
        pred: of any shape.
        target: of the same shape.
    Returns:
        A 0-dim tensor, the mean over all elements of (pred - target)², which can be differentiated.

    For predictions 1, 2 and targets 3, 2 this is (4 + 0) / 2 = 2.

    To be written without `F.mse_loss` and `nn.MSELoss`.

    Raises:
        ValueError: the shapes differ, by whatever; the message names both. (N, 1) minus (N,) would be (N, N): every
            prediction against every target, without an error.
    """
    raise NotImplementedError


def fit_manual(X: Tensor, y: Tensor, lr: float, epochs: int) -> tuple[Tensor, Tensor, list[float]]:
    """Fit y ≈ X @ w + b by gradient descent, on two tensors of your own.

    Args:
        X: (N, D) features.
        y: (N, 1) targets.
        lr: how far each step goes, as a multiple of the gradient.
        epochs: how many steps, each on all N rows.
    Returns:
        w (D, 1) and b (1,), in X's dtype and without a graph, and a list of the loss of each epoch.

    Both start at zero. Every epoch computes the mean squared error of X @ w + b, then its gradients with respect to w
    and b, both from that one loss, and only then moves both: w - lr * gradient, b - lr * gradient.

    With X = [[1], [3]], y = [[2], [4]] and lr 0.1, one epoch gives w = [[1.4]], b = [0.6] and the losses [10.0]: each
    loss is the one before its update, so the first is that of zero weights.

    To be written without `torch.nn` and `torch.optim`; the gradients may come from autograd or from the formula. The
    losses are Python floats, epochs 0 gives [], and X and y are not changed.
    """
    raise NotImplementedError


class LinearRegression(nn.Module):
    """A line, or with more features a plane, as a module: one `nn.Linear` under the name `linear`.

    Args of `__init__`:
        in_features: features of an input row.
        out_features: numbers to predict for each row.
    Args of `forward`:
        x: (N, in_features).
    Returns of `forward`:
        (N, out_features), x @ linear.weight.T + linear.bias.

    `linear` is the only submodule and there are no parameters beside its own, so the keys of the state dict are
    "linear.weight" (out_features, in_features) and "linear.bias" (out_features,).
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
        X: what the model is given.
        y: the targets, of the shape that model(X) has.
        optimizer: built by the caller on the parameters that are to learn.
        epochs: how many steps of the optimizer.
        loss_fn: called as loss_fn(prediction, y), returns a 0-dim loss; None means the mean squared error.
    Returns:
        The loss of each epoch before its update, as Python floats.

    Each epoch predicts, measures, differentiates and lets the optimizer step, once. The model runs in train mode, also
    when it comes in eval mode. Gradients that were in its parameters before the call have no influence. A second call
    goes on where the first one ended. epochs 0 gives [] and moves nothing.
    """
    raise NotImplementedError


def fit_least_squares(X: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Fit y ≈ X @ w + b exactly, without steps: the w and b whose mean squared error no others beat.

    Args:
        X: (N, D) features.
        y: (N, O) targets, one line for each of the O columns.
    Returns:
        w (D, O) and b (O,), in X's dtype.

    At the minimum the residual X @ w + b - y has mean zero and is orthogonal to every column of X; whoever could reduce
    it further with a column would do so.

    Solved in float64 whatever X's dtype, so that a feature near 1000 with spread 1 in float32 still gives its slope to
    1e-2. Columns that are duplicate, proportional or constant have many minimizers: any one of them is right, and
    there is no error. (For such columns do not rely on "gelsy", the driver that `torch.linalg.lstsq` has by default: in
    some versions of PyTorch it finds no minimizer now and then.)
    """
    raise NotImplementedError


def fit_standardized(X: Tensor, y: Tensor, lr: float = 0.1, epochs: int = 300) -> tuple[Tensor, Tensor]:
    """Fit y ≈ X @ w + b by gradient descent on data of any scale: in standard units, and back.

    Args:
        X: (N, D) features, such as heights in cm and ages in years.
        y: (N, 1) targets, such as weights in kg.
        lr: learning rate of the descent in standard units.
        epochs: its number of steps.
    Returns:
        w (D, 1) and b (1,) in original units, so that X @ w + b predicts y; in X's dtype and without a graph.

    Heights around 170 make plain gradient descent at lr 0.1 explode. So each column of X, and y, has its mean
    subtracted and is divided by its standard deviation (over N or N - 1, as you like). What is fitted there is mapped
    back: the weights from standard units to kg per cm, and the intercept to 0 cm.

    With the defaults and weakly correlated columns, predictions match least squares to 0.1 kg. A column whose entries
    are all equal tells nothing and has no spread to divide by: its weight is exactly 0, and the other weights are what
    they are without it. A constant y is predicted as that constant. X and y are not changed.
    """
    raise NotImplementedError


def compare_optimizers(
    make_model: Callable[[], nn.Module],
    X: Tensor,
    y: Tensor,
    optimizers: dict[str, Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]],
    epochs: int,
) -> dict[str, list[float]]:
    """Let optimizers race from the same start and record the loss curve of each.

    Args:
        make_model: returns a new model; its weights may be random and differ from call to call.
        X: what the models are given.
        y: the targets.
        optimizers: by name, a function from a model's parameters to an optimizer for them, such as
            `lambda parameters: torch.optim.SGD(parameters, lr=0.1)`.
        epochs: how long each of them trains.
    Returns:
        By name, in the order of `optimizers`, the mean squared error of each epoch before its update, as `train`
        returns it.

    Each optimizer starts from weights that are identical to those of the others, and what one has learned or collected
    does not reach the next: all the curves begin with the same loss, and the same optimizer under two names has the
    same curve twice.
    """
    raise NotImplementedError
