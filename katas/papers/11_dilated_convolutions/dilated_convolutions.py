"""Dilated convolutions: causal ones in a residual stack that looks far back, and a
context module for images.

After Yu, Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions" (2015); the
causal form is that of WaveNet (2016). Sizes: B sequences or images in a batch, C
channels, T steps, K taps of a kernel, d a dilation.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def lag_batch(
    batch: int,
    length: int,
    lag: int,
    vocab: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw random symbols, whose answer at each step is the symbol `lag` steps
    earlier (given).

    Args:
        batch, length: B and T.
        lag: how far back the answer lies.
        vocab: the number of different symbols.
        generator: the source of the draws. None means the global generator.
    Returns:
        The pair (x, y): x (B, vocab, T) float32, one-hot in dimension 1, and y (B, T)
        int64. y is −100 in the first `lag` steps, which have no answer.
    """
    symbols = torch.randint(vocab, (batch, length), generator=generator)
    no_answer = torch.full((batch, lag), -100)
    return F.one_hot(symbols, vocab).float().mT, torch.cat([no_answer, symbols], dim=1)[
        :, :length
    ]


def receptive_field(kernel_size: int, dilations: Sequence[int]) -> int:
    """Count how many input steps one output of a stack of dilated convolutions can see.

    Args:
        kernel_size: K, the taps of each layer.
        dilations: one per layer, d: neighbouring taps are d steps apart.
    Returns:
        The steps from the earliest visible one to the last one, inclusive. One layer
        with K = 3 and d = 2 reads steps t − 4, t − 2 and t, which makes 5. Each layer
        looks further back from where the layer above it looks.

    Edge cases ★
        Without layers, 1. A kernel_size or a dilation below 1 is an error.
    """
    raise NotImplementedError


def dilated_conv1d_numpy(x: np.ndarray, w: np.ndarray, dilation: int) -> np.ndarray:
    """Convolve one sequence with one causal kernel in NumPy: the paper's equation (2)
    on a line.

    Args:
        x: (T,) float64.
        w: (K,) float64; the last tap meets the present step.
        dilation: d, the distance between neighbouring taps.
    Returns:
        (T,): y[t] = Σ_k w[k] · x[t − (K − 1 − k) · d]. Steps before the start count
        as 0. With w = [1, 2] and d = 2, [5, 6, 7, 8] becomes [10, 12, 19, 22].

    Edge cases ★
        float64 precision.
    """
    raise NotImplementedError


class CausalConv1d(nn.Module):
    """A dilated convolution over time that never looks ahead: section 2.1 of WaveNet.

    Args:
        in_channels, out_channels: C and O.
        kernel_size: K taps.
        dilation: d, the distance between neighbouring taps.
    Attributes:
        conv: an `nn.Conv1d`, with weight (O, C, K) and bias (O,). There are no
            other parameters.

    `forward(x)` takes (B, C, T) and returns (B, O, T). With w = conv.weight and steps
    before the start counted as 0:

        y[b, :, t] = Σ_k w[:, :, k] x[b, :, t − (K − 1 − k) · d] + bias

    - The last tap meets the present step; K = 3 and d = 2 read steps t − 4, t − 2
      and t.

    Edge cases ★
        K = 1 and T = 1 work. A float64 layer computes in float64.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class DilatedStack(nn.Module):
    """A stack of causal dilated convolutions with shortcuts, as in WaveNet, with a relu
    in place of its gates.

    Args:
        in_channels, channels, out_channels: of the input, of all layers, and of
            the output.
        kernel_size: K, the same in all layers.
        dilations: one per layer, first layer first.
    Attributes:
        stem: `nn.Conv1d` of kernel size 1, from in_channels to channels.
        layers: `nn.ModuleList` of `CausalConv1d`.
        head: `nn.Conv1d` of kernel size 1, from channels to out_channels.

    `forward(x)` takes (B, in_channels, T) and returns (B, out_channels, T):
    h = stem(x), then for each layer

        h = h + relu(layer(h))

    and head(h) at the end. Keep PyTorch's own initialisation.

    Edge cases ★
        A float64 stack computes in float64.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        out_channels: int,
        kernel_size: int = 2,
        dilations: Sequence[int] = (1, 2, 4, 8),
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def empirical_receptive_field(model: nn.Module, in_channels: int, length: int) -> int:
    """Measure how many input steps the last output of a model depends on, by
    its gradient.

    Args:
        model: takes (1, in_channels, length) and returns (1, channels, length).
        in_channels, length: of the random input; length is larger than the reach.
    Returns:
        The steps from the earliest one with a non-zero gradient to the last one,
        inclusive. The gradient is that of the sum of all channels at the output's last
        step. A model that reads steps t − 8, t − 4 and t gives 9.

    Edge cases ★
        0 if no step has a gradient. The model is measured in eval mode. Afterwards
        every `training` and every `.grad` is as before.
    """
    raise NotImplementedError


def train_lag(
    model: nn.Module,
    *,
    steps: int = 200,
    batch: int = 16,
    length: int = 64,
    lag: int = 24,
    vocab: int = 4,
    lr: float = 0.01,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Teach a model to name the symbol `lag` steps earlier, with Adam at learning
    rate `lr`.

    Args:
        model: takes (B, vocab, T), returns logits (B, vocab, T).
        steps: the number of updates, each on a new `lag_batch`.
        batch, length, lag, vocab: of the batches.
        generator: the source of the batches. None means the global generator.
    Returns:
        The loss of each step before its update, as floats: the mean cross-entropy over
        the steps that have an answer.

    - Gradients are cleared before each update.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect.
    """
    raise NotImplementedError


class ContextModule2d(nn.Module):
    """Let every pixel see a wide neighbourhood at full resolution: the paper's context
    module (section 3).

    Args:
        channels: C, the same in all layers.
        dilations: one per layer, first layer first.
    Attributes:
        layers: `nn.ModuleList` of 3×3 `nn.Conv2d`, each with its dilation and zero
            padding that keeps the size.

    `forward(x)` takes (B, C, H, W) and returns (B, C, H, W): the layers, with a relu
    after each but the last.

    - Identity start, equation (4): in each layer the centre tap from channel c to
      channel c is 1, all other weights and all biases are 0.

    Edge cases ★
        A float64 module computes in float64. x is not written to.
    """

    def __init__(self, channels: int, dilations: Sequence[int] = (1, 1, 2, 4, 8)):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError
