"""Questions that the specs of today/08 cannot ask from another process: most fork two
ranks where the code is.
"""

import os
import pickle
import tempfile
from datetime import timedelta

import torch
import torch.distributed as dist

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


def some_tensors(rng):
    """Three tensors with an odd number of elements."""
    rows, columns = torch.randint(2, 6, (2,), generator=rng).tolist()
    return [
        wide(rng, rows, columns),
        wide(rng, columns),
        wide(rng, 1 + (rows * columns + columns) % 2 + 1),
    ]


def flat(tensors):
    values = torch.cat([tensor.flatten() for tensor in tensors])
    return torch.cat([values, values.new_zeros(len(values) % 2)])


def sharded(kata, tensors):
    def work(rank):
        shard = kata.shard_flat(tensors)
        return shard, shard.untyped_storage().nbytes()

    return on_two_ranks(work)


@probe("shard_flat")
def _(kata, rng):
    return sharded(kata, some_tensors(rng))


def gathered(kata, shards, shapes):
    return on_two_ranks(
        lambda rank: kata.gather_parameters(shards[rank].clone(), shapes)
    )


@probe("gather_parameters")
def _(kata, rng):
    tensors = some_tensors(rng)
    return gathered(kata, flat(tensors).chunk(2), [tuple(t.shape) for t in tensors])


def scattered(kata, grads):
    return on_two_ranks(lambda rank: kata.scatter_gradients(grads[rank]))


@probe("scatter_gradients")
def _(kata, rng):
    tensors = some_tensors(rng)
    return scattered(kata, [[wide(rng, *t.shape) for t in tensors] for _ in range(2)])


def stepped(kata, shard, grads, settings):
    shard, state = shard.clone(), {}
    for grad in grads:
        kata.sharded_adamw(shard, grad.clone(), state, **settings)
    return shard, state["exp_avg"], state["exp_avg_sq"], float(state["step"])


@probe("sharded_adamw")
def _(kata, rng):
    lr, beta1, beta2, decay = (0.1 + 0.8 * torch.rand(4, generator=rng)).tolist()
    settings = {"lr": lr, "betas": (beta1, beta2), "eps": 0.01, "weight_decay": decay}
    size, steps = torch.randint(3, 7, (2,), generator=rng).tolist()
    start, grads = wide(rng, size), list(wide(rng, steps, size))
    return [stepped(kata, start, grads, some) for some in (settings, {"lr": lr})]


def normed(kata, pieces):
    return on_two_ranks(lambda rank: kata.global_norm(pieces[rank]))


@probe("global_norm")
def _(kata, rng):
    return normed(kata, list(wide(rng, 2, 5)))


def linear(kata, name, x, weights, bias, upstream):
    """Outputs and gradients of a layer whose tensors are listed by rank."""

    def work(rank):
        leaves = [t[rank].clone().requires_grad_() for t in (x, weights, bias)]
        out = getattr(kata, name)(*leaves)
        return [out.detach(), *torch.autograd.grad(out, leaves, upstream[rank])]

    return on_two_ranks(work)


@probe("column_linear")
def _(kata, rng):
    x = wide(rng, 2, 3, 5)
    found = linear(
        kata,
        "column_linear",
        [x, x],
        wide(rng, 2, 4, 5),
        wide(rng, 2, 4),
        wide(rng, 2, 2, 3, 4),
    )
    return [[t.float() for t in of_rank] for of_rank in found]


@probe("row_linear")
def _(kata, rng):
    bias, upstream = wide(rng, 4), wide(rng, 2, 3, 4)
    found = linear(
        kata,
        "row_linear",
        wide(rng, 2, 2, 3, 5),
        wide(rng, 2, 4, 5),
        [bias] * 2,
        [upstream] * 2,
    )
    return [[t.float() for t in of_rank] for of_rank in found]


def saved(kata, shards, shapes):
    return on_two_ranks(
        lambda rank: kata.full_state_dict(shards[rank].clone(), ["a", "b", "c"], shapes)
    )


@probe("full_state_dict")
def _(kata, rng):
    tensors = some_tensors(rng)
    return saved(kata, flat(tensors).chunk(2), [tuple(t.shape) for t in tensors])
