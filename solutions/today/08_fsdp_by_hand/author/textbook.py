"""FSDP and tensor parallelism, as a textbook has them."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from grader.loading import prerequisite

launch = prerequisite("31_distributed_training").launch


def shard_flat(tensors: Sequence[Tensor]) -> Tensor:
    """This rank's piece of all tensors, end to end."""
    world = dist.get_world_size()
    flat = torch.cat([t.flatten() for t in tensors])
    size = math.ceil(flat.numel() / world)
    padded = torch.cat([flat, flat.new_zeros(size * world - flat.numel())])
    return padded.chunk(world)[dist.get_rank()].clone()


def gather_parameters(shard: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """All pieces, put together and cut at the borders of the tensors."""
    pieces = [torch.empty_like(shard) for _ in range(dist.get_world_size())]
    dist.all_gather(pieces, shard)
    flat = torch.cat(pieces)
    tensors, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        tensors.append(flat[start : start + size].reshape(shape))
        start += size
    return tensors


def scatter_gradients(grads: Sequence[Tensor]) -> Tensor:
    """This rank's piece of the mean gradient."""
    world = dist.get_world_size()
    flat = torch.cat([g.flatten() for g in grads])
    size = math.ceil(flat.numel() / world)
    padded = torch.cat([flat, flat.new_zeros(size * world - flat.numel())])
    piece = torch.empty_like(padded[:size])
    dist.reduce_scatter(piece, list(padded.chunk(world)))
    return piece / world


def sharded_adamw(
    shard: Tensor,
    grad: Tensor,
    state: dict[str, Any],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """AdamW treats each element by itself, so it does not see that these are
    a piece.
    """
    if not state:
        state["step"] = 0
        state["exp_avg"] = torch.zeros_like(shard)
        state["exp_avg_sq"] = torch.zeros_like(shard)
    state["step"] += 1
    beta1, beta2 = betas
    state["exp_avg"] = beta1 * state["exp_avg"] + (1 - beta1) * grad
    state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * grad**2
    m_hat = state["exp_avg"] / (1 - beta1 ** state["step"])
    v_hat = state["exp_avg_sq"] / (1 - beta2 ** state["step"])
    shard *= 1 - lr * weight_decay
    shard -= lr * m_hat / (v_hat.sqrt() + eps)


def global_norm(grad: Tensor) -> float:
    """The square root of all squares, from everywhere."""
    total = (grad**2).sum()
    dist.all_reduce(total)
    return total.sqrt().item()


class CopyToRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad


class SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad


def column_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """This rank's outputs."""
    return F.linear(CopyToRanks.apply(x), weight, bias)


def row_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The sum over this rank's inputs and those of the others."""
    out = SumOverRanks.apply(F.linear(x, weight))
    return out if bias is None else out + bias


def full_state_dict(
    shard: Tensor, names: Sequence[str], shapes: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """The whole parameters, on rank 0."""
    tensors = gather_parameters(shard, shapes)
    if dist.get_rank() != 0:
        return {}
    return dict(zip(names, tensors))
