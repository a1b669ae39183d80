"""A small AlexNet: convolution, response normalisation, overlapping pooling, dropout,
shifts, and averaged views.

After Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional
Neural Networks" (2012).
Sizes: B images in a batch, C channels, H · W pixels, O output channels, K classes.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Measure the share of images that the model gets right, in eval mode."""
    mode = model.training
    model.eval()
    with torch.no_grad():
        share = (model(x).argmax(dim=1) == y).float().mean().item()
    model.train(mode)
    return share


class ResponseNorm(nn.Module):
    """Wrap `local_response_norm` as a layer for `nn.Sequential`."""

    def __init__(self, size: int, alpha: float, beta: float, k: float):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)


def conv2d_numpy(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    stride: int = 1,
    padding: int = 0,
) -> np.ndarray:
    """Convolve images with kernels as PyTorch does, in NumPy.

    Args:
        x: (B, C, H, W) float64.
        w: (O, C, kh, kw), applied as they are: not flipped.
        b: (O,), or None for no bias.
        stride: pixels from one window to the next, in both directions.
        padding: zeros on each of the four sides.
    Returns:
        (B, O, H′, W′), with H′ = (H + 2 · padding − kh) // stride + 1, and W′ likewise.
        The row [1 2 4] and the kernel [−1 1] give [1 2].

    Edge cases ★
        float64 precision. x is not written to.
    """
    raise NotImplementedError


def local_response_norm(
    x: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
) -> Tensor:
    """Divide each value by the activity of neighbouring channels at the same pixel
    (section 3.3).

    Args:
        x: (B, C, H, W).
        size: n, odd. The window of channel c is c − n//2 … c + n//2, cut at the first
            and the last channel.
    Returns:
        (B, C, H, W): x_c / (k + α · Σ x_j²)^β, with the sum over the window. It is not
        divided by n.
        With n = 3, α = β = 1 and k = 0, one pixel's channels [1, 2, 3] become
        [1/5, 2/14, 3/13].

    Write it without `F.local_response_norm` and `nn.LocalResponseNorm`.

    Edge cases ★
        size < 1 is an error. n may be larger than C. float64 is kept.
    """
    raise NotImplementedError


def random_shift(
    x: Tensor, pad: int, generator: torch.Generator | None = None
) -> Tensor:
    """Move each image to a random place (the translations of section 4.1).

    Args:
        x: (B, C, H, W).
        pad: P zeros on every side, from which a window (H, W) is cut.
        generator: the source of the draws. None means the global one.
    Returns:
        (B, C, H, W). Each image has its own window, drawn evenly from all (2P + 1)².
        With P = 1, the row [5 6 7] becomes [0 5 6], [5 6 7] or [6 7 0].

    Edge cases ★
        P = 0 gives the same values. The result is a new tensor of x's dtype. x is not
        written to.
    """
    raise NotImplementedError


class MiniAlexNet(nn.Module):
    """Build AlexNet's sequence of layers, small enough for digits of 8 × 8 pixels.

    Args:
        num_classes: K.
        activation: "relu" or "tanh", used everywhere.
        dropout: p of both `nn.Dropout` layers.
    Attributes:
        features: (B, 1, 8, 8) → (B, 32, 3, 3). conv 1→16, activation, LRN, max pooling,
            conv 16→32, activation, LRN, conv 32→32, activation.
        classifier: 288 features → K. Dropout, Linear to 64, activation, Dropout, Linear
            to K.

    `forward(x)` returns logits (B, K).

    - conv: 3 × 3, padding 1. LRN: `ResponseNorm(5, 0.02, 0.75, 1.0)`. Max pooling:
      windows 3 × 3, stride 2.
    - Weights start Kaiming-normal (deviation √(2 / inputs of one output)), biases
      at zero.

    Edge cases ★
        Another `activation` is an error that names it.
    """

    def __init__(
        self, num_classes: int = 10, activation: str = "relu", dropout: float = 0.5
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def predict_averaged(model: nn.Module, x: Tensor, pad: int = 1) -> Tensor:
    """Average a model's predictions over five views of each image (section 4.1).

    Args:
        model: returns logits (B, K). It is run in eval mode.
        x: (B, C, H, W).
        pad: P zeros on every side. The views are windows (H, W): at the four corners
            and in the centre.
    Returns:
        (B, K) probabilities: the mean over the five views of the softmax of the logits.

    Edge cases ★
        P = 0 gives the plain softmax. No graph is built. `training` is afterwards as it
        was before.
    """
    raise NotImplementedError


def train_alexnet(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 200,
    batch: int = 64,
    lr: float = 0.003,
    weight_decay: float = 1e-4,
    shift: int = 0,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train a classifier on random batches, shifted anew in every step.

    Args:
        model: returns logits (B, K); trained in place with AdamW at `lr`
            and `weight_decay`.
        x, y: all images (N, C, H, W), and their labels (N,) int64.
        steps: the number of updates, each on `batch` images drawn through `generator`
            (None: the global one).
        shift: if above 0, the images of each batch go through `random_shift(…, shift)`,
            which draws from `generator`. x stays as it is.
    Returns:
        One float per step: the mean cross-entropy before the update.

    Gradients are cleared before each step.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect.
    """
    raise NotImplementedError
