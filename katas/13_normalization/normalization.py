"""Batch norm and layer norm: the same subtraction and division, with different elements
sharing one mean.

Sizes: N examples in a batch, C channels (features), L positions, H × W pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def normalization_groups(
    shape: Sequence[int], kind: str, normalized_dims: int = 1
) -> Tensor:
    """Number the elements of a tensor: equal numbers share one mean.

    Args:
        shape: the shape of the tensor to normalise.
        kind: "batch", "layer" or "instance".
        normalized_dims: for "layer", how many of the last dimensions share a mean. The
            other kinds ignore it.
    Returns:
        An int64 tensor of that shape. The ids count from 0, in the order in which
        groups first appear row by row.

        - "batch": one group per index of dim 1. The shape (2, 3) gives
          [[0, 1, 2], [0, 1, 2]].
        - "layer": one group per index of the leading dims. (2, 3) gives
          [[0, 0, 0], [1, 1, 1]].
        - "instance": one group per pair of indices of dims 0 and 1.

    Edge cases ★
        `shape` is any sequence. Another kind is an error. So are too few dims ("batch"
        needs 2, "instance" needs 3), and, for "layer", a `normalized_dims` outside 1 …
        the number of dims.
    """
    raise NotImplementedError


class BatchNorm1d(nn.Module):
    """Give every channel mean 0 and variance 1 over the batch, then a learned scale
    and shift.

    (x − mean) / √(var + eps) · weight + bias, with one mean, var, weight and bias per
    channel (Ioffe and Szegedy 2015). Write it without PyTorch's normalisations: no
    `F.batch_norm`, `F.layer_norm`, `F.instance_norm`, `F.group_norm`, no `torch.`
    function of these names or `torch.native_…_norm`, and none of their nn classes, not
    even as a base class.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ):
        """Create the parameters and buffers, with the names of `nn.BatchNorm1d`.

        Args:
            num_features: C, the number of channels.
            eps: added to the variance, inside the square root.
            momentum: the share of each new batch in the running statistics.
            affine: whether there are a weight and a bias.
            track_running_stats: whether there are running statistics.
        Attributes:
            weight, bias: (C,) parameters, ones and zeros. None without `affine`.
            running_mean, running_var: (C,) buffers, zeros and ones.
            num_batches_tracked: an int64 buffer of shape (), 0.

        The state_dict has the keys and shapes of that of `nn.BatchNorm1d`.

        Edge cases ★
            Without `track_running_stats` the three buffers are None.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel.

        Args:
            x: (N, C) or (N, C, L).
        Returns:
            The same shape.

        - Training mode: mean and *biased* variance of the batch over every dim but 1.
          Gradients flow through both.
        - Then the running statistics move: running = (1 − m) · running + m · batch,
          with m = momentum and the *unbiased* variance: divided by n − 1, for n values
          per channel. `num_batches_tracked` grows by 1. The buffers never carry
          a graph.
        - Eval mode: mean and variance are the running statistics, which stay as they
          are. A row does not depend on the rest of its batch, and a single row is fine.

        Edge cases ★
            momentum=0.0 moves nothing; None means m = 1 / num_batches_tracked, this
            batch counted. Without running statistics both modes use the batch. `x` may
            be non-contiguous and is not written to. Two values per channel are enough.
            A float64 layer gives float64, and everything runs on the device of `x`. Any
            other number of dims or channels is an error. So are fewer than two values
            per channel where the batch's statistics are needed, and that message names
            the shape of `x`. An error leaves every buffer as it was.
        """
        raise NotImplementedError


class BatchNorm2d(nn.Module):
    """Normalise images like `BatchNorm1d`: each channel over all examples and pixels.

    Args of `__init__`:
        num_features, eps, momentum, affine, track_running_stats: as in `BatchNorm1d`.
    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: as
            in `BatchNorm1d`.
    Args of `forward`:
        x: (N, C, H, W). A channel has n = N · H · W values.
    Returns of `forward`:
        The same shape.

    Both modes, the running statistics and the forbidden functions and classes are as in
    `BatchNorm1d`. The state_dict has the keys and shapes of that of `nn.BatchNorm2d`.

    Edge cases ★
        As in `BatchNorm1d`, with an error that names the shape of `x`; an `x` that is
        not 4-D is an error.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class LayerNorm(nn.Module):
    """Give the features of every token mean 0 and variance 1, then a learned scale and
    shift (Ba et al. 2016).

    Args of `__init__`:
        normalized_shape: the last dims of x, which share one mean. An int D means (D,).
        eps: added to the variance, inside the square root.
        elementwise_affine: whether there is a weight.
        bias: whether there is a bias beside the weight.
    Attributes:
        normalized_shape: a tuple.
        weight, bias: parameters of that shape, ones and zeros. None where switched off.
    Args of `forward`:
        x: (*, *normalized_shape).
    Returns of `forward`:
        (x − mean) / √(var + eps) · weight + bias, with one mean and one *biased*
        variance per token.

    A token depends neither on other tokens nor on the mode. Equal features give the
    bias and finite gradients. The state_dict is like that of `nn.LayerNorm`. What
    `BatchNorm1d` forbids is forbidden here.

    Edge cases ★
        The result has x's dtype. For float16 and bfloat16 the statistics are computed
        in float32, whatever the dtype of the weight: ±1000 does not overflow. float32
        rows near 1000 with a spread of 0.1 are normalised correctly. `x` may be
        non-contiguous and is not written to. Everything runs on its device. An `x` that
        does not end in `normalized_shape` is an error.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def train_eval_gap(norm: nn.Module, x: Tensor) -> float:
    """Measure how far the outputs of a layer in training mode and in eval mode
    are apart.

    Args:
        norm: a layer, or a whole model, in either mode.
        x: an input for it.
    Returns:
        The largest absolute difference of the two outputs, a plain float. 0.0 for
        layer norm.

    Both passes start from the running statistics that the layer has now. Afterwards
    these have the same values as before, in all parts of a model.

    Edge cases ★
        The mode of each part stays as it was, and every `.grad`, also x's. That holds
        after an error, too.
    """
    raise NotImplementedError


def batch_size_effect(
    x: Tensor, batch_sizes: Sequence[int]
) -> dict[int, dict[str, float]]:
    """Normalise the same rows in batches of several sizes, and measure how much the
    batches differ.

    Args:
        x: (N, C) rows.
        batch_sizes: the sizes b to try.
    Returns:
        Per b, in the given order, a dict of plain numbers. x is cut, in order, into N
        // b full batches (the rest is dropped). Each is normalised by its own mean and
        biased variance, eps = 1e-5.

        - `num_batches`: N // b.
        - `mean_spread`: the deviation of the batch means, averaged over the channels.
        - `output_std`: the deviation of all normalised rows together, averaged over the
          channels. 0.0 for b = 1: a row minus its own mean is zero.

    Deviations are standard deviations of the population (divided by n, not n − 1).

    Edge cases ★
        `x` may be non-contiguous and is not written to. A b outside 1 … N is an error.
    """
    raise NotImplementedError


def compare_training(
    x: Tensor,
    y: Tensor,
    hidden_dim: int = 32,
    depth: int = 10,
    steps: int = 80,
    lr: float = 0.1,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Train one deep network three times: without norm layers, with batch norm, and
    with layer norm.

    Args:
        x: (N, D) inputs.
        y: (N,) int64 classes, from 0.
        hidden_dim, depth: width and number of the hidden layers. With `depth` 0 only
            the last linear layer is left.
        steps, lr: number of updates and learning rate.
        seed: for the initial weights.
    Returns:
        {"none": losses, "batch": losses, "layer": losses}, in this order: `steps` plain
        floats each, the mean cross-entropy over all rows before the update of its step.

    The network is `depth` times [`nn.Linear`, norm or nothing, ReLU] and a last
    `nn.Linear` to max(y) + 1 classes. The norms are this kata's `BatchNorm1d` and
    `LayerNorm` with their defaults. `torch.manual_seed(seed)` comes before each
    network. Every step is plain SGD (no momentum) on all rows, in training mode.

    Edge cases ★
        The networks have x's dtype and device. x and y are not written to.
    """
    raise NotImplementedError
