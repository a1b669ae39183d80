"""Questions about drawn numbers: what the specs of today/10 ask from another process is
the same every time.

Most fork two ranks where the code is.
"""

import os
import pickle
import tempfile
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from grader.lock.probes import probe

PATIENCE = timedelta(seconds=25)  # on a busy machine two processes meet late


def on_two_ranks(work):
    """The results of `work` on rank 0 and on rank 1, each a forked process of one
    gloo group.
    """
    store = tempfile.mktemp(dir=".")
    pipes = [os.pipe() for _ in range(2)]
    for rank in range(2):
        if os.fork() == 0:
            try:
                dist.init_process_group(
                    "gloo", f"file://{os.path.abspath(store)}", PATIENCE, 2, rank
                )
                told = pickle.dumps(work(rank))
            except BaseException as error:
                told = pickle.dumps(repr(error))
            with os.fdopen(pipes[rank][1], "wb") as file:
                file.write(told)
            os._exit(0)
    for _, write in pipes:
        os.close(write)
    answers = []
    for read, _ in pipes:
        with os.fdopen(read, "rb") as file:
            answers.append(pickle.loads(file.read()))
    for _ in range(2):
        os.wait()
    return answers


def wide(rng, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=rng)


def rounded(found):
    """In float32: sums in another order differ in the last digits of float64."""
    return [[t.float() for t in of_rank] for of_rank in found]


def exchanged(kata, table, x, upstream):
    def work(rank):
        own = x[rank].clone().requires_grad_()
        out = kata.exchange_rows(own, table[rank], [send[rank] for send in table])
        return [out.detach(), *torch.autograd.grad((out * upstream[rank]).sum(), own)]

    return on_two_ranks(work)


@probe("exchange_rows")
def _(kata, rng):
    table = torch.randint(1, 5, (2, 2), generator=rng).tolist()
    x = [wide(rng, sum(send), 3) for send in table]
    return exchanged(
        kata,
        table,
        x,
        [wide(rng, table[0][r] + table[1][r], 3) for r in range(2)],
    )


def mixed(kata, x, weights, experts, matrices, upstream):
    def work(rank):
        local = nn.ModuleList(
            nn.Linear(3, 3, bias=False, dtype=torch.float64) for _ in range(2)
        )
        for layer, matrix in zip(local, matrices[2 * rank :]):
            layer.load_state_dict({"weight": matrix})
        leaves = [
            x[rank].clone().requires_grad_(),
            weights[rank].clone().requires_grad_(),
        ]
        out = kata.parallel_experts(*leaves, experts[rank], local, 4)
        loss = (out * upstream[rank]).sum()
        grads = torch.autograd.grad(
            loss, [*leaves, *local.parameters()], allow_unused=True
        )
        return [
            out.detach(),
            *(torch.zeros(3, 3) if grad is None else grad for grad in grads),
        ]

    return on_two_ranks(work)


@probe("parallel_experts")
def _(kata, rng):
    counts = torch.randint(3, 7, (2,), generator=rng).tolist()
    x, weights, upstream = ([wide(rng, n, size) for n in counts] for size in (3, 2, 3))
    experts = [
        torch.stack([torch.randperm(4, generator=rng)[:2] for _ in range(n)])
        for n in counts
    ]
    return rounded(mixed(kata, x, weights, experts, list(wide(rng, 4, 3, 3)), upstream))


def balanced(kata, bias, experts, rate):
    return on_two_ranks(
        lambda rank: [kata.balance_bias(bias.clone(), experts[rank], rate)]
    )


@probe("balance_bias")
def _(kata, rng):
    experts = torch.randint(5, (2, 4, 2), generator=rng)
    return rounded(
        balanced(
            kata,
            wide(rng, 5),
            experts,
            0.1 + float(torch.rand((), generator=rng)),
        )
    )


@probe("positions")
def _(kata, rng):
    found = []
    for layout in ("contiguous", "striped", "zigzag"):
        world, size = torch.randint(2, 6, (2,), generator=rng).tolist()
        rank = int(torch.randint(world, (), generator=rng))
        found.append(kata.positions(2 * world * size, rank, world, layout))
    return found


@probe("merge")
def _(kata, rng):
    out, lse = wide(rng, 2, 2, 3, 4), 3 * wide(rng, 2, 2, 3)
    lse[1, 0, 1] = -torch.inf
    return [t.float() for t in kata.merge(out[0], lse[0], out[1], lse[1])]


def split_up(rng):
    """Which of eight tokens each of two ranks has, drawn and in order."""
    order = torch.randperm(8, generator=rng)
    return [half.sort().values for half in order.chunk(2)]


def ringed(kata, q, k, v, own):
    return on_two_ranks(
        lambda rank: list(
            kata.ring_attention(*(t[:, :, own[rank]] for t in (q, k, v)), own)
        )
    )


@probe("ring_attention")
def _(kata, rng):
    return rounded(ringed(kata, *wide(rng, 3, 1, 2, 8, 3), split_up(rng)))


def backward_ringed(kata, tensors, own):
    return on_two_ranks(
        lambda rank: list(
            kata.ring_backward(*(t[:, :, own[rank]] for t in tensors), own)
        )
    )


@probe("ring_backward")
def _(kata, rng):
    q, k, v, dout = wide(rng, 4, 1, 2, 8, 3)
    scores = (q @ k.mT / 3**0.5).masked_fill(
        ~torch.ones(8, 8, dtype=torch.bool).tril(), -torch.inf
    )
    tensors = [q, k, v, scores.softmax(-1) @ v, scores.logsumexp(-1), dout]
    return rounded(backward_ringed(kata, tensors, split_up(rng)))


def swapped(kata, q, k, v, upstream):
    def work(rank):
        leaves = [
            t[:, :, 3 * rank : 3 * rank + 3].clone().requires_grad_() for t in (q, k, v)
        ]
        out = kata.ulysses_attention(
            *leaves, nn.functional.scaled_dot_product_attention
        )
        loss = (out * upstream[:, :, 3 * rank : 3 * rank + 3]).sum()
        return [out.detach(), *torch.autograd.grad(loss, leaves)]

    return on_two_ranks(work)


@probe("ulysses_attention")
def _(kata, rng):
    return rounded(swapped(kata, *wide(rng, 4, 2, 4, 6, 5)))
