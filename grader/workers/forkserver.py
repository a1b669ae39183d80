"""Starts workers of the first lock by forking one warm process, `spec_server`; without
Linux, afresh.
"""

import contextlib
import multiprocessing
import os
import pickle
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from grader.course.catalogue import ROOT, Kata
from grader.isolation import linux
from grader.protocol import WorkOrder
from grader.workers import entry, servers
from grader.workers.servers import Process, Server, interrupts_wait

SERVER = "grader.workers.spec_server"
# The only variables of this process's environment that a worker sees.
ENVIRONMENT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VIRTUAL_ENV",
    "PYTHONHASHSEED",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "USERPROFILE",
)
# Bytes in the path of the temporary folder. Processes of a kata make sockets below it,
# whose path may have 103.
LONGEST_FOLDER_NAME = 41

# No GPU: a mark is the same on every machine, and a device's driver needs more than the
# sandbox allows. The second variable has PyTorch look for devices without starting
# CUDA. The user's name is asked for by PyTorch's compiler.
GIVEN = {
    "CUDA_VISIBLE_DEVICES": "",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "USER": "learner",
}
# of every server, since they share a PyTorch
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

MODULES: list[str] = []  # of rooms above, which name them here, for workers to inherit

_server: Server | None = None
# whose specs it has collected, and when each kata.toml was written
_known: set[tuple[Kata, int]] = set()


@dataclass(frozen=True)
class Worker:
    """A worker process, and the channel on which its messages arrive."""

    process: Process | BaseProcess
    channel: Connection


def prepare(katas: Iterable[Kata]) -> None:
    """Start the forkserver if it is not running. It collects these katas' specs and
    sees no secrets of the environment.

    Forking is safe only on Linux. Elsewhere each worker is spawned as a new process.
    """
    if sys.platform == "linux":
        _prepared(katas)


def collect(katas: Iterable[Kata]) -> None:
    """Have a forkserver with the specs of all these katas: one that lacks some, or has
    an older kata.toml, is replaced.

    No worker may be running. A worker collects what its forkserver lacks, which takes
    longer than most mistakes do.
    """
    katas = list(katas)
    if _server and not _versions(katas) <= _known:
        _server.end()
    prepare(katas)


def start_worker(order: WorkOrder) -> Worker:
    """Start a worker on this order.

    Raises:
        OSError: no process can be started.
    """
    if sys.platform != "linux":
        return _spawned(order)
    ours, theirs = pipe()
    try:
        with interrupts_wait(), theirs:
            descriptors = [
                theirs.fileno(),
                *([order.pipe.fileno()] if order.pipe else []),
            ]
            process = _prepared([order.kata]).fork(None, descriptors)
            # the worker has ended already, which the channel says as well
            with contextlib.suppress(OSError):
                ours.send_bytes(pickle.dumps(replace(order, pipe=None)))
    except KeyboardInterrupt:
        process.kill()
        process.join(5)
        raise
    return Worker(process, ours)


def pipe() -> tuple[Connection, Connection]:
    """Two ends of a pipe that goes both ways."""
    linux.only()
    return multiprocessing.Pipe()


def helpers() -> set[int]:
    """The process id of the server with the specs, if it is running."""
    return {_server.process.pid} if _server and _server.runs else set()


def environment() -> dict[str, str]:
    """The variables that a worker sees."""
    return {
        name: os.environ[name] for name in ENVIRONMENT if name in os.environ
    } | GIVEN


def temporary_folder() -> str:
    """The system's temporary folder, or /tmp if the path of a socket below that folder
    would be too long.
    """
    folder = tempfile.gettempdir()
    return (
        "/tmp"
        if len(os.fsencode(folder)) > LONGEST_FOLDER_NAME and os.access("/tmp", os.W_OK)
        else folder
    )


def _prepared(katas: Iterable[Kata]) -> Server:
    global _server, _known
    if _server is None or not _server.runs:
        katas = list(katas)
        _known = _versions(katas)
        given = {
            "modules": MODULES,
            "katas": [(str(kata.root), kata.name) for kata in katas],
        }
        # not in a folder for all users
        storage = {"HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".kata" / "hypothesis")}
        _server = servers.forked(
            SERVER, given, environment() | storage | ONE_THREAD, temporary_folder()
        )
    return _server


def _versions(katas: Iterable[Kata]) -> set[tuple[Kata, int]]:
    paths = {kata: kata.folder / "kata.toml" for kata in katas}
    return {
        (kata, path.stat().st_mtime_ns if path.is_file() else 0)
        for kata, path in paths.items()
    }


def _spawned(order: WorkOrder) -> Worker:
    context = multiprocessing.get_context("spawn")
    # on Windows of another class, which does the same
    ends: tuple[Any, Any] = context.Pipe(duplex=False)
    channel, theirs = ends
    # Python allows a daemon no child processes
    may_have_children = "processes" in order.kata.description.needs
    process = context.Process(
        target=entry.become_worker, args=(order, theirs), daemon=not may_have_children
    )
    try:
        with _without_main_module(), interrupts_wait():
            process.start()
    except KeyboardInterrupt:
        process.kill()
        process.join(5)
        raise
    theirs.close()
    return Worker(process, channel)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide the program's main module inside the block, because multiprocessing would
    run that module in each worker.
    """
    main = sys.modules["__main__"]
    kept: dict[str, object] = {
        name: vars(main).pop(name)
        for name in ("__spec__", "__file__")
        if name in vars(main)
    }
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(kept)
