"""Batch norm and layer norm: the same subtraction and division, with different elements sharing one mean.

Sizes: N examples in a batch, C channels (features), L positions, H × W pixels.
"""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
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
    shape = tuple(shape)
    if kind == "batch":
        _require_dims(shape, 2)
        grouped = (1, shape[1])
    elif kind == "instance":
        _require_dims(shape, 3)
        grouped = shape[:2]
    elif kind == "layer":
        if not 1 <= normalized_dims <= len(shape):
            raise ValueError(f"normalized_dims is {normalized_dims}, the shape {shape} allows 1 to {len(shape)}")
        grouped = shape[: len(shape) - normalized_dims]
    else:
        raise ValueError(f"kind should be 'batch', 'layer' or 'instance', not {kind!r}")
    ids = torch.arange(math.prod(grouped)).reshape(grouped + (1,) * (len(shape) - len(grouped)))
    return ids.expand(shape)


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
        super().__init__()
        _set_up_batch_norm(self, num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in (2, 3):
            raise ValueError(f"x should be (N, C) or (N, C, L), not of shape {tuple(x.shape)}")
        return _batch_norm(self, x)


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
        super().__init__()
        _set_up_batch_norm(self, num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"x should be (N, C, H, W), not of shape {tuple(x.shape)}")
        return _batch_norm(self, x)


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
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        has_bias = elementwise_affine and bias
        self.weight = nn.Parameter(torch.ones(self.normalized_shape)) if elementwise_affine else None
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape)) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        dims = tuple(range(-len(self.normalized_shape), 0))
        if x.shape[-len(dims) :] != self.normalized_shape:
            raise ValueError(f"x has shape {tuple(x.shape)}, which does not end in {self.normalized_shape}")
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, correction=0, keepdim=True)
        output = (wide - mean) / torch.sqrt(var + self.eps)
        if self.weight is not None:
            output = output * self.weight
        if self.bias is not None:
            output = output + self.bias
        return output.to(x.dtype)


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
    with torch.no_grad():
        at_work = copy.deepcopy(norm).eval()(x)
        learning = copy.deepcopy(norm).train()(x)
    return (learning - at_work).abs().max().item()


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
    return {size: _effect_of(x, size) for size in batch_sizes}


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
    norms = {"none": None, "batch": BatchNorm1d, "layer": LayerNorm}
    return {name: _losses(norm, x, y, hidden_dim, depth, steps, lr, seed) for name, norm in norms.items()}


def _require_dims(shape: tuple[int, ...], least: int) -> None:
    if len(shape) < least:
        raise ValueError(f"the shape {shape} has fewer than {least} dims")


def _set_up_batch_norm(
    norm: nn.Module, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool
) -> None:
    norm.num_features = num_features
    norm.eps = eps
    norm.momentum = momentum
    norm.weight = nn.Parameter(torch.ones(num_features)) if affine else None
    norm.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
    norm.register_buffer("running_mean", torch.zeros(num_features) if track_running_stats else None)
    norm.register_buffer("running_var", torch.ones(num_features) if track_running_stats else None)
    norm.register_buffer("num_batches_tracked", torch.tensor(0) if track_running_stats else None)


def _batch_norm(norm: nn.Module, x: Tensor) -> Tensor:
    if x.shape[1] != norm.num_features:
        raise ValueError(f"x should have {norm.num_features} channels in dim 1, its shape is {tuple(x.shape)}")
    if norm.training or norm.running_mean is None:
        dims = [dim for dim in range(x.ndim) if dim != 1]
        count = x.numel() // norm.num_features
        if count < 2:
            raise ValueError(f"one channel needs two values or more to have a variance; x has shape {tuple(x.shape)}")
        mean = x.mean(dims)
        var = x.var(dims, correction=0)
        if norm.running_mean is not None:
            _update_running(norm, mean.detach(), var.detach() * count / (count - 1))
    else:
        mean, var = norm.running_mean, norm.running_var
    per_channel = (-1,) + (1,) * (x.ndim - 2)
    output = (x - mean.view(per_channel)) / torch.sqrt(var + norm.eps).view(per_channel)
    if norm.weight is not None:
        output = output * norm.weight.view(per_channel) + norm.bias.view(per_channel)
    return output


def _update_running(norm: nn.Module, mean: Tensor, unbiased_var: Tensor) -> None:
    norm.num_batches_tracked += 1
    m = 1 / norm.num_batches_tracked.item() if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, m)
    norm.running_var.lerp_(unbiased_var, m)


def _effect_of(x: Tensor, size: int) -> dict[str, float]:
    rows, channels = x.shape
    if not 1 <= size <= rows:
        raise ValueError(f"a batch size should be 1 to {rows}, the number of rows, not {size}")
    count = rows // size
    batches = x[: count * size].reshape(count, size, channels)
    var, mean = torch.var_mean(batches, dim=1, correction=0, keepdim=True)
    normalised = (batches - mean) / torch.sqrt(var + 1e-5)
    return {
        "num_batches": count,
        "mean_spread": mean.std(dim=0, correction=0).mean().item(),
        "output_std": normalised.std(dim=(0, 1), correction=0).mean().item(),
    }


def _losses(norm, x: Tensor, y: Tensor, hidden_dim: int, depth: int, steps: int, lr: float, seed: int) -> list[float]:
    torch.manual_seed(seed)
    layers, width = [], x.shape[1]
    for _ in range(depth):
        layers.append(nn.Linear(width, hidden_dim))
        if norm is not None:
            layers.append(norm(hidden_dim))
        layers.append(nn.ReLU())
        width = hidden_dim
    model = nn.Sequential(*layers, nn.Linear(width, int(y.max()) + 1)).to(x)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(x), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses
