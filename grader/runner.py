"""Runs katas in worker processes: starts them warm, enforces deadlines from outside, and turns what they send into verdicts."""

import json
import multiprocessing
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from typing import Protocol

from grader import catalogue, confine, loading
from grader.catalogue import Kata
from grader.results import ExerciseResult, KataResult, SpecResult
from grader.task import ENVIRONMENT, KATAS, SIGNED, Task, perform, signature

GRACE = 2.0  # seconds that a spec may outlast its own limit before the worker is killed
START_SECONDS = 60.0  # for a worker to be forked and to collect the specs, however busy the machine is
LONGEST_MESSAGE = 200_000
LONGEST_PLACE = 45  # bytes in the name of the folder for temporary files: the name of a socket below it has room for 103
# All but printable text and line breaks: what code under test puts into a message must not steer a terminal or break a file.
UNPRINTABLE = re.compile("[^\n\t\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What a line of output may begin with to be taken by GitHub Actions for a command.
COMMAND = re.compile(r"^(\s*)(?=::|##\[)", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Job:
    """Code to run one kata's specs against: the text of its file and of the files of the earlier katas it builds on."""

    kata: Kata
    files: dict[Path, str]  # by their path below a code folder
    problem: str = ""  # why there is no text to run; the verdict of every spec
    note: str = ""  # what the report says about the kata as a whole
    core: bool = False
    only: str = ""
    seed: int = 0
    backwards: bool = False
    order: tuple[str, ...] = ()
    spec_seconds: float = 10.0
    stop_at_failure: bool = False  # the specs after the first failure are not run, and so `missing`


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Kept(Protocol):
    """Verdicts on file: `find` gives the one on this job, or None; `keep` puts one there."""

    def find(self, job: Job) -> KataResult | None: ...
    def keep(self, job: Job, result: KataResult) -> None: ...


class Grading:
    """One submission on its way: which of its katas can run by now, and on whose code for the katas they build on.

    Args:
        texts: for each of the katas and all that they build on, its text, or "" and the reason why there is none.
        are_references: the texts are those of the reference, of which nothing has to be shown first.
        only: of the katas asked for, only the specs of this name or this class.
    """

    def __init__(
        self, katas: Iterable[Kata], texts: Mapping[Kata, tuple[str, str]], *, are_references: bool = False, core: bool = False,
        only: str = "", spec_seconds: float = 10.0,
    ):  # fmt: skip
        self.wanted = dict.fromkeys(katas)
        self.texts, self.core, self.only, self.spec_seconds = texts, core, only, spec_seconds
        self.reasons: dict[Kata, str] = dict.fromkeys(texts, "") if are_references else {}
        needed = [kata for kata in texts if kata not in self.wanted and not are_references]
        self.waiting = sorted([*needed, *self.wanted], key=_is_quick)
        self.results: list[KataResult] = []

    def ready(self, known: Callable[[Job], KataResult | None] = lambda job: None) -> Iterator[Job]:
        """The jobs that can start by now, each once, but for those whose result is `known`: they are settled."""
        while now := [k for k in self.waiting if all(p in self.reasons for p in with_prerequisites([k])[:-1])]:
            for kata in now:
                self.waiting.remove(kata)
                stand_ins, note, problem = _stand_ins(kata, self.texts, self.reasons)
                text, trouble = self.texts[kata]
                files = stand_ins | ({kata.file: text} if not trouble else {})
                core, only = (self.core, self.only) if kata in self.wanted else (True, "")
                job = Job(kata, files, trouble or problem, note, core, only, spec_seconds=self.spec_seconds)
                if result := known(job):
                    self.settle(kata, result)
                else:
                    yield job

    def settle(self, kata: Kata, result: KataResult) -> None:
        """A job is done: what builds on its kata can start, and the result counts if it was asked for."""
        self.reasons.setdefault(kata, why_not_core(result))
        if kata in self.wanted:
            self.results.append(result)


def grade(
    katas: Iterable[Kata],
    code: Path,
    *,
    jobs: int = 0,
    core: bool = False,
    spec_seconds: float = 10.0,
    kept: Kept | None = None,
    again: bool = False,
) -> Iterator[KataResult]:
    """Grade the katas against a code folder laid out like `katas/`, several at a time; results come as they finish.

    A kata that builds on earlier ones runs after them, on the submission's own code for each whose core passed and on the
    reference for each whose core did not. Closing the iterator ends every process it started.

    Args:
        kept: where verdicts are looked up, and kept.
        again: run everything, whatever verdicts are on file.
    """
    katas = list(katas)
    texts = {kata: read(kata, code) for kata in with_prerequisites(katas)}
    is_reference = bool(katas) and code.resolve() == (katas[0].root / "solutions").resolve()
    grading = Grading(katas, texts, are_references=is_reference, core=core, spec_seconds=spec_seconds)
    known = kept.find if kept and not again else lambda job: None
    for job, result in run(lambda: grading.ready(known), jobs=jobs, specs_of=katas):
        if kept:
            kept.keep(job, result)
        grading.settle(job.kata, result)
        while grading.results:
            yield grading.results.pop(0)
    yield from grading.results


def why_not_core(result: KataResult) -> str:
    """The first reason why the kata's core is not done, in one line; empty where it is."""
    for exercise in result.exercises:
        if not exercise.stretch and not exercise.solved:
            failure = exercise.first_failure
            line = failure.message.strip().splitlines()[0] if failure and failure.message else "not run"
            return line if line.endswith("not written yet") else f"a spec of {exercise.name} fails"
    return ""


def run(
    jobs_ready: Callable[[], Iterable[Job]] | Iterable[Job], *, jobs: int = 0, specs_of: Iterable[Kata] = (), until: Sequence[int] = ()
) -> Iterator[tuple[Job, KataResult]]:
    """Run jobs in warm workers, at most `jobs` (default: one a core) at a time, and yield each with its result.

    Args:
        jobs_ready: the jobs; or a function that is asked, before each start, which further jobs can run by now.
        specs_of: the katas whose specs the workers are born with, if this is the first run of the process.
        until: file descriptors; as soon as there is something to read from one of them everything under way is given up.
    """
    more = jobs_ready if callable(jobs_ready) else None
    queue = iter(()) if more else iter(jobs_ready)
    limit = jobs or available_cores()
    running: list[_Run] = []
    confine.adopt_orphans()
    children = set(_children())
    with tempfile.TemporaryDirectory(prefix="kata-", dir=_place(), ignore_cleanup_errors=True) as scratch:
        try:
            while True:
                while len(running) < limit:
                    job = next(queue, None)
                    if job is None and more:
                        queue = iter(more())
                        job = next(queue, None)
                    if job is None:
                        break
                    prepare(specs_of or [job.kata])
                    running.append(_Run(job, Path(scratch)))
                if not running:
                    return
                if _wait(running, until):
                    return
                for finished in [r for r in running if r.finished]:
                    running.remove(finished)
                    yield finished.job, finished.result()
        finally:
            for run_ in running:
                run_.kill()
            _reap(set(_children()) - children)


class _Run:
    """One job on its way: its process, what it has reported, and until when the next message is due."""

    def __init__(self, job: Job, scratch: Path):
        self.job = job
        self.folder = Path(tempfile.mkdtemp(dir=scratch))
        for path, text in job.files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text, encoding="utf-8", newline="")
        self.specs: dict[str, list] = {}  # name → [name, exercise, stretch, seconds it may take, reason to skip it]
        self.results: dict[str, SpecResult] = {}
        self.crashed = ""
        self.cpu = 0.0
        self.finished = False
        self._start()
        self.started = time.monotonic()  # the forkserver, which may have had to start first, is not this kata's time

    def _start(self) -> None:
        task = Task(
            self.job.kata, self.folder, self.job.problem, self.job.core, self.job.only, frozenset(self.results),
            self.job.spec_seconds, self.job.seed, self.job.backwards, self.job.order, self.job.stop_at_failure,
            environment=_environment(), key=(key := secrets.token_bytes(32)),
        )  # fmt: skip
        self.key, self.received = key, 0
        context = prepare([self.job.kata])
        self.channel, theirs = context.Pipe(duplex=False)
        has_children = "processes" in catalogue.needs(self.job.kata)  # which Python denies a daemon
        self.process = context.Process(target=perform, args=(task, theirs), daemon=not has_children)
        with _without_main_module():
            self.process.start()
        theirs.close()
        self.phase, self.current, self.done = "starting", "", False
        self._due_in(START_SECONDS)

    def read(self) -> None:
        """Take in one message, or the end of the process."""
        try:
            message = self.channel.recv_bytes(LONGEST_MESSAGE)
            if not secrets.compare_digest(message[:SIGNED], signature(self.key, self.received, message[SIGNED:])):
                raise ValueError("a message that is not the worker's")
            self.received += 1
            self._take(json.loads(message[SIGNED:]))
        except (EOFError, OSError, ValueError, KeyError, TypeError):
            self._ended()

    def overdue(self) -> None:
        """Nothing came in time: kill the process and blame what it was doing."""
        self._ended(killed=True)

    def kill(self) -> None:
        for end in (lambda: os.killpg(self.process.pid, signal.SIGKILL), self.process.kill):
            try:
                end()
            except (ProcessLookupError, PermissionError, AttributeError):  # Windows has no process groups
                pass
        self.process.join(5)
        self.channel.close()

    def result(self) -> KataResult:
        exercises: dict[str, list[SpecResult]] = {}
        stretch = {}
        not_run = "not run: an earlier spec failed" if self._may_stop() else "the worker ended before this spec was run"
        for name, exercise, is_stretch, _, _ in self.specs.values():
            missing = SpecResult(name, "missing", self.crashed or not_run)
            exercises.setdefault(exercise, []).append(self.results.get(name, missing))
            stretch[exercise] = is_stretch
        if not exercises:
            exercises, stretch = self._unstarted()
        shutil.rmtree(self.folder, ignore_errors=True)
        message = "; ".join(part for part in (self.job.note, self.crashed) if part)
        found = tuple(ExerciseResult(name, tuple(specs), stretch[name]) for name, specs in exercises.items())
        return KataResult(self.job.kata.name, found, message, time.monotonic() - self.started, self.cpu)

    def _take(self, message: dict) -> None:
        if changed := message.get("changed"):
            self._void(changed)
            return
        if "specs" in message:
            if not self.specs:
                self.specs = {spec[0]: spec for spec in message["specs"]}
        elif "loading" in message:
            self.phase = "loading"
            self._due_in(self.job.spec_seconds + GRACE)
        elif "loaded" in message:
            self.phase = "between"
            self._due_in(START_SECONDS)
        elif "start" in message:
            self.phase, self.current = "spec", message["start"]
            self._due_in(self.specs[self.current][3] + GRACE)
        elif "result" in message:
            name, status = message["result"], message["status"]
            text = COMMAND.sub(r"\1. ", UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", message["message"]))
            if name in self.specs and name not in self.results and status in ("passed", "failed", "skipped"):
                if status == "skipped":
                    reason = self.specs[name][4]
                    self.results[name] = SpecResult(name, "skipped" if reason else "failed", reason or text)
                else:
                    self.results[name] = SpecResult(name, status, text, float(message["seconds"]))
            self.phase, self.current = "between", ""
            self._due_in(START_SECONDS)
        elif "done" in message:
            self.done, self.cpu = True, float(message["cpu"])
            self._ended()

    def _ended(self, *, killed: bool = False) -> None:
        if not killed:
            self.process.join(1)
        self.kill()
        lost = [name for name in self.specs if name not in self.results]
        if self.done and (not lost or self._may_stop()):
            self.finished = True
            return
        how = self._how_it_ended(killed)
        if self.phase == "loading":
            self.crashed = f"{self.job.kata.file.name}: {how} while it was imported"
            for name in lost:
                self.results[name] = SpecResult(name, "error", self.crashed)
        elif self.current in self.specs:
            self._blame(self.current, how)
            if any(name not in self.results for name in self.specs) and not self._may_stop():
                return self._start()
        elif self.phase == "starting":
            self.crashed = f"{self.job.kata.specs.name} could not be collected: see pytest katas/{self.job.kata.name}"
        else:
            self.crashed = f"the worker {how}"
        self.finished = True

    def _void(self, changed: str) -> None:
        """The code replaced something that judges it: no spec counts, whatever has passed so far."""
        self.crashed = f"the code changes {changed}, which the specs rely on: nothing counts"
        self.results = {name: SpecResult(name, "failed", self.crashed) for name in self.specs}
        self.kill()
        self.finished = True

    def _blame(self, name: str, how: str) -> None:
        """The spec gets an error and the rest of its exercise is not run; other exercises get a worker of their own."""
        exercise = self.specs[name][1]
        self.results[name] = SpecResult(name, "error", f"{exercise}: {how} during this spec")
        for other, (_, owner, *_) in self.specs.items():
            if owner == exercise and other not in self.results:
                self.results[other] = SpecResult(other, "missing", f"not run: {exercise} {how} in an earlier spec")

    def _may_stop(self) -> bool:
        """Whether the job is decided although specs have not been run."""
        return self.job.stop_at_failure and any(r.status not in ("passed", "skipped") for r in self.results.values())

    def _how_it_ended(self, killed: bool) -> str:
        if killed:
            return f"did not stop within {time.monotonic() - self.since:.0f} s and was killed"
        if self.done:
            return "ended the run"
        code = self.process.exitcode
        if code == -signal.SIGKILL:
            return "was killed by the system (out of memory?)"
        if code is not None and code < 0:
            return f"crashed the process ({signal.Signals(-code).name})"
        return f"ended the process (exit code {code})"

    def _unstarted(self) -> tuple[dict, dict]:
        """What to report where not even the list of specs arrived: every exercise, each with one missing spec."""
        listed = [e for e in catalogue.exercises(self.job.kata) if not (self.job.core and e.stretch)]
        specs = {e.name: [SpecResult(e.spec_class, "missing", self.crashed)] for e in listed}
        return specs, {e.name: e.stretch for e in listed}

    def _due_in(self, seconds: float) -> None:
        self.since = time.monotonic()
        self.due = self.since + seconds


def _wait(running: list[_Run], until: Sequence[int]) -> bool:
    """Read what has arrived until a run finishes, and kill whoever is overdue; True if `until` ends it before."""
    while not any(run_.finished for run_ in running):
        channels = {run_.channel: run_ for run_ in running}
        timeout = max(0.0, min(run_.due for run_ in running) - time.monotonic())
        arrived = connection.wait([*channels, *until], timeout)
        if any(descriptor in until for descriptor in arrived):
            return True
        for channel in arrived:
            channels[channel].read()
        now = time.monotonic()
        for run_ in running:
            if not run_.finished and run_.due <= now:
                run_.overdue()
    return False


def with_prerequisites(katas: Iterable[Kata]) -> list[Kata]:
    """The katas and all that they build on, each after what it builds on."""
    order: dict[Kata, None] = {}
    for kata in katas:
        for earlier in with_prerequisites(catalogue.prerequisites(kata)):
            order.setdefault(earlier)
        order.setdefault(kata)
    return list(order)


def _is_quick(kata: Kata) -> bool:
    """No spec asks for more time than others: one that trains does, and katas with such specs go first, as they end last."""
    return kata.specs.is_file() and "mark.timeout(" not in kata.specs.read_text(encoding="utf-8")


def read(kata: Kata, code: Path) -> tuple[str, str]:
    """The text of the kata's file, or the reason why there is none."""
    try:
        return loading.read_source(code / kata.file, within=code), ""
    except loading.LoadFailure as failure:
        return "", str(failure)


def _stand_ins(kata: Kata, texts: Mapping[Kata, tuple[str, str]], reasons: Mapping[Kata, str]) -> tuple[dict[Path, str], str, str]:
    """The files of the earlier katas, a note that says whose they are, and the problem where one can be had from nowhere."""
    files, own, notes, problem = {}, [], [], ""
    for earlier in with_prerequisites([kata])[:-1]:
        reason = reasons[earlier]
        if not reason:
            files[earlier.file] = texts[earlier][0]
            own.append(earlier.name)
        elif earlier.reference.is_file():
            files[earlier.file] = earlier.reference.read_text(encoding="utf-8")
            notes.append(f"builds on the reference of {earlier.name} ({reason})")
        else:
            problem = problem or f"finish {earlier.name} first: {reason}"
    if own:
        notes.insert(0, f"builds on the submission's own {', '.join(own)}")
    return files, "; ".join(notes), problem


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}


def prepare(katas: Iterable[Kata]) -> multiprocessing.context.BaseContext:
    """Start the forkserver, if it is not running, with these katas' specs collected and an environment without secrets.

    Where forking is not safe workers are spawned, each on its own.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    if forkserver._forkserver._forkserver_pid is None:
        context.set_forkserver_preload(["grader.preload"])
        wanted = "\n".join(f"{kata.root}\t{kata.name}" for kata in katas)
        with _environment_of(_environment() | {"OMP_NUM_THREADS": "1", "HOME": _place(), KATAS: wanted}):
            tempfile.tempdir, before = _place(), tempfile.tempdir
            forkserver.ensure_running()
            tempfile.tempdir = before
    return context


def _place() -> str:
    """The folder for temporary files: the system's, or /tmp where the name of that one leaves no room for the name of a socket."""
    place = tempfile.gettempdir()
    return "/tmp" if len(os.fsencode(place)) > LONGEST_PLACE and os.access("/tmp", os.W_OK) else place


def _forget_forkserver() -> None:
    """In a forked process: the forkserver and its helper belong to the parent, so this process has to start its own."""
    server, tracker = forkserver._forkserver, resource_tracker._resource_tracker
    server._forkserver_pid = server._forkserver_alive_fd = server._forkserver_address = None
    tracker._pid = tracker._fd = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_forkserver)


@contextmanager
def _environment_of(environment: dict[str, str]):
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _without_main_module():
    """Workers need nothing of the program that started them; multiprocessing would run it again in each."""
    main = sys.modules["__main__"]
    kept = {name: vars(main).pop(name) for name in ("__spec__", "__file__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(kept)


def _children() -> list[int]:
    """The process ids of this process's children; none where /proc does not tell."""
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listing.read_text().split()] if listing.exists() else []


def _reap(adopted: set[int]) -> None:
    """End what workers left behind: on Linux such processes have become children of this one, in sessions of their own."""
    helpers = {forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid}
    for pid in adopted - helpers:
        try:
            if os.getsid(pid) != os.getsid(0):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
