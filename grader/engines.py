"""A class over the machines of a cluster: every task grades a slice of the students by the `kata` command of this same tree.

The tree, its Python and the submissions lie at the same place on every machine. Verdicts go on file in the tree as always, so
that a call goes on where one before it ended.
"""

import importlib
import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from grader.catalogue import ROOT, Kata
from grader.results import KataResult, kata_result
from grader.runner import Grading, with_prerequisites
from grader.submissions import Submission, texts
from grader.verdicts import Verdicts

STUDENTS = 20  # of one task
MINUTES = 240  # that Slurm gives one, where SBATCH_TIMELIMIT does not say another
POLL = 0.2  # seconds between two looks at what has come
LATE = 60.0  # seconds that a file may need to be seen on another machine
# The command of a task, which the system ends when whoever started it is gone.
KATA = [sys.executable, "-c", "from grader import cli, confine; confine.die_with_parent(); cli.main()"]


class NotPossible(Exception):
    """The engine cannot be used. The message is one line: what is missing and what to do."""


@dataclass(frozen=True)
class Task:
    """What is to be run, and how the files begin that its results go to: another for each time that the engine starts it."""

    command: tuple[str, ...]
    results: str


# Says how a task has ended: None while it is under way, "" where all is well, else why it is lost.
Ending = Callable[[], str | None]
Engine = Callable[[list[Task], Path, int], AbstractContextManager[list[Ending]]]


def grade(
    handed_in: list[Submission], katas: list[Kata], folder: Path, engine: Engine, *, kept: Verdicts, jobs: int = 0, core: bool = False,
    students: int = STUDENTS,
) -> Iterator[tuple[str, KataResult]]:  # fmt: skip
    """Grade every submission in the folder; (student, result of one kata) as they come. Of a lost task's students, what it has
    not graded comes as a result without exercises, whose message says why.

    Closing the iterator gives up every task.

    Args:
        engine: starts the tasks, and gives them up when its context ends. It gets a folder for its own files and, from `jobs`,
            the cores that each task asks for; 0: it says nothing of cores.
        students: of one task.
    Raises:
        NotPossible: the engine is not there.
    """
    left = []
    for submission in handed_in:
        known = _on_file(submission, katas, kept, core)
        yield from ((submission.student, result) for result in known)
        if not known:
            left.append(submission.student)
    if not left:
        return
    with _shared_folder() as shared:
        slices = [left[start : start + students] for start in range(0, len(left), students)]
        owed = {(student, kata.name): number for number, names in enumerate(slices) for student in names for kata in katas}
        options = [f"--submissions={folder.resolve()}", f"--jobs={jobs}", *(["--core"] if core else [])]
        command = [*KATA, "grade", *(kata.name for kata in katas), *options]
        tasks = [Task((*command, *(f"--student={name}" for name in names)), f"{shared}/{n}") for n, names in enumerate(slices)]
        with engine(tasks, shared / "engine", jobs) as endings:
            yield from _gathered(shared, owed, dict(enumerate(endings)))


@contextmanager
def slurm(tasks: list[Task], folder: Path, cores: int, cluster: str = "slurm") -> Iterator[list[Ending]]:
    """Each task a job of Slurm. What else a cluster wants to know, sbatch takes from the environment: SBATCH_PARTITION, SBATCH_ACCOUNT."""
    submitit = _imported("submitit", "slurm")
    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster)
        executor.update_parameters(name="kata", timeout_min=MINUTES, cpus_per_task=cores or None)
        jobs = executor.map_array(perform, tasks)
    except RuntimeError as error:
        raise NotPossible(f"--engine slurm: {_line(error)}") from None

    def ending(job) -> str | None:
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
def dask(tasks: list[Task], folder: Path, cores: int) -> Iterator[list[Ending]]:
    """Each task a future of the dask cluster whose scheduler DASK_SCHEDULER_ADDRESS names; its workers best have one thread each."""
    distributed = _imported("distributed", "dask")
    address = importlib.import_module("dask").config.get("scheduler-address", None)
    if not address:
        raise NotPossible("--engine dask: set DASK_SCHEDULER_ADDRESS to where the scheduler is, such as tcp://node1:8786")
    try:
        client = distributed.Client(address)
    except (OSError, ValueError) as error:
        raise NotPossible(f"--engine dask: no scheduler answers at {address} ({_line(error)})") from None

    def ending(future) -> str | None:
        match future.status:
            case "pending":
                return None
            case "finished":
                return future.result()
            case "error":
                return f"dask lost the task ({_line(future.exception())})"
            case other:
                return f"dask lost the task ({other})"

    with client:
        futures = client.map(perform, tasks, pure=False)
        try:
            yield [partial(ending, future) for future in futures]
        finally:
            client.cancel([future for future in futures if not future.done()])


ENGINES = {"slurm": slurm, "dask": dask}


def perform(task: Task) -> str:
    """Run a task, where the engine has put it: "", or why it failed. It is given up when the folder of its results is gone."""
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
    return process.returncode and f"kata ended with exit code {process.returncode}{reason and f': {reason}'}" or ""


def _on_file(submission: Submission, katas: list[Kata], kept: Verdicts, core: bool) -> list[KataResult]:
    """The results of the whole submission, if every verdict that they take is on file; else none."""
    grading = Grading(katas, texts(submission, with_prerequisites(katas)), core=core)
    return [] if next(grading.ready(kept.find), None) else grading.results


def _gathered(shared: Path, owed: dict[tuple[str, str], int], under_way: dict[int, Ending]) -> Iterator[tuple[str, KataResult]]:
    """What the tasks write, until nothing is owed any more by a task that may still bring it."""
    read: dict[Path, int] = {}
    ended: dict[int, tuple[str, float]] = {}  # task → why it is lost, and until when its results may still come
    while owed:
        for number in list(under_way):
            why = under_way[number]()
            if why is not None:
                del under_way[number]
                ended[number] = (why, time.monotonic() + (0.0 if why else LATE))
        for line in _new_lines(shared, read):
            if owed.pop((line["student"], line["kata"]), None) is not None:
                yield line["student"], kata_result({**line, "cpu_seconds": 0.0})
        lost = {number: why for number, (why, until) in ended.items() if time.monotonic() >= until}
        for (student, kata), number in [(place, number) for place, number in owed.items() if number in lost]:
            del owed[student, kata]
            yield student, KataResult(kata, (), f"not graded: {lost[number] or 'its results did not arrive'}")
        time.sleep(POLL)


def _new_lines(shared: Path, read: dict[Path, int]) -> Iterator[dict]:
    """The whole lines that have come since the last look; `read` says how far each file was read."""
    for path in sorted(shared.glob("*.jsonl")):
        with open(path, "rb") as file:
            file.seek(read.get(path, 0))
            whole, newline, _ = file.read().rpartition(b"\n")
        read[path] = read.get(path, 0) + len(whole + newline)
        yield from (json.loads(line) for line in whole.split(b"\n") if line)


@contextmanager
def _shared_folder() -> Iterator[Path]:
    """A folder in the tree, which every machine sees. When it goes, so do the tasks."""
    try:
        (ROOT / ".kata").mkdir(exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="engine-", dir=ROOT / ".kata", ignore_cleanup_errors=True)
    except OSError as error:
        raise NotPossible(f"--engine: {error.filename} cannot be written: {error.strerror}") from None
    with folder as name:
        yield Path(name)


def _end(process: subprocess.Popen) -> None:
    """Ask a process to end, which keeps what it has on file, and end it if it does not."""
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
        raise NotPossible(f"--engine {extra} needs {module}: pip install 'torch-katas[{extra}]'") from None


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
