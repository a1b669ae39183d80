"""Batch norm and layer norm: the same subtraction and division, with different elements sharing one mean.

Sizes: N examples in a batch, C channels (features), L positions, H × W pixels.
"""

from collections.abc import Sequence

from torch import Tensor, nn


def normalization_groups(shape: Sequence[int], kind: str, normalized_dims: int = 1) -> Tensor:
    """Number the elements of a tensor so that those which share one mean have the same number.

    Args:
        shape: of the tensor that is to be normalised.
        kind: "batch", "layer" or "instance".
        normalized_dims: for "layer", how many of the last dimensions are normalised together; the others ignore it.
    Returns:
        An int64 tensor of that shape. The ids count from 0, in the order in which the groups first appear when the
        tensor is read row by row.

        - "batch": one group for each index of dim 1. The shape (2, 3) gives [[0, 1, 2], [0, 1, 2]].
        - "layer": one group for each index of the leading dims. (2, 3) gives [[0, 0, 0], [1, 1, 1]].
        - "instance": one group for each pair of indices of dims 0 and 1.

    Raises:
        ValueError: the kind is none of these; the shape has too few dims ("batch" needs 2, "instance" needs 3); for
            "layer", `normalized_dims` lies outside 1 … the number of dims.
    """
    raise NotImplementedError


class BatchNorm1d(nn.Module):
    """Give every channel mean 0 and variance 1 over the batch, then a scale and a shift that are learned.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance, inside the square root.
        momentum: how far the running statistics move with each batch; None = they are the plain mean over all batches.
        affine: whether there are a weight and a bias.
        track_running_stats: whether there are running statistics.
    Attributes:
        weight, bias: (C,) parameters, at first ones and zeros; None without `affine`.
        running_mean, running_var: (C,) buffers, at first zeros and ones; None without `track_running_stats`.
        num_batches_tracked: an int64 buffer of shape (), at first 0; None without `track_running_stats`.

    `forward(x)` takes x (N, C) or (N, C, L) and returns the same shape and, for a layer of x's dtype, that dtype:

        (x − mean) / √(var + eps) · weight + bias, with one mean, var, weight and bias for each channel.

    - In training mode mean and var are those of the batch, over every dim but 1; the variance is the biased one (the
      mean of the squared deviations). Gradients flow through x, mean and var.
    - After that the running statistics move: running = (1 − m) · running + m · batch, where the batch variance is the
      unbiased one (divided by n − 1, for n values in a channel). m is `momentum`, and 0.0 moves nothing; for None it is
      1 / num_batches_tracked, this batch counted. The buffers never carry a graph.
    - In eval mode mean and var are the running statistics, which stay as they are: what becomes of a row does not
      depend on the rest of its batch, and a single row is fine. Without running statistics both modes use the batch's.
    - The state_dict has the keys and shapes of `nn.BatchNorm1d`, and can be loaded there and back.
    - x may be non-contiguous and is not written to.
    - PyTorch's own normalisations are not used here: neither `F.batch_norm`, `F.layer_norm`, `F.instance_norm` and
      `F.group_norm`, nor the `torch.` functions of these names or `torch.native_…_norm`, nor their nn classes, not even
      as a base class.

    Raises:
        ValueError: in `forward`, x has another number of dims, or not C channels, or fewer than two values in a channel
            where the batch's statistics are needed. The message names x's shape, and every buffer stays as it was.

    Source: Ioffe and Szegedy 2015, "Batch Normalization", algorithms 1 and 2.
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


class BatchNorm2d(nn.Module):
    """Batch norm for images: the same as `BatchNorm1d`, for x (N, C, H, W).

    Args:
        num_features, eps, momentum, affine, track_running_stats: as in `BatchNorm1d`.
    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: as in `BatchNorm1d`.

    `forward(x)` takes x (N, C, H, W) and returns the same shape. A channel's statistics are taken over N, H and W: n
    is N · H · W. All else is as in `BatchNorm1d`: both modes, the running statistics, what is not used here, the
    errors; the state_dict is that of `nn.BatchNorm2d`.

    Raises:
        ValueError: in `forward`, x is not 4-D, or as in `BatchNorm1d`.
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
    """Give the features of every token mean 0 and variance 1, then a scale and a shift that are learned.

    Args:
        normalized_shape: the last dims of x, which share one mean; an int D means (D,).
        eps: added to the variance, inside the square root.
        elementwise_affine: whether there is a weight (and a bias, unless `bias` says no).
        bias: whether there is a bias beside the weight.
    Attributes:
        normalized_shape: a tuple.
        weight, bias: parameters of that shape, at first ones and zeros; None where switched off.

    `forward(x)` takes x (*, *normalized_shape) and returns the same shape:

        (x − mean) / √(var + eps) · weight + bias

    with one mean and one biased variance for each index of the leading dims. So a token depends on no other token, nor
    on the mode; there are no running statistics. A row of equal values gives the bias, and finite gradients.

    - The result has x's dtype. For float16 and bfloat16 the statistics are computed in float32, whatever the dtype of
      weight and bias: rows of ±1000 are no problem. float32 rows near 1000 with a spread of 0.1 are not lost either
      (their squares differ too late to be subtracted).
    - The state_dict has the keys and shapes of `nn.LayerNorm`, and can be loaded there and back.
    - x may be non-contiguous and is not written to. Gradients flow through x, mean and var.
    - What `BatchNorm1d` does not use is not used here either.

    Raises:
        ValueError: in `forward`, x does not end in `normalized_shape`; the message names x's shape.

    Source: Ba, Kiros and Hinton 2016, "Layer Normalization", section 3.
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
    """Measure how much a layer answers differently in training mode and in eval mode.

    Args:
        norm: the layer, in either mode.
        x: an input for it.
    Returns:
        The largest absolute difference of the two outputs, as a plain float. Both are those of the layer as it stands:
        the eval pass does not see what the training pass does to the running statistics. 0.0 for layer norm.

    The layer is left exactly as it was, also when a pass raises: the mode of each of its parts, the buffers, every
    `.grad` (also x's).
    """
    raise NotImplementedError


def batch_size_effect(x: Tensor, batch_sizes: Sequence[int]) -> dict[int, dict[str, float]]:
    """Normalise the same rows in batches of several sizes, and see how much the batches disagree.

    Args:
        x: (N, C) rows.
        batch_sizes: the sizes b to try.
    Returns:
        For each b, in the order given, a dict of three numbers. x is cut, in order, into N // b full batches (the rest
        is dropped); each is normalised by its own mean and biased variance, eps = 1e-5, without weight and bias.

        - `num_batches`: N // b.
        - `mean_spread`: the standard deviation over the batches of the batch's mean, averaged over the channels.
        - `output_std`: the standard deviation of all normalised rows together, averaged over the channels. For b = 1 it
          is 0.0: a row minus its own mean is zero.

        Standard deviations are of the population (divided by n, not n − 1), so one batch has a `mean_spread` of 0.0.

    x may be non-contiguous and is not written to.

    Raises:
        ValueError: some b lies outside 1 … N.
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
    """Train one deep network three times: without norm layers, with batch norm, and with layer norm.

    Args:
        x: (N, D) inputs.
        y: (N,) int64 classes, from 0.
        hidden_dim: the width of the hidden layers.
        depth: the number of hidden layers; 0 leaves the last linear layer alone.
        steps: the number of updates.
        lr: the learning rate.
        seed: of the initial weights.
    Returns:
        {"none": losses, "batch": losses, "layer": losses}, in this order: `steps` plain floats each, the mean
        cross-entropy over all rows, taken before the update of its step.

    The network is `depth` times [`nn.Linear`, norm layer or nothing, ReLU] and a last `nn.Linear` to max(y) + 1
    classes. The norm layers are this kata's `BatchNorm1d` and `LayerNorm`, with their defaults. Every step is one of
    plain SGD (no momentum) on all rows at once, in training mode. `torch.manual_seed(seed)` comes before each network
    is made, so that the linear layers of all three start equal and the same seed gives the same curves. The networks
    have x's dtype and device; x and y are not written to.
    """
    raise NotImplementedError
