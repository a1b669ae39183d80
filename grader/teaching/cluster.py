"""Grades a class on a cluster. Each task grades a slice of the students with the `kata` command of this tree.

The tree, its Python and the submissions must have the same paths on every machine. Results go to the tree's cache: the
next call after an interruption continues from there.
"""

import importlib
import json
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from grader.course.catalogue import ROOT, Kata, with_prerequisites
from grader.errors import ClusterUnavailable
from grader.execution.boundary import costs_only, not_graded
from grader.execution.grading import Grading
from grader.execution.result_cache import ResultCache
from grader.protocol import RunOptions
from grader.results import KataResult, kata_result
from grader.teaching import submissions
from grader.teaching.assignment import Assignment
from grader.teaching.class_grading import Graded, Key
from grader.teaching.submissions import Attempt, Version

STUDENTS = 20  # per task
MINUTES = 240  # Slurm's time limit per task, unless SBATCH_TIMELIMIT sets another
POLL = 0.2  # seconds between two reads of the results
LATE = 60.0  # seconds until a file written on one machine is visible on another
ASK = 1.0  # seconds between two questions to dask's scheduler about its workers
SILENT = 15.0  # seconds without a sign of any dask worker, after which all of them are lost
# The `kata` command of a task. The system kills it when its parent process ends.
KATA = [
    sys.executable,
    "-c",
    "from grader.cli import main; from grader.isolation import processes; processes.die_with_parent(); main.main()",
]


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


@dataclass(frozen=True)
class Sources:
    """The files from which each task takes in its students again.

    Attributes:
        roster: the file that the students' names come from.
        rules: the file that says which versions are graded, if it is not the default one.
        unowned_are_nobody: submissions of nobody in the roster are taken for nobody's work.
    """

    folder: Path
    roster: Path | None = None
    rules: Path | None = None
    unowned_are_nobody: bool = False


def grade_on_cluster(
    attempts: Iterable[Attempt],
    assignment: Assignment,
    sources: Sources,
    engine: Engine,
    *,
    cache: ResultCache,
    students: int = STUDENTS,
) -> Generator[Graded]:
    """Grade every attempt. Yield the result of each kata as it arrives.

    A lost task's missing results are not graded. They say why the task was lost. Where the grader itself fails on an
    attempt, that one is not graded, and the others are.
    Closing the iterator cancels every task.

    Args:
        engine: starts the tasks.
        students: submissions per task.
    Raises:
        ClusterUnavailable: the engine cannot be used here.
    """
    left: list[Attempt] = []
    for attempt in attempts:
        known = _known(attempt, assignment, cache)
        yield from (Graded(attempt.student, attempt.version, result) for result in known)
        if not known:
            left.append(attempt)
    if not left:
        return
    everybody = list(dict.fromkeys(one.student for one in left))
    slices = [everybody[start : start + students] for start in range(0, len(everybody), students)]
    task = {student: number for number, names in enumerate(slices) for student in names}
    owed = {(one.student, one.version, kata): task[one.student] for one in left for kata in one.katas}
    command = _command(assignment, sources)
    with _shared_folder() as shared:
        tasks = [
            Slice((*command, *(f"--student={name}" for name in names)), f"{shared}/{number}")
            for number, names in enumerate(slices)
        ]
        with engine(tasks, shared / "engine", assignment.at_a_time) as endings:
            yield from _gathered(shared, owed, dict(enumerate(endings)), assignment.options)


def _known(attempt: Attempt, assignment: Assignment, cache: ResultCache) -> list[KataResult]:
    """The results that need no task: all of them are cached, or the grader fails on the attempt."""
    known: list[KataResult] = []

    def lost(why: str) -> None:
        known.extend(not_graded(kata, why, assignment.options) for kata in attempt.katas)

    with costs_only(lost):
        known += _cached(attempt, cache, assignment.options)
    return known


def _command(assignment: Assignment, sources: Sources) -> list[str]:
    """The command of every task, without its students. A task uses as many cores as grade katas in parallel."""
    options, roster, rules = assignment.options, sources.roster, sources.rules
    return [
        *KATA,
        "grade",
        *(name for kata in assignment.katas for name in _asked(kata, options)),
        f"--submissions={sources.folder.resolve()}",
        f"--jobs={assignment.at_a_time}",
        *(["--core"] if options.core else []),
        *([f"--roster={roster.resolve()}"] if roster else []),
        *([f"--rules={rules.resolve()}"] if rules else []),
        *(["--unowned-are-nobody"] if sources.unowned_are_nobody else []),
        "--sealed" if options.sealed else "--unsealed",
        *(["--require-isolation"] if options.require_isolation else []),
    ]


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


def _asked(kata: Kata, options: RunOptions) -> list[str]:
    """The kata as the command line names it, or its exercises if the options choose some."""
    chosen = [exercise.name for exercise in kata.exercises if exercise.spec_class in options.only]
    return [f"{kata.name}::{name}" for name in chosen] or [kata.name]


def _cached(attempt: Attempt, cache: ResultCache, options: RunOptions) -> list[KataResult]:
    """The attempt's results if all of them are cached; otherwise none."""
    texts = submissions.sources(attempt.submission, with_prerequisites(attempt.katas))
    grading = Grading(attempt.katas, texts, options=options)
    return [] if next(grading.ready(cache.find), None) else grading.results


def _gathered(
    shared: Path, owed: dict[tuple[str, Version, Kata], int], under_way: dict[int, Ending], options: RunOptions
) -> Iterator[Graded]:
    """Yield the results that the tasks write, and the missing results of lost tasks.

    Args:
        owed: (student, version, kata) → the task that grades it.
        under_way: the running tasks.
    """
    read: dict[Path, int] = {}
    by_name = {kata.name: kata for *_, kata in owed}
    ended: dict[int, tuple[str, float]] = {}  # task → why it was lost, and until when its results may still arrive
    while owed:
        for number in list(under_way):
            ending = under_way[number]()
            if ending is not None:
                del under_way[number]
                ended[number] = (ending, time.monotonic() + (0.0 if ending else LATE))
        for line in _new_lines(shared, read):
            who: Key = (line["student"], line.get("version", "newest"))
            if owed.pop((*who, by_name[line["kata"]]), None) is not None:
                yield Graded(*who, _arrived(line, by_name[line["kata"]], options))
        lost = {number: why for number, (why, until) in ended.items() if time.monotonic() >= until}
        for place in [place for place, number in owed.items() if number in lost]:
            *_, kata = place
            why = lost[owed.pop(place)] or "its results did not arrive"
            yield Graded(place[0], place[1], not_graded(kata, why, options))
        time.sleep(POLL)


def _arrived(line: dict[str, Any], kata: Kata, options: RunOptions) -> KataResult:
    """The result in a line. One that breaks the format is not graded."""
    found: list[KataResult] = []
    with costs_only(lambda why: found.append(not_graded(kata, why, options))):
        found.append(kata_result({**line, "cpu_seconds": 0.0}))
    return found[0]


def _new_lines(shared: Path, read: dict[Path, int]) -> Iterator[dict[str, Any]]:
    """The complete lines added since the last call. `read` keeps how many bytes of each file were read."""
    for path in sorted(shared.glob("*.jsonl")):
        with open(path, "rb") as file:
            file.seek(read.get(path, 0))
            whole, newline, _ = file.read().rpartition(b"\n")
        read[path] = read.get(path, 0) + len(whole + newline)
        yield from (json.loads(line) for line in whole.split(b"\n") if line)


@contextmanager
def _shared_folder() -> Iterator[Path]:
    """A folder in the tree, visible on every machine. Deleting it ends the tasks."""
    try:
        (ROOT / ".kata").mkdir(exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="engine-", dir=ROOT / ".kata", ignore_cleanup_errors=True)
    except OSError as error:
        raise ClusterUnavailable(f"--engine: {error.filename} cannot be written: {error.strerror}") from None
    with folder as name:
        yield Path(name)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, so that it can save its results. Kill it if it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _imported(module: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ClusterUnavailable(f"--engine {extra} needs {module}: pip install 'torch-katas[{extra}]'") from None


def _line(error: BaseException) -> str:
    """The first line of the error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
