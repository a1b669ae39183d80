"""Holds the reference of today/08 against PyTorch's own `fully_shard`, and against
DTensor's cut products.
"""

import torch
import torch._dynamo  # so that it is imported once, before processes are forked
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.func import functional_call

from grader.course import catalogue
from grader.course import kata_modules as loading

SETTINGS = {"lr": 0.05, "betas": (0.9, 0.95), "weight_decay": 0.1}


def model(hidden):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, hidden), nn.Tanh(), nn.Linear(hidden, 4))


def rows(step):
    """This rank's half of a batch."""
    both = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(step))[
        dist.get_rank()
    ]
    return both[:, :6], both[:, 6:]


def loss_of(y, target):
    return (y - target).square().mean()


def whole(tensor):
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()


def beside_torch(kata):
    """The largest differences on this rank: of weights after three clipped steps, of an
    MLP's outputs and gradients.
    """
    # the first DTensor imports for seconds
    dist.group.WORLD.set_timeout(torch.distributed.default_pg_timeout)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    ours, theirs = model(9), fully_shard(model(9), mesh=mesh)
    names, shapes = zip(
        *((name, p.shape) for name, p in ours.named_parameters()), strict=True
    )
    optimizer, state = torch.optim.AdamW(theirs.parameters(), **SETTINGS), {}
    shard = kata.shard_flat([p.detach() for p in ours.parameters()])
    for step in range(3):
        x, target = rows(step)
        optimizer.zero_grad()
        loss_of(theirs(x), target).backward()
        norm = whole(nn.utils.clip_grad_norm_(theirs.parameters(), 0.3)).item()
        optimizer.step()
        weights = {
            n: p.requires_grad_()
            for n, p in zip(names, kata.gather_parameters(shard, shapes), strict=True)
        }
        grads = torch.autograd.grad(
            loss_of(functional_call(ours, weights, (x,)), target),
            list(weights.values()),
        )
        piece = kata.scatter_gradients(grads)
        own_norm = kata.global_norm(piece)
        assert abs(own_norm - norm) < 1e-6 and norm > 0.3, (own_norm, norm)
        kata.sharded_adamw(shard, piece * (0.3 / (own_norm + 1e-6)), state, **SETTINGS)
    stepped = list(
        zip(
            kata.gather_parameters(shard, shapes),
            map(whole, theirs.parameters()),
            strict=True,
        )
    )

    cut = parallelize_module(
        model(8), mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()}
    )
    x, target = torch.randn(3, 5, 6, requires_grad=True), torch.randn(3, 5, 4)
    dist.broadcast(x.data, 0)
    dist.broadcast(target, 0)
    locals_ = [p.to_local().detach().requires_grad_() for p in cut.parameters()]
    out = kata.row_linear(torch.tanh(kata.column_linear(x, *locals_[:2])), *locals_[2:])
    mine = [out, *torch.autograd.grad(loss_of(out, target), [x, *locals_])]
    right = cut(x)
    grads = torch.autograd.grad(loss_of(right, target), [x, *cut.parameters()])
    torchs = [right, *(g.to_local() if isinstance(g, DTensor) else g for g in grads)]
    return [
        max((a - b).abs().max().item() for a, b in both)
        for both in (stepped, zip(mine, torchs, strict=True))
    ]


def test_fully_shard_and_dtensor_agree():
    kata = loading.load(catalogue.find("today/08"), catalogue.ROOT / "solutions")
    for weights, products in kata.launch(beside_torch, 2, kata):
        assert weights < 1e-6, (
            f"weights after three steps of fully_shard are apart by {weights}"
        )
        assert products < 1e-6, (
            f"outputs or gradients of DTensor's products are apart by {products}"
        )
