"""Questions that the specs of 31 cannot ask from another process, or ask only about
known ranks.

Most fork two ranks of their own where the code is.
"""

import os
import pickle
import tempfile
import time
from pathlib import Path
from unittest import mock

import torch
import torch.distributed as dist
from torch import nn

from grader.lock.probes import integers, probe


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
                    "gloo",
                    init_method=f"file://{os.path.abspath(store)}",
                    rank=rank,
                    world_size=2,
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


def a_model(rank, rng):
    """A model whose weights and gradients differ from rank to rank."""
    model = nn.Linear(3, 2)
    for parameter in model.parameters():
        numbers = torch.randn(2, *parameter.shape, generator=rng)
        parameter.data, parameter.grad = (
            numbers[rank].clone(),
            (1 + rank) * numbers[1 - rank],
        )
    return model


@probe("DistInfo")
def _(kata, rng):
    infos = [kata.DistInfo(*integers(rng, 2, 0, 3), size) for size in integers(rng, 8)]
    return [[one.rank, one.local_rank, one.world_size, one.is_main] for one in infos]


@probe("dist_info_from_env")
def _(kata, rng):
    found = []
    for size in integers(rng, 3, 2, 99):
        numbers = map(str, (*integers(rng, 2, 0, size), size))
        env = zip(("RANK", "LOCAL_RANK", "WORLD_SIZE"), numbers, strict=True)
        info = kata.dist_info_from_env(dict(env))
        found.append([info.rank, info.local_rank, info.world_size])
    return found


@probe("broadcast_parameters")
def _(kata, rng):
    def work(rank):
        model = a_model(rank, rng)
        model.bias.requires_grad = False
        model.register_buffer("seen", torch.randn(2, 4, generator=rng)[rank])
        kata.broadcast_parameters(model, src=1)
        return [tensor.detach() for tensor in model.state_dict().values()]

    return on_two_ranks(work)


@probe("average_gradients")
def _(kata, rng):
    def work(rank):
        model = a_model(rank, rng)
        kata.average_gradients(model)
        return [p.grad for p in model.parameters()]

    return on_two_ranks(work)


@probe("reduce_mean")
def _(kata, rng):
    values = torch.rand(2, generator=rng, dtype=torch.float64).tolist()
    return on_two_ranks(lambda rank: kata.reduce_mean(values[rank]))


@probe("sync_context")
def _(kata, rng):
    def work(rank):
        model = nn.parallel.DistributedDataParallel(a_model(rank, rng))
        model.zero_grad()
        x = torch.randn(2, 1, 3, generator=rng)[rank]
        with kata.sync_context(model, is_last=False):
            model(x).sum().backward()
        alone = [p.grad.clone() for p in model.parameters()]
        with kata.sync_context(model, is_last=True):
            model(x).sum().backward()
        return [alone, [p.grad for p in model.parameters()]]

    return on_two_ranks(work)


@probe("unwrap")
def _(kata, rng):
    numbers = torch.randn(2, 2, 3, generator=rng)

    def work(rank):
        model = a_model(rank, rng)
        wrapped = nn.parallel.DistributedDataParallel(model)
        states = []
        for one in (kata.unwrap(wrapped), kata.unwrap(model)):
            one.weight.data += numbers[rank]
            states.append({k: x.clone() for k, x in model.state_dict().items()})
        return states

    return on_two_ranks(work)


@probe("save_on_main")
def _(kata, rng):
    """While one rank is slow to write, the other may read too early, and a rank that
    must not write comes last. The ranks answer in a drawn order.
    """
    values, save = torch.randn(2, 3, generator=rng), torch.save
    [later] = integers(rng, 1, 0, 2)

    def work(rank):
        seen = []
        for slow in (later, 1 - later):

            def slowed(*arguments, slow=slow, **options):
                time.sleep(0.2 if rank == slow else 0)
                return save(*arguments, **options)

            path = Path(f"of_rank_0_{values[0, slow].item():.6f}.pt")
            with mock.patch.object(torch, "save", slowed):
                told = kata.save_on_main({"x": values[rank]}, path)
            seen += [told, torch.load(path, weights_only=True)]
            dist.barrier()
        return seen

    answers = on_two_ranks(work)
    return [answers[later], answers[1 - later]]


class Squared(nn.Module):
    """A linear layer and its loss."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x, y):
        outputs = nn.functional.dropout(x @ self.weight, 0.0, self.training)
        return outputs, (outputs - y).square().mean()


@probe("ddp_train_step")
def _(kata, rng):
    """Two steps on two ranks, with two and three micro-batches, the second
    one clipped.
    """
    weight, rows = (
        torch.randn(3, 2, generator=rng),
        torch.randn(2, 5, 4, 5, generator=rng),
    )
    limits = None, 0.1 + 0.1 * float(torch.rand((), generator=rng))

    def work(rank):
        model, found = nn.parallel.DistributedDataParallel(Squared(weight.clone())), []
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        batches = [(part[:, :3], part[:, 3:]) for part in rows[rank]]
        for max_norm, own in zip(limits, (batches[:2], batches[2:])):
            told = kata.ddp_train_step(model, optimizer, own, max_norm)
            found.append(
                [told["loss"], told["grad_norm"], model.module.weight.detach().clone()]
            )
        return found

    return on_two_ranks(work)


@probe("rank_slice")
def _(kata, rng):
    world, rows = torch.randint(2, 6, (2,), generator=rng).tolist()
    x = torch.randn(world * rows, 3, generator=rng)
    return [kata.rank_slice(x, rank, world) for rank in range(world)]
