"""The core of CS231n by hand: two losses with their gradients, a two-layer net, a
numeric check, and a convolution.

After the notes of Stanford's course CS231n. Sizes: N samples, C classes (in images:
channels), D numbers per sample, H hidden units (in images: the height), B images, O
kernels of height kh and width kw.
"""

from collections.abc import Callable

import numpy as np  # stub: keep
import torch
import torch.nn.functional as F  # stub: keep
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
    """Compute the mean cross-entropy of a batch, and its gradient on paper.

    Args:
        scores: (N, C).
        y: (N,) int64, the right classes.
    Returns:
        The loss, 0-dim: the mean over samples of −log p[y], where p is the softmax of
        the sample's scores.
        Its gradient with respect to the scores, (N, C).

    Scores [[0, 0]] with y = [1]: loss ln 2 = 0.69, gradient [[0.5, −0.5]].

    - No `F.cross_entropy`, no `log_softmax`, no autograd: derive the gradient.

    Edge cases ★
        Scores of ±1000 give finite results. float64 keeps its precision. `scores` is
        not written to.
    """
    rows = torch.arange(len(y), device=scores.device)
    shifted = scores - scores.amax(dim=1, keepdim=True)
    log_p = shifted - shifted.exp().sum(dim=1, keepdim=True).log()
    gradient = log_p.exp()
    gradient[rows, y] -= 1
    return -log_p[rows, y].mean(), gradient / len(y)


def svm_loss(scores: Tensor, y: Tensor, margin: float = 1.0) -> tuple[Tensor, Tensor]:
    """Compute the multiclass hinge loss, and its gradient on paper: every wrong class
    should stay `margin` below.

    Args:
        scores: (N, C).
        y: (N,) int64, the right classes.
        margin: by how much the right score s_y should exceed each other one.
    Returns:
        The loss, 0-dim: the mean over samples of Σ max(0, s_j − s_y + margin), over the
        wrong classes j only.
        Its gradient with respect to the scores, (N, C). No autograd here either.

    Scores [[3, 2.5, 0]] with y = [0]: the terms are 0.5 and 0, so the loss is 0.5, and
    the gradient [[−1, 1, 0]].

    Edge cases ★
        A term of exactly 0 has gradient 0. float64 keeps its precision. `scores` is not
        written to.
    """
    rows = torch.arange(len(y), device=scores.device)
    terms = (scores - scores[rows, y][:, None] + margin).clamp(min=0)
    terms[rows, y] = 0
    gradient = (terms > 0).to(scores.dtype)
    gradient[rows, y] = -gradient.sum(dim=1)
    return terms.sum() / len(y), gradient / len(y)


def svm_loss_numpy(scores: np.ndarray, y: np.ndarray, margin: float = 1.0) -> float:
    """Compute the loss of `svm_loss` in NumPy, without its gradient.

    Args:
        scores: (N, C) float64.
        y: (N,) ints.
        margin: as in `svm_loss`.
    Returns:
        The loss as a float.

    Edge cases ★
        float64 precision. No input is written to.
    """
    rows = np.arange(len(y))
    terms = np.maximum(scores - scores[rows, y][:, None] + margin, 0)
    terms[rows, y] = 0
    return float(terms.sum() / len(y))


def knn_predict_numpy(
    train_x: np.ndarray, train_y: np.ndarray, x: np.ndarray, k: int
) -> np.ndarray:
    """Predict by a vote of the nearest neighbours, in NumPy.

    Args:
        train_x: (N, D) float64.
        train_y: (N,) ints, classes 0, 1, 2, …
        x: (M, D) float64, the points to classify.
        k: how many neighbours vote.
    Returns:
        (M,) int64: the most frequent class among the k training points nearest to x by
        L2 distance. On a tie, the smallest of the most frequent classes.

    Training points 0, 1 and 5 with classes 2, 0 and 0: x = 0.1 gives 2 for k = 1, and 0
    for k = 2 or 3.

    Edge cases ★
        Of equally distant points the earlier row counts as nearer. A k that is not in
        1..N is an error.
    """
    if not 1 <= k <= len(train_x):
        raise ValueError(f"k = {k} neighbours of {len(train_x)} training points")
    distances = ((x[:, None] - train_x) ** 2).sum(axis=2)  # (M, N)
    votes = train_y[distances.argsort(axis=1, kind="stable")[:, :k]]
    counts = (votes[:, :, None] == np.arange(train_y.max() + 1)).sum(axis=1)
    return counts.argmax(axis=1)


def numerical_gradient(
    f: Callable[[Tensor], Tensor | float], x: Tensor, eps: float = 1e-5
) -> Tensor:
    """Estimate the gradient of f at x by central differences, to check one that was
    derived by hand.

    Args:
        f: maps a tensor of x's shape to one number, a 0-dim tensor or a float.
        x: any shape, float64: in float32 the differences drown in rounding.
        eps: the step.
    Returns:
        The shape of x. Each entry is (f at +eps − f at −eps) / (2 eps), where only that
        entry of x is moved.

    f = sum of squares at x = [1, 2] gives [2, 4].

    Edge cases ★
        Afterwards x is exactly as before, to the last bit.
    """
    point = x.detach().clone(memory_format=torch.contiguous_format)
    gradient = torch.zeros_like(point)
    entries, slopes = point.view(-1), gradient.view(-1)
    for i, value in enumerate(entries.tolist()):
        entries[i] = value + eps
        above = float(f(point))
        entries[i] = value - eps
        slopes[i] = (above - float(f(point))) / (2 * eps)
        entries[i] = value
    return gradient


class TwoLayerNet(nn.Module):
    """A net with one hidden layer, relu(x W1 + b1) W2 + b2, that also knows its
    gradients by hand.
    """

    def __init__(self, input_size: int, hidden_size: int, num_classes: int):
        """Create the four parameters.

        Args:
            input_size, hidden_size, num_classes: D, H and C.
        Attributes:
            W1, b1: (D, H) and (H,).
            W2, b2: (H, C) and (C,).

        Weights start normal with mean 0 and standard deviation sqrt(2 / fan_in), where
        fan_in is the number of inputs of the layer (He et al.). Biases start at 0.
        """
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
        """Compute the scores relu(x W1 + b1) W2 + b2.

        Args:
            x: (N, D).
        Returns:
            (N, C), with an autograd graph: `train_classifier` learns through it.
        """
        return (x @ self.W1 + self.b1).relu() @ self.W2 + self.b2

    def loss_and_gradients(
        self, x: Tensor, y: Tensor, reg: float = 0.0, loss: str = "softmax"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss, and the gradient of each parameter by the chain rule.

        Args:
            x, y: (N, D) and (N,).
            reg: the weight of the penalty reg/2 · (‖W1‖² + ‖W2‖²), squared entries
                summed. Biases are free.
            loss: "softmax" for `softmax_loss`, "svm" for `svm_loss` with margin 1.
        Returns:
            The loss, 0-dim, with the penalty.
            The gradients under the keys W1, b1, W2, b2, each of its parameter's shape.

        - No autograd. Start from the gradient that the loss gives you, and walk back.

        Edge cases ★
            Another `loss` is an error. The parameters' `.grad` stay as they were.
            float64 keeps its precision.
        """
        if loss not in ("softmax", "svm"):
            raise ValueError(f"loss is 'softmax' or 'svm', not {loss!r}")
        with torch.no_grad():
            hidden = (x @ self.W1 + self.b1).relu()
            scores = hidden @ self.W2 + self.b2
            value, d_scores = (
                softmax_loss(scores, y) if loss == "softmax" else svm_loss(scores, y)
            )
            value = value + reg / 2 * (self.W1.square().sum() + self.W2.square().sum())
            d_hidden = (d_scores @ self.W2.T) * (hidden > 0)
            return value, {
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
    """Cross-correlate images with kernels as `F.conv2d` does: each output is one window
    times the weights, summed.

    Args:
        x: (B, C, H, W).
        weight: (O, C, kh, kw), not flipped.
        bias: (O,), or None.
        stride: the distance between windows, in both directions.
        padding: rows and columns of zeros on each of the four sides.
    Returns:
        (B, O, H', W') with H' = (H + 2 · padding − kh) // stride + 1, and W' alike. It
        is differentiable.

    Row [1, 2, 3, 4] and kernel [1, 10] with stride 2 give [21, 43].

    - No finished convolution, and no `F.unfold`. `x.unfold(dim, size, step)`, a view,
      is allowed.

    Edge cases ★
        x may be non-contiguous, and is not written to. float64 keeps its precision.
    """
    kh, kw = weight.shape[2:]
    padded = F.pad(x, (padding, padding, padding, padding))
    # (B, C, H', W', kh, kw)
    windows = padded.unfold(2, kh, stride).unfold(3, kw, stride)
    out = torch.einsum("bchwij,ocij->bohw", windows, weight)
    return out if bias is None else out + bias[:, None, None]


def max_pool2d(x: Tensor, size: int, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """Keep the largest value of each window, and send gradients back by hand.

    Args:
        x: (B, C, H, W).
        size: height, width and distance of the windows. H and W are multiples of it.
        upstream: (B, C, H / size, W / size), the gradient of a loss in the
            pooled values.
    Returns:
        The pair (pooled values, gradient of the loss in x), shaped like upstream and
        like x.

    Row [1, 5, 2, 3] with size 2 and height 1 would give [5, 3]. Upstream [10, 20] then
    gives [0, 10, 0, 20].

    - The largest value of a window gets all of that window's gradient, the others
      get 0.
    - Neither autograd nor a finished max pool.

    Edge cases ★
        Of equal values the first one in reading order gets the gradient. float64 keeps
        its precision, and no argument is written to.
    """
    # (B, C, H', W', size²)
    windows = (
        x.unflatten(3, (-1, size)).unflatten(2, (-1, size)).transpose(3, 4).flatten(4)
    )
    winner = windows.argmax(dim=-1, keepdim=True)
    back = torch.zeros_like(windows).scatter(-1, winner, upstream[..., None])
    d_x = back.unflatten(-1, (size, size)).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    return windows.gather(-1, winner).squeeze(-1), d_x


class BarNet(nn.Module):
    """A small convolutional net: it looks for patterns, wherever they are.

    Args:
        channels: kernels of the convolution.
        num_classes: classes.
        kernel_size: height and width of the kernels, odd.
    Attributes:
        conv: an `nn.Conv2d` from 1 to `channels` channels, with padding kernel_size
            // 2.
        output: an `nn.Linear` from `channels` to `num_classes`.

    `forward(x)` takes images (B, 1, H, W) of any size and returns scores (B,
    num_classes): the convolution, a ReLU, per channel the maximum over all positions,
    and the linear layer.
    """

    def __init__(self, channels: int, num_classes: int = 3, kernel_size: int = 3):
        super().__init__()
        self.conv = nn.Conv2d(1, channels, kernel_size, padding=kernel_size // 2)
        self.output = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.conv(x).relu().amax(dim=(2, 3)))


def saliency_map(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Measure which pixels a score depends on: its gradient with respect to the image.

    Args:
        model: maps images to scores, each image on its own.
        x: (B, C, H, W).
        y: (B,), per image the class whose score is asked about.
    Returns:
        (B, H, W): the absolute value of ∂ score_y / ∂ x, and of it the maximum over
        the channels.

    Scores are what the model returns: no softmax, no loss.

    Edge cases ★
        The model runs in eval mode, and every module has its old mode afterwards. `x`,
        its `requires_grad`, and all `.grad` are left as they were: where there was
        none, there is none.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        image = x.detach().clone().requires_grad_()
        scores = model(image)
        (gradient,) = torch.autograd.grad(scores.gather(1, y[:, None]).sum(), image)
    finally:
        for module, training in modes:
            module.training = training
    return gradient.abs().amax(dim=1)


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
    """Train a classifier with Adam on the mean cross-entropy.

    Args:
        model: maps rows of x to scores.
        x, y: N rows of data, and their classes.
        steps: updates with learning rate `lr` on all parameters.
        batch_size: rows per step, drawn with replacement, so that a row can come twice.
            None takes all rows in every step.
        generator: the source of these draws.
    Returns:
        One float per step, the loss before its update.

    Gradients are cleared before each step. `F.cross_entropy` and autograd are
    allowed here.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        batch_x, batch_y = x, y
        if batch_size is not None:
            rows = torch.randint(len(x), (batch_size,), generator=generator)
            batch_x, batch_y = x[rows], y[rows]
        loss = F.cross_entropy(model(batch_x), batch_y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
