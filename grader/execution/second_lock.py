"""The second lock: exercises that work are judged again, by specs in one process that ask code in another one.

What the code did to the specs of the first lock, which ran beside it, is worth nothing here.
"""

import secrets
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from grader import printable, protocol
from grader.execution import bare_server, forkserver, orphans, withheld
from grader.execution.follow_up import FollowUp
from grader.execution.jobs import Job
from grader.protocol import Done, Loading, SpecFinished, SpecInfo, SpecStarted, WorkOrder
from grader.results import ExerciseResult, KataResult, SpecResult
from grader.sealed import lists
from grader.sealed.lists import Sealed

GRACE = 5.0  # seconds that a spec may outlast its own limit before both processes are killed
START_SECONDS = 60.0
LONGEST_MESSAGE = 200_000  # bytes
PROBE_SECONDS = 10.0
ATTEMPTS = 2  # with seeds of their own: what a spec asks about a training may by chance not hold
KATA_SECONDS = 600.0
ENDED = "the code under test has ended"
TOO_LONG = f"the kata did not end within {KATA_SECONDS:.0f} s"
APART = "passes beside the specs, and fails when they ask from another process"


@dataclass(frozen=True)
class Round:
    """Specs that ask the same code: the learner's own, or with the reference's for the names in the plan."""

    specs: tuple[str, ...]
    plan: FollowUp | None
    attempts: int


class SecondLock:
    """The second part of a job that has run.

    Args:
        job: what has run.
        scratch: a folder for the job's files.
        result: what it came to.
        specs: its specs, by name.
        helped: of exercises that work with a reference's code beside them, how.
        sealed: which of the specs judge from another process.
        attempts: how often a spec that fails may ask, each time with another seed.
    """

    worker: forkserver.Worker  # the judge

    def __init__(
        self,
        job: Job,
        scratch: Path,
        result: KataResult,
        specs: Mapping[str, SpecInfo],
        helped: Mapping[str, FollowUp],
        sealed: Sealed,
        attempts: int = ATTEMPTS,
    ):
        self.job, self.scratch, self.first, self.sealed = job, scratch, result, sealed
        self.probes = {lists.probe_name(name): name for name in lists.probed(job.kata)}
        asks = {name: _probe(name, exercise) for name, exercise in self.probes.items()}
        self.specs = {**specs, **asks}
        works = {exercise.name for exercise in result.exercises if exercise.works}
        plans: dict[FollowUp | None, list[str]] = {}
        for name, spec in self.specs.items():
            if spec.exercise in works and not spec.edge and not spec.skip_reason and (name in sealed or name in asks):
                plans.setdefault(helped.get(spec.exercise), []).append(name)
        self.rounds = [Round(tuple(names), plan, attempts) for plan, names in plans.items()]
        self.passed: set[str] = set()
        self.failed: dict[str, SpecResult] = {}
        self.cpu_seconds, self.started = 0.0, time.monotonic()
        self.finished = not self.rounds
        if self.rounds:
            self._start()

    def read(self) -> None:
        """Take in one message from the judge, or its end."""
        try:
            message = protocol.decode(self.worker.channel.recv_bytes(LONGEST_MESSAGE))
        except (EOFError, OSError, ValueError):
            return self._end("the judge has ended")
        match message:
            case Loading():
                self._due_in(self.job.options.spec_seconds + GRACE)
            case SpecStarted(name):
                self.current = name
                self._due_in(self.specs[name].seconds + GRACE)
            case SpecFinished(name, status) if name in self.unasked:
                self.current = ""
                self.unasked.discard(name)
                if status == "passed":
                    self.passed.add(name)
                else:
                    self.failing[name] = self._failure(message)
                self._due_in(START_SECONDS)
            case Done(cpu_seconds):
                self.cpu_seconds += cpu_seconds
                self._end("")
            case _:
                self._due_in(START_SECONDS)

    def check(self) -> None:
        """End both processes when a message is late."""
        if self.due <= time.monotonic():
            self._end("no answer came in time")

    def kill(self) -> None:
        """Kill the judge, the code under test, and every process that it started."""
        orphans.end_tree(self.worker.process)
        self.worker.channel.close()
        bare_server.end_worker(self.code)

    def result(self) -> KataResult:
        """The job's result: an exercise that fails here has no point."""
        exercises = tuple(map(self._sealed, self.first.exercises))
        seconds = self.first.seconds + time.monotonic() - self.started
        return replace(
            self.first, exercises=exercises, seconds=seconds, cpu_seconds=self.first.cpu_seconds + self.cpu_seconds
        )

    def _start(self) -> None:
        """Start the first of the rounds that are left, each in processes of its own and with another seed."""
        self.round = self.rounds.pop(0)
        self.unasked = set(self.round.specs)
        self.failing: dict[str, SpecResult] = {}
        self.current = ""
        job, plan = self.job, self.round.plan
        shared = Path(tempfile.mkdtemp(dir=self.scratch))
        ours, theirs = forkserver.pipe()
        with ours, theirs:
            self.code = bare_server.start_worker(
                job.kata, self._folder(plan), shared, theirs.fileno(), plan.replaced if plan else ()
            )
            self.worker = forkserver.start_worker(
                WorkOrder(
                    job.kata,
                    shared,
                    replace(job.options, only=self.round.specs, seed=secrets.randbelow(1 << 31)),
                    forkserver.environment() | bare_server.SURROUNDINGS,
                    pipe=ours,
                    probes=tuple(self.probes[name] for name in self.round.specs if name in self.probes),
                    writing=frozenset(filter(self.sealed.writes, self.round.specs)),
                )
            )
        self._due_in(START_SECONDS)

    def _folder(self, plan: FollowUp | None) -> Path:
        """A new folder with the files as they were handed in, whatever the code has written meanwhile."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        files = dict(self.job.files)
        track = self.job.kata.folder.parent
        if (track / "__init__.py").is_file():
            files |= {Path(track.name, given.name): given.read_text(encoding="utf-8") for given in track.glob("*.py")}
        if plan:
            files[Path("reference.py")] = plan.reference
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8", newline="")
        return folder

    def _end(self, problem: str) -> None:
        """End a round. Specs that it did not come to ask in another one, and those that failed once more."""
        self.kill()
        if self.current or len(self.unasked) == len(self.round.specs):
            name = self.current or self.round.specs[0]
            self.unasked.discard(name)
            self.failing[name] = self._failure(SpecFinished(name, "failed", problem or ENDED, 0.0))
        if self.round.attempts > 1 and self.failing:
            self.rounds.append(replace(self.round, specs=tuple(self.failing), attempts=self.round.attempts - 1))
        else:
            self.failed |= self.failing
        failed = {self.specs[name].exercise for name in self.failed}
        if rest := tuple(name for name in self.round.specs if name in self.unasked):
            self.rounds.append(replace(self.round, specs=rest))
        self.rounds = [one for one in self.rounds if any(self.specs[name].exercise not in failed for name in one.specs)]
        if self.rounds and time.monotonic() - self.started < KATA_SECONDS:
            return self._start()
        for name in [name for one in self.rounds for name in one.specs]:
            self.failed[name] = self._failure(SpecFinished(name, "failed", TOO_LONG, 0.0))
        self.finished = True

    def _failure(self, message: SpecFinished) -> SpecResult:
        spec = self.specs[message.name]
        if self.round.plan or self.job.stand_ins:
            text = withheld.told(self.job.kata, spec, message)
        else:
            text = printable.text(message.message)
        return SpecResult(spec.name, "failed", f"{APART}\n\n{text}", message.seconds, spec.edge, spec.line)

    def _sealed(self, exercise: ExerciseResult) -> ExerciseResult:
        """The exercise's result with what came of it here."""
        probes = [name for name, probed in self.probes.items() if probed == exercise.name]
        specs = tuple(self.failed.get(spec.name, spec) for spec in exercise.specs)
        specs += tuple(self.failed[name] for name in probes if name in self.failed)
        asked = {*probes, *(spec.name for spec in specs)} & (self.passed | self.failed.keys())
        if asked:
            return replace(exercise, specs=specs, sealed="passed" if asked <= self.passed else "failed")
        return replace(exercise, sealed="unsealed") if exercise.works else exercise

    def _due_in(self, seconds: float) -> None:
        self.due = time.monotonic() + seconds


def _probe(name: str, exercise: str) -> SpecInfo:
    """A probe, as if it were a spec."""
    return SpecInfo(name, exercise, PROBE_SECONDS, "", edge=False, line=0, says="A probe compares with the reference.")
