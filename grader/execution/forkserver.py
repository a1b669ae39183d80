"""Starts worker processes by forking one warm process, the forkserver.

All use of multiprocessing's private names is in this file.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from grader.course.catalogue import Kata
from grader.execution import entry
from grader.protocol import WorkOrder

PRELOADED = ["grader.execution.preload"]  # modules that the forkserver imports
# The only environment variables that a worker sees.
ENVIRONMENT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VIRTUAL_ENV",
    "PYTORCH_NVML_BASED_CUDA_CHECK",
    "PYTHONHASHSEED",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
)
# Bytes in the path of the temporary folder. The path of a socket below it is longer and may have at most 103.
LONGEST_FOLDER_NAME = 45

# Typed as Any, because type checkers know no private names.
_server: Any = forkserver._forkserver
_tracker: Any = resource_tracker._resource_tracker


@dataclass(frozen=True)
class Worker:
    """A worker process, and the channel on which its messages arrive."""

    process: BaseProcess
    channel: Connection


def prepare(katas: Iterable[Kata]) -> BaseContext:
    """Start the forkserver if it is not running. It collects these katas' specs and sees no secrets of the environment.

    Forking is safe only on Linux. Elsewhere each worker is spawned as a new process.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    if _server._forkserver_pid is None:
        context.set_forkserver_preload(PRELOADED)
        wanted = "\n".join(f"{kata.root}\t{kata.name}" for kata in katas)
        folder = temporary_folder()
        with _environment_of(environment() | {"OMP_NUM_THREADS": "1", "HOME": folder, entry.KATAS_TO_COLLECT: wanted}):
            tempfile.tempdir, before = folder, tempfile.tempdir
            _tracker.ensure_running()  # first, because it unblocks Ctrl-C
            with interrupts_blocked():
                forkserver.ensure_running()
            tempfile.tempdir = before
    return context


def start_worker(order: WorkOrder) -> Worker:
    """Start a worker on this order."""
    context = prepare([order.kata])
    channel, theirs = context.Pipe(duplex=False)
    may_have_children = "processes" in order.kata.description.needs  # Python allows a daemon no child processes
    process = context.Process(  # type: ignore[attr-defined]  # every context has it
        target=entry.become_worker, args=(order, theirs), daemon=not may_have_children
    )
    try:
        with _without_main_module(), _interrupts_wait():
            process.start()
    except KeyboardInterrupt:
        process.kill()
        process.join(5)
        raise
    theirs.close()
    return Worker(process, channel)


def pipe() -> tuple[Connection, Connection]:
    """Two ends of a pipe that goes both ways."""
    return multiprocessing.Pipe()


def helpers() -> set[int | None]:
    """The process ids of the forkserver and of multiprocessing's resource tracker; None for one that is not running."""
    return {_server._forkserver_pid, _tracker._pid}


def forget_inherited_folder() -> None:
    """In a worker: forget the runner's temporary folder, which multiprocessing would otherwise keep using."""
    process: Any = multiprocessing.current_process()
    process._config.pop("tempdir", None)


def environment() -> dict[str, str]:
    """The variables of this process's environment that a worker may see."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}


def temporary_folder() -> str:
    """The system's temporary folder, or /tmp if the path of a socket below that folder would be too long."""
    folder = tempfile.gettempdir()
    return "/tmp" if len(os.fsencode(folder)) > LONGEST_FOLDER_NAME and os.access("/tmp", os.W_OK) else folder


def _forget_after_fork() -> None:
    """In a forked process: forget the parent's forkserver and resource tracker, so that this process starts its own."""
    _server._forkserver_pid = _server._forkserver_alive_fd = _server._forkserver_address = None
    _tracker._pid = _tracker._fd = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


@contextmanager
def _environment_of(variables: dict[str, str]) -> Iterator[None]:
    """Replace the whole environment of this process inside the block."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide the program's main module inside the block, because multiprocessing would run that module in each worker."""
    main = sys.modules["__main__"]
    kept: dict[str, object] = {name: vars(main).pop(name) for name in ("__spec__", "__file__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(kept)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Start a process with Ctrl-C blocked, or it may print a traceback before it ignores Ctrl-C. Linux only."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Deliver Ctrl-C after the block. A forkserver whose client is interrupted halfway prints a traceback and ends."""
    if threading.current_thread() is not threading.main_thread():  # only that thread is interrupted
        yield
        return
    came = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)
