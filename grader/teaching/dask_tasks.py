"""Runs a class's tasks on a dask cluster, and says how each of them ended."""

import importlib
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from grader.course.catalogue import ROOT
from grader.errors import ClusterUnavailable
from grader.execution.boundary import costs_only

POLL = 0.2  # seconds between two looks at a task
ASK = 1.0  # seconds between two questions to dask's scheduler about its workers
# seconds without a sign of any dask worker, after which all of them are lost
SILENT = 15.0


@dataclass(frozen=True)
class Slice:
    """One task: a command, and the path prefix of its result files. Each start of the
    task writes a new file.
    """

    command: tuple[str, ...]
    results: str


# Says how a task ended: None while it runs, "" after success, otherwise why it
# was lost.
Ending = Callable[[], str | None]
# Starts tasks. Leaving the context cancels them.
Engine = Callable[[list[Slice]], AbstractContextManager[list[Ending]]]


@contextmanager
def on_dask(tasks: list[Slice]) -> Iterator[list[Ending]]:
    """Run each task as a future on the dask cluster at DASK_SCHEDULER_ADDRESS. Workers
    should have one thread each.
    """
    try:
        distributed, config = (
            importlib.import_module("distributed"),
            importlib.import_module("dask").config,
        )
    except ImportError:
        raise ClusterUnavailable(
            "--dask needs distributed: pip install distributed"
        ) from None
    address = config.get("scheduler-address", None)
    if not address:
        raise ClusterUnavailable(
            "--dask: set DASK_SCHEDULER_ADDRESS to the scheduler's address, such as "
            "tcp://node1:8786"
        )
    try:
        client = distributed.Client(address)
    except (OSError, ValueError) as error:
        raise ClusterUnavailable(
            f"--dask: no scheduler answers at {address} ({_line(error)})"
        ) from None

    # a distributed.Future, which type checkers do not know without distributed
    def ending(future: Any) -> str | None:
        match future.status:
            case "pending":
                return workers.lost()
            case "finished":
                return future.result()
            case "error":
                return f"dask lost the task ({_line(future.exception())})"
            case other:
                return f"dask lost the task ({other})"

    with client, closing(_Workers(client)) as workers:
        futures = client.map(run_slice, tasks, pure=False)
        try:
            yield [partial(ending, future) for future in futures]
        finally:
            client.cancel([future for future in futures if not future.done()])


class _Workers:
    """Watches whether any worker of a dask cluster is alive. The scheduler misses one
    that has vanished for minutes.
    """

    def __init__(self, client: Any):
        self.client = client
        self.alive = time.monotonic()  # when a worker was last heard of
        self.ended = threading.Event()
        # as a question may never be answered
        threading.Thread(target=self._watch, daemon=True).start()

    def lost(self) -> str | None:
        """The reason to give up the tasks; None while there are workers."""
        if time.monotonic() - self.alive < SILENT:
            return None
        return (
            f"no dask worker has been heard of for {SILENT:g} s: start workers and "
            "run the same command again"
        )

    def close(self) -> None:
        self.ended.set()

    def _watch(self) -> None:
        before: dict[str, Any] = {}
        while not self.ended.wait(ASK):
            with costs_only():  # without an answer, nobody has been heard of
                workers = self.client.scheduler_info()["workers"]
                now = {
                    name: worker.get("last_seen") for name, worker in workers.items()
                }
                if any(seen != before.get(name) for name, seen in now.items()):
                    self.alive = time.monotonic()
                before = now


def run_slice(task: Slice) -> str:
    """Run a task on the machine that dask has chosen. Returns "", or why it failed.

    The task gives up when the folder of its results is deleted.
    """
    results = Path(f"{task.results}-{uuid.uuid4().hex}.jsonl")
    with tempfile.TemporaryFile() as said:
        command = [*task.command, f"--results={results}"]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        try:
            while process.poll() is None:
                if not results.parent.is_dir():
                    return "given up"
                time.sleep(POLL)
        finally:
            _end(process)
        said.seek(0)
        reason = said.read().decode(errors="replace").strip().rpartition("\n")[2]
    if process.returncode == 0:
        return ""
    return f"kata ended with exit code {process.returncode}" + (
        f": {reason}" if reason else ""
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, so that it can save its results. Kill it if it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _line(error: BaseException) -> str:
    """The first line of the error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
