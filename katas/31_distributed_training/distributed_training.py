"""Data-parallel training: the same weights in every process, other data, the
averaged gradient.

A process has a rank, 0 … world_size − 1. "No process group" means that
`dist.is_initialized()` is False: every function here then works as in a script with one
process. With a group, all ranks call the same functions in the same order.
"""

import math
import multiprocessing
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
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
    """Given: call `fn(*args)` in several processes on this machine, and collect what
    it returns.

    Args:
        fn: any function. It runs with a process group, and with RANK, LOCAL_RANK and
            WORLD_SIZE in the environment, as torchrun sets them.
        world_size: the number of processes.
        args: the same for all processes.
    Returns:
        What `fn` returned, by rank.
    Raises:
        RuntimeError: one of the processes raised (the message holds its traceback),
            died, or was not done after 30 s. A process that waits in vain for another
            one raises after 5 s. All that still run are killed.

    The processes are forked, so they start with everything that this one has in memory.
    They communicate over the loopback address with gloo, torch's backend for CPUs, and
    find each other through a file in a temporary folder. (With a CUDA device, torch
    computes no gradients in a process forked from one that has computed some: launch
    first.) Once this process has used CUDA, a forked one could not use it. Then
    processes are spawned: they import everything anew, `fn` must be a function that a
    module defines, and a script needs `if __name__ == "__main__":`.
    """
    context = multiprocessing.get_context(
        "spawn" if torch.cuda.is_initialized() else "fork"
    )
    if context.get_start_method() == "spawn":
        try:
            pickle.dumps((_work, fn, args))
        except Exception as error:
            said = (
                "CUDA is in use, so processes are spawned: fn and args must be "
                f"picklable ({error})"
            )
            raise RuntimeError(said) from error
    deadline = time.monotonic() + 30
    started, results = {}, {}  # by the pipe of each process, by rank
    with tempfile.TemporaryDirectory() as folder:
        try:
            for rank in range(world_size):
                ours, theirs = context.Pipe()
                work = (theirs, f"file://{folder}/store", rank, world_size, fn, args)
                process = context.Process(target=_work, args=work, daemon=True)
                process.start()
                theirs.close()  # so that reading from ours ends when the process does
                started[ours] = (rank, process)
            while waiting := [
                pipe for pipe, (rank, _) in started.items() if rank not in results
            ]:
                ready = wait(waiting, max(0, deadline - time.monotonic()))
                if not ready:
                    raise RuntimeError(
                        f"rank {started[waiting[0]][0]} was not done after 30 s"
                    )
                news = [_message(pipe, *started[pipe]) for pipe in ready]
                # who failed first is to blame
                for _, rank, failure, result in sorted(news, key=itemgetter(0)):
                    if failure:
                        raise RuntimeError(f"rank {rank} {failure}")
                    results[rank] = result
        finally:
            for pipe, (_, process) in started.items():
                process.kill()
                process.join()
                pipe.close()
    return [results[rank] for rank in range(world_size)]


def _work(
    pipe: Connection,
    store: str,
    rank: int,
    world_size: int,
    fn: Callable[..., Any],
    args: tuple,
) -> None:
    """Run a process of `launch`: join the group, call `fn`, send (when, rank, what went
    wrong or "", result).
    """
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
    }
    os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    try:
        # a busy machine starts slowly
        dist.init_process_group("gloo", store, timedelta(seconds=25), world_size, rank)
        dist.group.WORLD.set_timeout(timedelta(seconds=5))
        pipe.send_bytes(pickle.dumps((time.monotonic(), rank, "", fn(*args))))
    except BaseException:
        pipe.send_bytes(
            pickle.dumps(
                (time.monotonic(), rank, f"failed\n{traceback.format_exc()}", None)
            )
        )
        # closes the connections to the others, so that they do not wait for this one
        os._exit(1)
    # until all are done: whoever ends earlier closes connections that others may still
    # read from
    pipe.recv_bytes()


def _message(
    pipe: Connection, rank: int, process: multiprocessing.Process
) -> tuple[float, int, str, Any]:
    """Receive what a process of `launch` has sent, or tell that it is dead."""
    try:
        return pickle.loads(pipe.recv_bytes())
    except EOFError:
        process.join()
        return 0.0, rank, f"died, exit code {process.exitcode}", None


@dataclass(frozen=True)
class DistInfo:
    """Say which process this is.

    Attributes:
        rank: its number among all processes, from 0.
        local_rank: its number among the processes of its machine; it picks the device.
        world_size: the number of processes on all machines.
        is_main: whether this process prints and writes files. Only the one with rank 0
            does. On two machines with 8 devices each, rank 8 has local rank 0 and is
            not main.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        raise NotImplementedError


def dist_info_from_env(env: Mapping[str, str] | None = None) -> DistInfo:
    """Read from the environment which process this is.

    Args:
        env: the variables; None means `os.environ`. torchrun starts the script several
            times and sets RANK, LOCAL_RANK and WORLD_SIZE in each process, to strings
            such as "5".
    Returns:
        The three numbers as a `DistInfo`. Without RANK the script runs alone: the
        answer is `DistInfo()`, whatever the other two variables say.

    Edge cases ★
        An empty mapping is not None. A RANK outside 0 … WORLD_SIZE − 1 is an error.
    """
    raise NotImplementedError


def rank_slice(x: Tensor, rank: int, world_size: int) -> Tensor:
    """Give a rank its share of a batch.

    Args:
        x: the batch, rows first.
        rank: the rank that gets the share.
        world_size: the number of shares.
    Returns:
        The rank-th of world_size equal, contiguous pieces of dim 0. Of 6 rows and 3
        ranks, rank 1 has rows 2 and 3.

    Edge cases ★
        It is an error if the rows do not divide evenly, or if rank is not in 0
        … world_size − 1.
    """
    raise NotImplementedError


def broadcast_parameters(model: nn.Module, src: int = 0) -> None:
    """Give every rank the weights of one rank.

    Args:
        model: of the same architecture on every rank.
        src: the rank whose values the others take.

    Every parameter (trainable or frozen) and every buffer, float or int, takes the
    value that it has on rank `src`. The values are written in place, so that an
    optimizer still holds the model's parameters. Without a process group
    nothing happens.
    """
    raise NotImplementedError


def average_gradients(model: nn.Module) -> None:
    """Average the gradients over the ranks. Call it between `backward` and the
    optimizer's step.

    Args:
        model: with the same weights on every rank, and this rank's gradients
            in `.grad`.

    Afterwards `.grad` of each parameter is, on every rank, the mean over the ranks:
    gradients 1 and 3 become 2 and 2. The weights do not change. Without a process group
    nothing happens.

    Edge cases ★
        A trainable parameter whose `.grad` is None on one rank counts as zeros there: g
        and None become g / 2 on both ranks. (All ranks must make the same calls: a rank
        that skips one leaves the others waiting.) These zeros are on the parameter's
        device. Frozen parameters are left out, their `.grad` stays None.
    """
    raise NotImplementedError


def reduce_mean(value: float | Tensor) -> float:
    """Average a number over the ranks, for the log: each rank knows the loss of its own
    data only.

    Args:
        value: this rank's number, a float or a scalar tensor such as the loss, with
            its graph.
    Returns:
        The mean over the ranks, the same plain float on each: 1.0 and 3.0 give 2.0 on
        both. Without a process group it is `value` as a float.

    Edge cases ★
        `value` may be an int, or a tensor of any dtype with one element: the ints 1 and
        2 give 1.5. A tensor is not written to. If `dist.get_backend()` is "nccl", what
        is sent is on the GPU, device "cuda".
    """
    raise NotImplementedError


def sync_context(model: nn.Module, is_last: bool) -> AbstractContextManager[Any]:
    """Give the context in which one micro-batch goes forward and backward.

    Args:
        model: any module. DDP has a method `no_sync`: inside this context, backward
            adds to `.grad` on its own rank only. The first backward after it averages
            over the ranks.
        is_last: whether this is the last micro-batch of the step.
    Returns:
        `model.no_sync()` before the last micro-batch, if the model has a method of this
        name; otherwise a context manager that does nothing.
    """
    raise NotImplementedError


def unwrap(model: nn.Module) -> nn.Module:
    """Take a model out of its DDP wrapper, for example to save it.

    Args:
        model: any module.
    Returns:
        `model.module` if the model is a DDP, otherwise the model itself. (Names in the
        wrapper's state dict begin with "module.", so a plain model cannot load it.)

    Edge cases ★
        A model that is no DDP but has a layer called `module` comes back whole.
    """
    raise NotImplementedError


def ddp_train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[tuple[Tensor, Tensor]],
    max_norm: float | None = 1.0,
) -> dict[str, float]:
    """Update the weights once from the micro-batches of all ranks, with the same result
    on every rank.

    Args:
        model: a DDP, or any model in one process. model(x, y) returns (logits, loss),
            as kata 26's GPT does.
        optimizer: makes exactly one step.
        batches: this rank's micro-batches, pairs (x, y).
        max_norm: the averaged gradient of all parameters, as one vector, is scaled down
            to at most this norm; None means no clipping.
    Returns:
        Plain floats, the same on all ranks: "loss", the mean over the micro-batches of
        all ranks; "grad_norm", the norm of the averaged gradient before clipping, also
        with max_norm=None.

    1. Train in training mode. Gradients of the previous step do not count.
    2. Run each micro-batch forward *and* backward inside its `sync_context`, so only
       the last one communicates.
    3. Weigh all micro-batches equally: two of 2 rows per rank, on two ranks, make the
       step of 8 rows.

    Edge cases ★
        Gradients that lie in `.grad` before the first step do not count either. No
        batches are an error.
    """
    raise NotImplementedError


def save_on_main(state: dict[str, Any], path: Path | str) -> bool:
    """Write a checkpoint once, not once per rank.

    Args:
        state: what to save. Only that of rank 0 is used.
        path: the same on every rank. Its folder exists; an older file is replaced.
    Returns:
        True on rank 0, which calls `torch.save`; False on the other ranks, which
        write nothing.

    On every rank, the file is complete when the function returns, and no other file is
    left beside it. Without a process group this process is rank 0.
    """
    raise NotImplementedError
