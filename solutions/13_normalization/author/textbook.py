"""Batch norm and layer norm: the same subtraction and division, with different elements
sharing one mean.

Sizes: N examples in a batch, C channels (features), L positions, H × W pixels.
"""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def normalization_groups(
    shape: Sequence[int], kind: str, normalized_dims: int = 1
) -> Tensor:
    """A number for each element, equal where a mean is shared."""
    ndim = len(shape)
    if kind == "batch":
        ids = torch.arange(shape[1]).reshape(1, -1, *[1] * (ndim - 2))
    else:
        leading = 2 if kind == "instance" else ndim - normalized_dims
        ids = torch.arange(math.prod(shape[:leading])).reshape(
            *shape[:leading], *[1] * (ndim - leading)
        )
    return ids.expand(*shape)


class BatchNorm1d(nn.Module):
    """Mean 0 and variance 1 for every channel, then a learned scale and shift."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.register_buffer(
            "running_mean", torch.zeros(num_features) if track_running_stats else None
        )
        self.register_buffer(
            "running_var", torch.ones(num_features) if track_running_stats else None
        )
        self.register_buffer(
            "num_batches_tracked", torch.tensor(0) if track_running_stats else None
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.running_mean is None:
            dims = [d for d in range(x.ndim) if d != 1]
            mean = x.mean(dims)
            var = x.var(dims, correction=0)
            if self.running_mean is not None:
                self.update_running_stats(mean, var, x.numel() // x.shape[1])
        else:
            mean, var = self.running_mean, self.running_var
        shape = (1, -1, *[1] * (x.ndim - 2))
        y = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + self.eps)
        if self.weight is not None:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y

    @torch.no_grad()
    def update_running_stats(self, mean: Tensor, var: Tensor, n: int) -> None:
        """running = (1 − m) · running + m · batch, with the unbiased variance."""
        self.num_batches_tracked += 1
        m = (
            1 / self.num_batches_tracked.item()
            if self.momentum is None
            else self.momentum
        )
        self.running_mean.copy_((1 - m) * self.running_mean + m * mean)
        self.running_var.copy_((1 - m) * self.running_var + m * var * n / (n - 1))


class BatchNorm2d(BatchNorm1d):
    """The same for images: `forward` takes the mean over every dim but 1."""


class LayerNorm(nn.Module):
    """Mean 0 and variance 1 for every token, then a learned scale and shift."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ):
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.weight = (
            nn.Parameter(torch.ones(self.normalized_shape))
            if elementwise_affine
            else None
        )
        self.bias = (
            nn.Parameter(torch.zeros(self.normalized_shape))
            if elementwise_affine and bias
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        dims = tuple(range(-len(self.normalized_shape), 0))
        h = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = h.mean(dims, keepdim=True)
        var = h.var(dims, correction=0, keepdim=True)
        h = (h - mean) / torch.sqrt(var + self.eps)
        if self.weight is not None:
            h = h * self.weight
        if self.bias is not None:
            h = h + self.bias
        return h.to(x.dtype)


@torch.no_grad()
def train_eval_gap(norm: nn.Module, x: Tensor) -> float:
    """The largest difference between the two modes, measured on copies."""
    in_training = copy.deepcopy(norm).train()
    in_eval = copy.deepcopy(norm).eval()
    return (in_training(x) - in_eval(x)).abs().max().item()


def batch_size_effect(
    x: Tensor, batch_sizes: Sequence[int]
) -> dict[int, dict[str, float]]:
    """The cost of small batches."""
    effects = {}
    for b in batch_sizes:
        num_batches = len(x) // b
        batches = x[: num_batches * b].reshape(num_batches, b, -1)
        mean = batches.mean(dim=1, keepdim=True)
        var = batches.var(dim=1, correction=0, keepdim=True)
        normalized = ((batches - mean) / torch.sqrt(var + 1e-5)).flatten(0, 1)
        effects[b] = {
            "num_batches": num_batches,
            "mean_spread": mean.squeeze(1).std(dim=0, correction=0).mean().item(),
            "output_std": normalized.std(dim=0, correction=0).mean().item(),
        }
    return effects


def compare_training(
    x: Tensor,
    y: Tensor,
    hidden_dim: int = 32,
    depth: int = 10,
    steps: int = 80,
    lr: float = 0.1,
    seed: int = 0,
) -> dict[str, list[float]]:
    """One deep network without norm layers, with batch norm, and with layer norm."""
    curves = {}
    for name, norm in {"none": None, "batch": BatchNorm1d, "layer": LayerNorm}.items():
        torch.manual_seed(seed)
        layers, width = [], x.shape[1]
        for _ in range(depth):
            layers.append(nn.Linear(width, hidden_dim))
            if norm is not None:
                layers.append(norm(hidden_dim))
            layers.append(nn.ReLU())
            width = hidden_dim
        model = nn.Sequential(*layers, nn.Linear(width, y.max().item() + 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        curves[name] = []
        for _ in range(steps):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curves[name].append(loss.item())
    return curves
