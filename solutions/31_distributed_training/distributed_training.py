"""Data-parallel training: every process has the same weights, reads other data, and steps along the same mean gradient.
Whether there are one or many of them is then a matter of speed and nothing else.

A process is known by its rank, 0 … world_size − 1. "No process group" means that `dist.is_initialized()` is False:
every function here then works as for one process. With a group, all ranks call a function together, and the same
functions in the same order: a call that one rank leaves out keeps the others waiting.
"""

import math  # stub: keep
import multiprocessing
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext  # stub: keep
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig
DDP = nn.parallel.DistributedDataParallel


def launch(fn: Callable[..., Any], world_size: int, *args: Any) -> list[Any]:
    """Given: call `fn(*args)` in so many processes on this machine, and collect what it returns.

    Args:
        fn: any function. Where it runs there is a process group, and RANK, LOCAL_RANK and WORLD_SIZE are set in the
            environment, as torchrun sets them.
        world_size: how many processes.
        args: the same for all of them.
    Returns:
        What `fn` returned, by rank.
    Raises:
        RuntimeError: one of the processes raised (the message holds its traceback), died, or was not done after 30 s. A
            process that waits in vain for another one raises after 5 s. Whatever still runs is killed.

    The processes are forked, so that they begin with all that this one has in memory, and talk to each other over the
    loopback address by gloo, torch's backend for CPUs. They find each other through a file in a temporary folder.
    (With a CUDA device, torch computes no gradients in a process forked from one that has computed some: launch first.)
    """
    deadline = time.monotonic() + 30
    started, results = {}, {}  # by the pipe of each process, by rank
    with tempfile.TemporaryDirectory() as folder:
        try:
            for rank in range(world_size):
                ours, theirs = multiprocessing.Pipe()
                work = (theirs, f"file://{folder}/store", rank, world_size, fn, args)
                process = multiprocessing.get_context("fork").Process(target=_work, args=work, daemon=True)
                process.start()
                theirs.close()  # so that reading from ours ends when the process does
                started[ours] = (rank, process)
            while waiting := [pipe for pipe, (rank, _) in started.items() if rank not in results]:
                ready = wait(waiting, max(0, deadline - time.monotonic()))
                if not ready:
                    raise RuntimeError(f"rank {started[waiting[0]][0]} was not done after 30 s")
                news = [_message(pipe, *started[pipe]) for pipe in ready]
                for _, rank, failure, result in sorted(news, key=itemgetter(0)):  # who failed first is to blame
                    if failure:
                        raise RuntimeError(f"rank {rank} {failure}")
                    results[rank] = result
        finally:
            for pipe, (_, process) in started.items():
                process.kill()
                process.join()
                pipe.close()
    return [results[rank] for rank in range(world_size)]


def _work(pipe: Connection, store: str, rank: int, world_size: int, fn: Callable[..., Any], args: tuple) -> None:
    """What a process of `launch` does: join the group, call `fn`, send (when, rank, what went wrong or "", result)."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    try:
        dist.init_process_group("gloo", store, timedelta(seconds=5), world_size, rank)
        pipe.send_bytes(pickle.dumps((time.monotonic(), rank, "", fn(*args))))
    except BaseException:
        pipe.send_bytes(pickle.dumps((time.monotonic(), rank, f"failed\n{traceback.format_exc()}", None)))
        os._exit(1)  # closes the connections to the others, so that they do not wait for this one
    pipe.recv_bytes()  # until all are done: whoever ends earlier closes connections that others may still read from


def _message(pipe: Connection, rank: int, process: multiprocessing.Process) -> tuple[float, int, str, Any]:
    """What a process of `launch` has sent, or that it is dead."""
    try:
        return pickle.loads(pipe.recv_bytes())
    except EOFError:
        process.join()
        return 0.0, rank, f"died, exit code {process.exitcode}", None


@dataclass(frozen=True)
class DistInfo:
    """Which of the processes this one is.

    Attributes:
        rank: its number among all processes, from 0.
        local_rank: its number among those on the same machine, which says which of that machine's devices is its own.
        world_size: how many processes there are, on all machines together.
        is_main: whether this is the process that prints, writes files and reports: the only one of all with rank 0. On
            two machines of 8 devices rank 8 has local rank 0, and is not main.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def dist_info_from_env(env: Mapping[str, str] | None = None) -> DistInfo:
    """Read from the environment which process this is.

    Args:
        env: the variables; None means `os.environ`. torchrun starts the same script several times and sets RANK,
            LOCAL_RANK and WORLD_SIZE in each, to strings of digits.
    Returns:
        These three as ints. If there is no RANK the script was started without torchrun, and the answer is
        `DistInfo()`, whatever else is set: one process alone.
    Raises:
        ValueError: RANK is not in 0 … WORLD_SIZE − 1.
    """
    env = os.environ if env is None else env
    if "RANK" not in env:
        return DistInfo()
    info = DistInfo(int(env["RANK"]), int(env["LOCAL_RANK"]), int(env["WORLD_SIZE"]))
    if not 0 <= info.rank < info.world_size:
        raise ValueError(f"rank {info.rank} in a world of {info.world_size}")
    return info


def rank_slice(x: Tensor, rank: int, world_size: int) -> Tensor:
    """Give a rank its share of a batch that all ranks hold.

    Args:
        x: one or more dimensions.
        rank: whose share.
        world_size: how many shares there are.
    Returns:
        The rank-th of world_size equally long, contiguous pieces of dim 0: of 6 rows and 3 ranks, rank 1 has rows 2 and
        3. A view or a copy.
    Raises:
        ValueError: the rows do not divide evenly, or rank is not in 0 … world_size − 1.
    """
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} in a world of {world_size}")
    if len(x) % world_size:
        raise ValueError(f"{len(x)} rows for {world_size} ranks")
    rows = len(x) // world_size
    return x[rank * rows : (rank + 1) * rows]


def broadcast_parameters(model: nn.Module, src: int = 0) -> None:
    """Make all models the same: every rank gets the weights of one.

    Args:
        model: of the same architecture on every rank.
        src: the rank whose values the others take.

    Every parameter, trainable or frozen, and every buffer of the state dict gets the value that it has on rank `src`,
    whatever its dtype. They are written to in place: an optimizer that holds the parameters still holds those of the
    model. Without a process group nothing happens.
    """
    if not dist.is_initialized():
        return
    for tensor in [*model.parameters(), *model.buffers()]:
        dist.broadcast(tensor.detach(), src)


def average_gradients(model: nn.Module) -> None:
    """Make all gradients the same: every rank gets their mean.
    To be called between `backward` and the optimizer's step.

    Args:
        model: with the same weights on every rank, and the gradients of this rank's data in `.grad`.

    Afterwards `.grad` of each trainable parameter is, on every rank, the mean over all ranks of what it was. A rank on
    which it was None counts as zeros, takes part, and has the mean afterwards, too: with gradients g and None on two
    ranks both have g / 2. (Where no rank has a gradient, None and zeros are both right.) Frozen parameters are left
    out. Without a process group nothing happens.

    All ranks must make the same calls. A rank that passes over a parameter without gradient leaves the others waiting.
    """
    if not dist.is_initialized():
        return
    for p in model.parameters():
        if p.requires_grad:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            dist.all_reduce(p.grad)
            p.grad /= dist.get_world_size()


def reduce_mean(value: float | Tensor) -> float:
    """Average a number over all ranks, for the log: each rank has seen the loss of its own data only.

    Args:
        value: this rank's number, an int or a tensor with one element (of any dtype, with or without gradient) as well.
            It is not written to.
    Returns:
        The mean over all ranks, the same plain float on each; without a process group the value itself as a float.
    """
    own = value.item() if isinstance(value, Tensor) else value
    if not dist.is_initialized():
        return float(own)
    total = torch.tensor(own, dtype=torch.float64)
    dist.all_reduce(total)
    return total.item() / dist.get_world_size()


def sync_context(model: nn.Module, is_last: bool) -> AbstractContextManager[Any]:
    """Give the context in which one micro-batch goes forward and backward.

    Args:
        model: any module. DDP has a method `no_sync`: a context in which backward adds to `.grad` on this rank only.
            The ranks' gradients are averaged by the first backward after it.
        is_last: whether this is the last micro-batch of the step.
    Returns:
        A context manager: `model.no_sync()` before the last micro-batch, if the model has such a method; in all other
        cases one that does nothing.
    """
    return model.no_sync() if hasattr(model, "no_sync") and not is_last else nullcontext()


def unwrap(model: nn.Module) -> nn.Module:
    """Take a model out of its DDP wrapper, as one does before saving it or sampling from it.

    Args:
        model: any module.
    Returns:
        The model inside, `model.module`, if it is a DDP; any other model itself, also one that has a layer called
        `module`. The wrapper's state dict has "module." before every name, and would fit into a wrapper only.
    """
    return model.module if isinstance(model, DDP) else model


def ddp_train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[tuple[Tensor, Tensor]],
    max_norm: float | None = 1.0,
) -> dict[str, float]:
    """Make one update of the weights, the same on all ranks, out of the micro-batches of all ranks.

    Args:
        model: a DDP, which averages gradients over the ranks within `backward`; or, for one process, any model. It is
            called as model(x, y) and returns (logits, loss), as kata 26's GPT does. It is put into training mode.
        optimizer: makes exactly one step.
        batches: this rank's micro-batches, pairs (x, y). Each goes through the model by itself, forward and backward
            both inside its `sync_context`: only the last one communicates.
        max_norm: the gradient of all parameters, averaged over micro-batches and ranks and taken as one vector, is
            scaled down to this norm if it is longer. None: no clipping.
    Returns:
        Plain floats, the same on all ranks: "loss", the mean over the micro-batches of all ranks, and "grad_norm", the
        norm of the averaged gradient before clipping, with max_norm=None as well.

    All micro-batches count the same. Two of 2 rows on each of two ranks come to the same step, up to rounding, as one
    batch of 8 rows in one process. What lies in `.grad` when the function is called has no influence.

    Raises:
        ValueError: there are no batches.
    """
    if not batches:
        raise ValueError("a step needs at least one batch")
    model.train()
    optimizer.zero_grad()
    total = 0.0
    for i, (x, y) in enumerate(batches):
        with sync_context(model, is_last=i == len(batches) - 1):
            loss = model(x, y)[1] / len(batches)
            loss.backward()
        total += loss.item()
    norm = nn.utils.clip_grad_norm_(model.parameters(), math.inf if max_norm is None else max_norm)
    optimizer.step()
    return {"loss": reduce_mean(total), "grad_norm": norm.item()}


def save_on_main(state: dict[str, Any], path: Path | str) -> bool:
    """Write a checkpoint once, not once a rank.

    Args:
        state: what to save, on rank 0. What other ranks pass is of no account.
        path: the same on every rank; an older file there is replaced. Its folder is there.
    Returns:
        True on rank 0, which writes the file with `torch.save`; False on all other ranks, which write nothing.

    On no rank does it return before the file is complete, so every rank can load it at once. Beside it no other file is
    left. Without a process group this is rank 0.
    """
    is_main = not dist.is_initialized() or dist.get_rank() == 0
    if is_main:
        torch.save(state, path)
    if dist.is_initialized():
        dist.barrier()
    return is_main
