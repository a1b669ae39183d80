"""Linear regression, by hand and with PyTorch's parts: predict, measure,
differentiate, step.
"""

import copy
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
    """Points on a line, with noise on their heights."""
    low, high = x_range
    X = low + (high - low) * torch.rand(n, 1, generator=generator)
    y = slope * X + intercept + noise * torch.randn(n, 1, generator=generator)
    return X, y


def mse_loss(pred: Tensor, target: Tensor) -> Tensor:
    """The mean of the squared differences; shapes that would broadcast are refused."""
    if pred.shape != target.shape:
        raise ValueError(
            f"shapes differ: {tuple(pred.shape)} and {tuple(target.shape)}"
        )
    return (pred - target).square().mean()


def fit_manual(
    X: Tensor, y: Tensor, lr: float, epochs: int
) -> tuple[Tensor, Tensor, list[float]]:
    """Gradient descent on two tensors."""
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    losses = []
    for _ in range(epochs):
        loss = (X @ w + b - y).square().mean()
        loss.backward()
        with torch.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
        w.grad = b.grad = None
        losses.append(loss.item())
    return w.detach(), b.detach(), losses


class LinearRegression(nn.Module):
    """One nn.Linear."""

    def __init__(self, in_features: int = 1, out_features: int = 1):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def train(
    model: nn.Module,
    X: Tensor,
    y: Tensor,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    loss_fn: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> list[float]:
    """The training loop for any model and optimizer."""
    loss_fn = loss_fn or nn.MSELoss()
    model.train()
    losses = []
    for _ in range(epochs):
        loss = loss_fn(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def fit_least_squares(X: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The exact fit: a column of ones stands for the intercept."""
    columns = torch.cat([X, torch.ones(len(X), 1)], dim=1)
    solution = torch.linalg.lstsq(columns, y).solution
    return solution[:-1], solution[-1]


def fit_standardized(
    X: Tensor, y: Tensor, lr: float = 0.1, epochs: int = 300
) -> tuple[Tensor, Tensor]:
    """Descent in standard units, mapped back."""
    mean_x, std_x = X.mean(dim=0), X.std(dim=0)
    mean_y, std_y = y.mean(dim=0), y.std(dim=0)
    w, b, _ = fit_manual((X - mean_x) / std_x, (y - mean_y) / std_y, lr, epochs)
    w = w * std_y / std_x[:, None]
    b = mean_y + b * std_y - mean_x @ w
    return w, b


def compare_optimizers(
    make_model: Callable[[], nn.Module],
    X: Tensor,
    y: Tensor,
    optimizers: dict[str, Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]],
    epochs: int,
) -> dict[str, list[float]]:
    """Loss curves from one start."""
    start = make_model()
    curves = {}
    for name, make_optimizer in optimizers.items():
        model = copy.deepcopy(start)
        curves[name] = train(model, X, y, make_optimizer(model.parameters()), epochs)
    return curves
