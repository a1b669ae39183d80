"""Data-parallel training: every process has the same weights, reads other data, and
steps along the same mean gradient. Whether there are one or many of them is then a
matter of speed and nothing else.

A process is known by its rank, 0 … world_size − 1. "No process group" means that
`dist.is_initialized()` is False: every function here then works as for one process.
With a group, all ranks call a function together, and the same functions in the same
order: a call that one rank leaves out keeps the others waiting.
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
    """Given: call `fn(*args)` in so many processes on this machine, and collect what
    it returns.

    Args:
        fn: any function. Where it runs there is a process group, and RANK, LOCAL_RANK
            and WORLD_SIZE are set in the environment, as torchrun sets them.
        world_size: how many processes.
        args: the same for all of them.
    Returns:
        What `fn` returned, by rank.
    Raises:
        RuntimeError: one of the processes raised (the message holds its traceback),
            died, or was not done after 30 s. A process that waits in vain for another
            one raises after 5 s. Whatever still runs is killed.

    The processes are forked, so that they begin with all that this one has in memory,
    and talk to each other over the loopback address by gloo, torch's backend for CPUs.
    They find each other through a file in a temporary folder.
    (With a CUDA device, torch computes no gradients in a process forked from one that
    has computed some: launch first.)
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
    """The place of this process among all."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def dist_info_from_env(env: Mapping[str, str] | None = None) -> DistInfo:
    """Read from the environment which process this is."""
    if env is None:
        env = os.environ
    if "RANK" not in env:
        return DistInfo()
    return DistInfo(int(env["RANK"]), int(env["LOCAL_RANK"]), int(env["WORLD_SIZE"]))


def rank_slice(x: Tensor, rank: int, world_size: int) -> Tensor:
    """Give a rank its share of a batch that all ranks hold."""
    n = len(x) // world_size
    return x[rank * n : (rank + 1) * n]


def broadcast_parameters(model: nn.Module, src: int = 0) -> None:
    """Make all models the same: every rank gets the weights of one."""
    if dist.is_initialized():
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src)


def average_gradients(model: nn.Module) -> None:
    """Make all gradients the same: every rank gets their mean. To be called between
    `backward` and the optimizer's step.
    """
    if not dist.is_initialized():
        return
    for parameter in model.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


def reduce_mean(value: float | Tensor) -> float:
    """Average a number over all ranks, for the log: each rank has seen the loss of its
    own data only.
    """
    if not dist.is_initialized():
        return float(value)
    total = torch.tensor(float(value))
    dist.all_reduce(total)
    return total.item() / dist.get_world_size()


def sync_context(model: nn.Module, is_last: bool) -> AbstractContextManager[Any]:
    """Give the context in which one micro-batch goes forward and backward."""
    if not is_last and hasattr(model, "no_sync"):
        return model.no_sync()
    return nullcontext()


def unwrap(model: nn.Module) -> nn.Module:
    """Take a model out of its DDP wrapper, as one does before saving it or sampling
    from it.
    """
    return model.module if isinstance(model, DDP) else model


def ddp_train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[tuple[Tensor, Tensor]],
    max_norm: float | None = 1.0,
) -> dict[str, float]:
    """Make one update of the weights, the same on all ranks, out of the micro-batches
    of all ranks.
    """
    model.train()
    optimizer.zero_grad()
    total = 0.0
    for i, (x, y) in enumerate(batches):
        with sync_context(model, i == len(batches) - 1):
            _, loss = model(x, y)
            (loss / len(batches)).backward()
        total += loss.item() / len(batches)
    norm = nn.utils.clip_grad_norm_(
        model.parameters(), math.inf if max_norm is None else max_norm
    )
    optimizer.step()
    return {"loss": reduce_mean(total), "grad_norm": norm.item()}


def save_on_main(state: dict[str, Any], path: Path | str) -> bool:
    """Write a checkpoint once, not once a rank."""
    is_main = not dist.is_initialized() or dist.get_rank() == 0
    if is_main:
        torch.save(state, path)
    if dist.is_initialized():
        dist.barrier()
    return is_main
