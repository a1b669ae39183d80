"""CS231n by hand: two losses with their gradients, a net, a numeric check, a
convolution, and what a net looks at.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_spirals(
    points_per_class: int,
    num_classes: int = 3,
    noise: float = 0.2,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw points on spirals, one spiral per class: x (N, 2) and y (N,), class
    by class.

    In class c the radius grows from 0 to 1 while the angle goes from 4c to 4c + 4
    radians, plus normal noise.
    """
    y = torch.arange(num_classes).repeat_interleave(points_per_class)
    radius = torch.linspace(0, 1, points_per_class).repeat(num_classes)
    angle = 4 * (y + radius) + noise * torch.randn(len(y), generator=generator)
    return torch.stack([radius * angle.sin(), radius * angle.cos()], dim=1), y


def make_bars(
    num_images: int,
    size: int = 8,
    length: int = 4,
    noise: float = 0.3,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw images of one bar each: x (N, 1, size, size), and y (N,), 0 horizontal, 1
    vertical, 2 diagonal.

    A bar is `length` pixels of value 1 at a random place, and the other pixels are
    normal noise.
    """
    y = torch.randint(3, (num_images,), generator=generator)
    # (N, 2): rows and columns per pixel of the bar
    step = torch.tensor([[0, 1], [1, 0], [1, 1]])[y]
    room = size - (length - 1) * step
    start = (torch.rand(num_images, 2, generator=generator) * room).long()
    # (N, length, 2)
    places = start[:, None] + torch.arange(length)[:, None] * step[:, None]
    x = noise * torch.randn(num_images, 1, size, size, generator=generator)
    x[torch.arange(num_images)[:, None], 0, places[..., 0], places[..., 1]] = 1
    return x, y


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Measure the share of rows whose highest score is that of the right class, in
    eval mode.
    """
    training = model.training
    model.eval()
    with torch.no_grad():
        right = model(x).argmax(dim=1) == y
    model.train(training)
    return right.float().mean().item()


def softmax_loss(scores: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy, and its gradient: probabilities minus one-hot, over N."""
    rows = torch.arange(len(y))
    p = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
    loss = -p[rows, y].log().mean()
    gradient = p.clone()
    gradient[rows, y] -= 1
    return loss, gradient / len(y)


def svm_loss(scores: Tensor, y: Tensor, margin: float = 1.0) -> tuple[Tensor, Tensor]:
    """Mean hinge loss, and its gradient: 1 per violated margin, minus their count for
    the right class, over N.
    """
    rows = torch.arange(len(y))
    terms = (scores - scores[rows, y][:, None] + margin).clamp(min=0)
    terms[rows, y] = 0
    gradient = (terms > 0).float()
    gradient[rows, y] = -gradient.sum(dim=1)
    return terms.sum() / len(y), gradient / len(y)


def svm_loss_numpy(scores: np.ndarray, y: np.ndarray, margin: float = 1.0) -> float:
    """The same loss on arrays."""
    rows = np.arange(len(y))
    terms = np.maximum(scores - scores[rows, y][:, None] + margin, 0)
    terms[rows, y] = 0
    return float(terms.sum() / len(y))


def knn_predict_numpy(
    train_x: np.ndarray, train_y: np.ndarray, x: np.ndarray, k: int
) -> np.ndarray:
    """The most frequent class among the k nearest training points."""
    distances = np.sqrt(((x[:, None] - train_x) ** 2).sum(axis=2))
    nearest = train_y[distances.argsort(axis=1)[:, :k]]
    return np.array([np.bincount(labels).argmax() for labels in nearest])


def numerical_gradient(
    f: Callable[[Tensor], Tensor | float], x: Tensor, eps: float = 1e-5
) -> Tensor:
    """Central differences, one number of x at a time."""
    gradient = torch.zeros_like(x)
    for i in range(x.numel()):
        step = torch.zeros_like(x)
        step.view(-1)[i] = eps
        gradient.view(-1)[i] = (f(x + step) - f(x - step)) / (2 * eps)
    return gradient


class TwoLayerNet(nn.Module):
    """relu(x W1 + b1) W2 + b2, with gradients by hand."""

    def __init__(self, input_size: int, hidden_size: int, num_classes: int):
        super().__init__()
        self.W1 = nn.Parameter(
            torch.randn(input_size, hidden_size) * (2 / input_size) ** 0.5
        )
        self.b1 = nn.Parameter(torch.zeros(hidden_size))
        self.W2 = nn.Parameter(
            torch.randn(hidden_size, num_classes) * (2 / hidden_size) ** 0.5
        )
        self.b2 = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.W1 + self.b1).relu() @ self.W2 + self.b2

    @torch.no_grad()
    def loss_and_gradients(
        self, x: Tensor, y: Tensor, reg: float = 0.0, loss: str = "softmax"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Forward, then back through each step by the chain rule."""
        hidden = (x @ self.W1 + self.b1).relu()
        scores = hidden @ self.W2 + self.b2
        data_loss, d_scores = (
            softmax_loss(scores, y) if loss == "softmax" else svm_loss(scores, y)
        )
        total = data_loss + reg / 2 * (self.W1.square().sum() + self.W2.square().sum())

        d_hidden = d_scores @ self.W2.T
        d_hidden[hidden == 0] = 0
        return total, {
            "W1": x.T @ d_hidden + reg * self.W1,
            "b1": d_hidden.sum(dim=0),
            "W2": hidden.T @ d_scores + reg * self.W2,
            "b2": d_scores.sum(dim=0),
        }


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
) -> Tensor:
    """Windows times weights."""
    kh, kw = weight.shape[2:]
    # (B, C, H', W', kh, kw)
    windows = F.pad(x, [padding] * 4).unfold(2, kh, stride).unfold(3, kw, stride)
    out = torch.einsum("bchwij,ocij->bohw", windows, weight)
    return out if bias is None else out + bias[:, None, None]


def max_pool2d(x: Tensor, size: int, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """The largest value of each window, and its gradient back to where it came from."""
    pooled, d_x = torch.zeros_like(upstream), torch.zeros_like(x)
    for b, c, i, j in torch.cartesian_prod(*map(torch.arange, upstream.shape)).tolist():
        window = x[b, c, i * size : (i + 1) * size, j * size : (j + 1) * size]
        place = window.argmax()
        row, column = place // size, place % size
        pooled[b, c, i, j] = window[row, column]
        d_x[b, c, i * size + row, j * size + column] = upstream[b, c, i, j]
    return pooled, d_x


class BarNet(nn.Module):
    """One convolution, and per channel the strongest response anywhere."""

    def __init__(self, channels: int, num_classes: int = 3, kernel_size: int = 3):
        super().__init__()
        self.conv = nn.Conv2d(1, channels, kernel_size, padding=kernel_size // 2)
        self.output = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.conv(x).relu().amax(dim=(2, 3)))


def saliency_map(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The influence of each pixel on the score of the class."""
    x.requires_grad_()
    scores = model(x)
    scores[torch.arange(len(y)), y].sum().backward()
    return x.grad.abs().amax(dim=1)


def train_classifier(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int,
    lr: float,
    batch_size: int | None = None,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Adam on the cross-entropy, with all rows or random ones."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        if batch_size is None:
            loss = F.cross_entropy(model(x), y)
        else:
            rows = torch.randint(len(x), (batch_size,), generator=generator)
            loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
