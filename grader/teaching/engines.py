"""The engines of a cluster: what starts a class's tasks on it, and says how each of them ended."""

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
from types import ModuleType
from typing import Any

from grader.course.catalogue import ROOT
from grader.errors import ClusterUnavailable
from grader.execution.boundary import costs_only

MINUTES = 240  # Slurm's time limit per task, unless SBATCH_TIMELIMIT sets another
POLL = 0.2  # seconds between two looks at a task
ASK = 1.0  # seconds between two questions to dask's scheduler about its workers
SILENT = 15.0  # seconds without a sign of any dask worker, after which all of them are lost


@dataclass(frozen=True)
class Slice:
    """One task: a command, and the path prefix of its result files. Each start of the task writes a new file."""

    command: tuple[str, ...]
    results: str


# Says how a task ended: None while it runs, "" after success, otherwise why it was lost.
Ending = Callable[[], str | None]
# Starts tasks, given a folder for the engine's own files and the cores per task (0: the engine's default).
# Leaving the context cancels the tasks.
Engine = Callable[[list[Slice], Path, int], AbstractContextManager[list[Ending]]]


@contextmanager
def slurm(tasks: list[Slice], folder: Path, cores: int, cluster: str = "slurm") -> Iterator[list[Ending]]:
    """Run each task as a Slurm job. sbatch reads further settings from the environment, such as SBATCH_PARTITION."""
    submitit = _imported("submitit", "slurm")
    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster)
        executor.update_parameters(name="kata", timeout_min=MINUTES, cpus_per_task=cores or None)
        jobs = executor.map_array(run_slice, tasks)
    except RuntimeError as error:
        raise ClusterUnavailable(f"--engine slurm: {_line(error)}") from None

    def ending(job: Any) -> str | None:  # a submitit.Job, which type checkers do not know without submitit
        if not job.done():
            return None
        lost = job.exception()
        return f"Slurm lost the task ({job.state})" if lost else job.result()

    try:
        yield [partial(ending, job) for job in jobs]
    finally:
        for job in jobs:
            if not job.done():
                job.cancel(check=False)


@contextmanager
def dask(tasks: list[Slice], folder: Path, cores: int) -> Iterator[list[Ending]]:
    """Run each task as a future on the dask cluster at DASK_SCHEDULER_ADDRESS. Workers should have one thread each."""
    distributed = _imported("distributed", "dask")
    address = importlib.import_module("dask").config.get("scheduler-address", None)
    if not address:
        raise ClusterUnavailable(
            "--engine dask: set DASK_SCHEDULER_ADDRESS to the scheduler's address, such as tcp://node1:8786"
        )
    try:
        client = distributed.Client(address)
    except (OSError, ValueError) as error:
        raise ClusterUnavailable(f"--engine dask: no scheduler answers at {address} ({_line(error)})") from None

    def ending(future: Any) -> str | None:  # a distributed.Future, which type checkers do not know without distributed
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
    """Watches whether any worker of a dask cluster is alive. The scheduler misses one that has vanished for minutes."""

    def __init__(self, client: Any):
        self.client = client
        self.alive = time.monotonic()  # when a worker was last heard of
        self.ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()  # as a question may never be answered

    def lost(self) -> str | None:
        """The reason to give up the tasks; None while there are workers."""
        if time.monotonic() - self.alive < SILENT:
            return None
        return f"no dask worker has been heard of for {SILENT:g} s: start workers and run the same command again"

    def close(self) -> None:
        self.ended.set()

    def _watch(self) -> None:
        before: dict[str, Any] = {}
        while not self.ended.wait(ASK):
            with costs_only():  # without an answer, nobody has been heard of
                workers = self.client.scheduler_info()["workers"]
                now = {name: worker.get("last_seen") for name, worker in workers.items()}
                if any(seen != before.get(name) for name, seen in now.items()):
                    self.alive = time.monotonic()
                before = now


ENGINES: dict[str, Engine] = {"slurm": slurm, "dask": dask}


def run_slice(task: Slice) -> str:
    """Run a task on the machine chosen by the engine. Returns "", or why it failed.

    The task gives up when the folder of its results is deleted.
    """
    results = Path(f"{task.results}-{uuid.uuid4().hex}.jsonl")
    with tempfile.TemporaryFile() as said:
        command = [*task.command, f"--results={results}"]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
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
    return f"kata ended with exit code {process.returncode}" + (f": {reason}" if reason else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, so that it can save its results. Kill it if it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _imported(module: str, engine: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ClusterUnavailable(f"--engine {engine} needs {module}: pip install {module}") from None


def _line(error: BaseException) -> str:
    """The first line of the error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
