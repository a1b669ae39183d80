"""today/10 beside PyTorch's context parallelism, several ranks of one machine each. It
has kernels for GPUs alone, so a CPU's kernel is put in their place: its ring, its
zigzag and its backward pass stay as they are.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor.experimental._context_parallel import _attention as theirs
from torch.distributed.tensor.experimental._context_parallel._load_balancer import (
    _HeadTailLoadBalancer,
)

from tests.truth.comparing import Row, Thunk, compared, kata

FORWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
B, H, EACH, D = 2, 3, 8, 5


def forward(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> tuple[Tensor, Tensor]:
    return FORWARD(q, k, v, 0.0, is_causal)


def backward(
    dout: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    is_causal: bool,
):
    return BACKWARD(dout, query, key, value, out, logsumexp, 0.0, is_causal)


def _own(order: list[Tensor]) -> list[Tensor]:
    """This rank's q, k, v and gradient from above."""
    draw = torch.Generator().manual_seed(0)
    whole = torch.randn(
        4, B, H, EACH * len(order), D, dtype=torch.float64, generator=draw
    )
    return [t[:, :, order[dist.get_rank()]].contiguous() for t in whole]


def of_ours() -> tuple[Tensor, ...]:
    world = dist.get_world_size()
    order = [
        kata("today/10").positions(EACH * world, rank, world) for rank in range(world)
    ]
    q, k, v, dout = _own(order)
    out, lse = kata("today/10").ring_attention(q, k, v, order)
    return (
        torch.cat(order),
        out,
        lse,
        *kata("today/10").ring_backward(q, k, v, out, lse, dout, order),
    )


def of_theirs() -> tuple[Tensor, ...]:
    group, world = dist.group.WORLD, dist.get_world_size()
    theirs._cp_options.convert_to_f32 = False
    order = (
        _HeadTailLoadBalancer(EACH * world, world, "cpu")
        ._generate_indices()
        .flatten()
        .long()
    )
    q, k, v, dout = _own(list(order.chunk(world)))
    out, lse = theirs._templated_ring_attention(
        group, 2, forward, q, k, v, is_causal=True
    )
    grads = theirs._templated_ring_attention_backward(
        group,
        2,
        backward,
        dout,
        "dout",
        query=q,
        key=k,
        value=v,
        out=out,
        logsumexp=lse,
        is_causal=True,
    )
    return order, out, lse, *grads


def _pairs() -> Iterator[tuple[Thunk, Thunk]]:
    launch = kata("today/10").launch
    for world in (2, 3, 4):
        yield partial(launch, of_ours, world), partial(launch, of_theirs, world)


def rows() -> Iterator[Row]:
    yield compared(
        "today/10 positions, ring_attention, ring_backward",
        "torch context_parallel",
        _pairs(),
    )
