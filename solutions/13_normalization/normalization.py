"""Batch norm and layer norm: the same subtraction and division, with different elements
sharing one mean.

Sizes: N examples in a batch, C channels (features), L positions, H × W pixels.
"""

import copy
import math
from collections.abc import Sequence

import torch  # stub: keep
import torch.nn.functional as F
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
    shape = tuple(shape)
    if kind == "batch":
        _require_dims(shape, 2)
        grouped = (1, shape[1])
    elif kind == "instance":
        _require_dims(shape, 3)
        grouped = shape[:2]
    elif kind == "layer":
        if not 1 <= normalized_dims <= len(shape):
            raise ValueError(
                f"normalized_dims is {normalized_dims}, the shape {shape} allows 1 to "
                f"{len(shape)}"
            )
        grouped = shape[: len(shape) - normalized_dims]
    else:
        raise ValueError(f"kind should be 'batch', 'layer' or 'instance', not {kind!r}")
    ids = torch.arange(math.prod(grouped)).reshape(
        grouped + (1,) * (len(shape) - len(grouped))
    )
    return ids.expand(shape)


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
        super().__init__()
        _set_up_batch_norm(
            self, num_features, eps, momentum, affine, track_running_stats
        )

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
        if x.ndim not in (2, 3):
            raise ValueError(
                f"x should be (N, C) or (N, C, L), not of shape {tuple(x.shape)}"
            )
        return _batch_norm(self, x)


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
        super().__init__()
        _set_up_batch_norm(
            self, num_features, eps, momentum, affine, track_running_stats
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"x should be (N, C, H, W), not of shape {tuple(x.shape)}")
        return _batch_norm(self, x)


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
        super().__init__()
        self.normalized_shape = (
            (normalized_shape,)
            if isinstance(normalized_shape, int)
            else tuple(normalized_shape)
        )
        self.eps = eps
        has_bias = elementwise_affine and bias
        self.weight = (
            nn.Parameter(torch.ones(self.normalized_shape))
            if elementwise_affine
            else None
        )
        self.bias = (
            nn.Parameter(torch.zeros(self.normalized_shape)) if has_bias else None
        )

    def forward(self, x: Tensor) -> Tensor:
        dims = tuple(range(-len(self.normalized_shape), 0))
        if x.shape[-len(dims) :] != self.normalized_shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, which does not end in "
                f"{self.normalized_shape}"
            )
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
    with torch.no_grad():
        at_work = copy.deepcopy(norm).eval()(x)
        learning = copy.deepcopy(norm).train()(x)
    return (learning - at_work).abs().max().item()


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
    norms = {"none": None, "batch": BatchNorm1d, "layer": LayerNorm}
    return {
        name: _losses(norm, x, y, hidden_dim, depth, steps, lr, seed)
        for name, norm in norms.items()
    }


def _require_dims(shape: tuple[int, ...], least: int) -> None:
    if len(shape) < least:
        raise ValueError(f"the shape {shape} has fewer than {least} dims")


def _set_up_batch_norm(
    norm: nn.Module,
    num_features: int,
    eps: float,
    momentum: float | None,
    affine: bool,
    track_running_stats: bool,
) -> None:
    norm.num_features = num_features
    norm.eps = eps
    norm.momentum = momentum
    norm.weight = nn.Parameter(torch.ones(num_features)) if affine else None
    norm.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
    norm.register_buffer(
        "running_mean", torch.zeros(num_features) if track_running_stats else None
    )
    norm.register_buffer(
        "running_var", torch.ones(num_features) if track_running_stats else None
    )
    norm.register_buffer(
        "num_batches_tracked", torch.tensor(0) if track_running_stats else None
    )


def _batch_norm(norm: nn.Module, x: Tensor) -> Tensor:
    if x.shape[1] != norm.num_features:
        raise ValueError(
            f"x should have {norm.num_features} channels in dim 1, its shape is "
            f"{tuple(x.shape)}"
        )
    if norm.training or norm.running_mean is None:
        dims = [dim for dim in range(x.ndim) if dim != 1]
        count = x.numel() // norm.num_features
        if count < 2:
            raise ValueError(
                "one channel needs two values or more to have a variance; x has "
                f"shape {tuple(x.shape)}"
            )
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
        raise ValueError(
            f"a batch size should be 1 to {rows}, the number of rows, not {size}"
        )
    count = rows // size
    batches = x[: count * size].reshape(count, size, channels)
    var, mean = torch.var_mean(batches, dim=1, correction=0, keepdim=True)
    normalised = (batches - mean) / torch.sqrt(var + 1e-5)
    return {
        "num_batches": count,
        "mean_spread": mean.std(dim=0, correction=0).mean().item(),
        "output_std": normalised.std(dim=(0, 1), correction=0).mean().item(),
    }


def _losses(
    norm,
    x: Tensor,
    y: Tensor,
    hidden_dim: int,
    depth: int,
    steps: int,
    lr: float,
    seed: int,
) -> list[float]:
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
