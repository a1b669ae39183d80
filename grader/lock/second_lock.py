"""The second lock: exercises that work are judged again, by specs in one process that ask code in another one.

What the code did to the specs of the first lock, which ran beside it, is worth nothing here.
"""

import secrets
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

from grader import printable, protocol
from grader.course import grafts
from grader.course.description import Exercise
from grader.isolation import sandbox, usage
from grader.isolation.usage import OF_KATA, OF_START, Limit, Stopwatch, Used, of_spec
from grader.lock import bare_server, lists, withheld
from grader.lock.lists import Sealed
from grader.protocol import Done, Loading, SpecFinished, SpecInfo, SpecStarted, WorkOrder
from grader.results import TOO_BUSY, ExerciseResult, KataResult, Seal, SpecResult, Status
from grader.workers import folders, forkserver, jobs, orphans
from grader.workers.jobs import Job
from grader.workers.servers import Process

PATIENCE = 3  # a spec's time limit here, in multiples of that in one process
GRACE = 5.0  # seconds that a spec may outlast that limit before both processes are killed
LONGEST_MESSAGE = 200_000  # bytes
PROBE_SECONDS = 10.0
ATTEMPTS = 2  # with seeds of their own: what a spec asks about a training may by chance not hold
ENDED = "the code under test has ended"
NO_ANSWER = "no answer came in time"
JUDGE_ENDED = "the second lock has ended, grade again"
TOO_LONG = f"the kata used its {OF_KATA.computing:.0f} s of CPU, or waited as long"
NOT_JUDGED = f"{TOO_BUSY}: grade again"
APART = "passes beside the specs, and fails when they ask from another process"


@dataclass(frozen=True)
class Round:
    """Specs that ask the same code: the learner's own, or with the reference's for some names."""

    specs: tuple[str, ...]
    names: tuple[str, ...]
    attempts: int


class SecondLock:
    """The second part of a job that has run.

    Args:
        job: what has run.
        scratch: a folder for the job's files.
        result: what it came to.
        specs: its specs, by name.
        helped: of exercises that work with a reference's code beside them, the names that it defines.
        sealed: which of the specs judge from another process.
        attempts: how often a spec that fails may ask, each time with another seed.
    """

    worker: forkserver.Worker  # the judge
    folder: Path  # of a round: the code and what is shared with the judge
    looked: float  # when that folder and the whole lock's time were looked at last
    watch: Stopwatch  # of what is expected next

    def __init__(
        self,
        job: Job,
        scratch: Path,
        result: KataResult,
        specs: Mapping[str, SpecInfo],
        helped: Mapping[str, tuple[str, ...]],
        sealed: Sealed,
        attempts: int = ATTEMPTS,
    ):
        self.job, self.scratch, self.first, self.sealed = job, scratch, result, sealed
        self.probes = {lists.probe_name(name): name for name in lists.probed(job.kata)}
        asks = {name: _probe(name, job.kata.exercise(exercise)) for name, exercise in self.probes.items()}
        self.specs = {**specs, **asks}
        works = {exercise.name for exercise in result.exercises if exercise.works}
        broken = {exercise.owner for exercise in job.kata.exercises if exercise.name not in works}
        works -= job.kata.description.unsealed.keys()
        self.grafts: dict[str, tuple[str, ...]] = {}  # specs to ask → names whose code is the reference's meanwhile
        for name, spec in self.specs.items():
            if spec.exercise in works and not spec.edge and not spec.skip_reason and (name in sealed or name in asks):
                used = {*helped.get(spec.exercise, ())}
                if job.kata.reference.is_file():  # what is not known to work could say whatever the exercise wants
                    used.update(grafts.needed(job.kata, job.kata.exercise(spec.exercise), broken))
                self.grafts[name] = tuple(sorted(used))
        self.attempts = attempts
        self.rounds = self._rounds(self.grafts)
        self.patient = "processes" in job.kata.description.needs  # by chance, two processes may not meet in time
        self.passed: set[str] = set()
        self.failed: dict[str, SpecResult] = {}
        self.bans: set[str] = set()  # exercises with a spec that forbids functions
        self.cpu_seconds, self.started = 0.0, time.monotonic()
        self.lost = ""  # why the grader cannot go on with it
        self.finished = not self.rounds
        self.processes: list[Process | BaseProcess] = []
        self.whole, self.reached = Stopwatch(OF_KATA, self._used), ""
        if self.rounds:
            self._start()

    def read(self) -> None:
        """Take in one message from the judge, or its end."""
        try:
            message = protocol.decode(self.worker.channel.recv_bytes(LONGEST_MESSAGE))
        except (EOFError, OSError, ValueError):
            return self._end(JUDGE_ENDED)
        match message:
            case Loading():
                self._allow(of_spec(PATIENCE * self.job.options.spec_seconds + GRACE))
            case SpecStarted(name):
                self.current = name
                self._allow(of_spec(PATIENCE * self.specs[name].seconds + GRACE))
            case SpecFinished(name) if name in self.unasked:
                self.current = ""
                self._take(message)
                self._allow(OF_START)
            case Done(cpu_seconds):
                self.cpu_seconds += cpu_seconds
                self._end(ENDED)
            case _:
                self._allow(OF_START)

    def check(self) -> None:
        """End both processes when a message is late or a folder is full."""
        now = time.monotonic()
        if self.watch.due <= now and (reached := self.watch.look()):
            return self._end(NOT_JUDGED if reached == "clock" else NO_ANSWER)
        if self.looked + folders.LOOK_SECONDS <= now:
            self.looked, self.reached = now, self.whole.look()
            if self.reached:
                self._end(NOT_JUDGED if self.reached == "clock" else TOO_LONG)
            elif folders.is_full(self.folder):
                self._end(folders.FILLS)

    def kill(self) -> None:
        """Kill the judge, the code under test, and every process that it started."""
        orphans.end_tree(self.worker.process)
        self.worker.channel.close()
        orphans.end_tree(self.code)
        folders.remove(self.folder)

    def result(self) -> KataResult:
        """The job's result: an exercise that fails here has no point."""
        return replace(
            self.first,
            exercises=tuple(map(self._sealed, self.first.exercises)),
            seconds=self.first.seconds + time.monotonic() - self.started,
            cpu_seconds=self.first.cpu_seconds + self.cpu_seconds,
        )

    def _start(self) -> None:
        """Start the first of the rounds that are left, each in processes of its own and with another seed."""
        self.round = self.rounds.pop(0)
        self.unasked, self.current, self.looked = set(self.round.specs), "", 0.0
        self.again: list[str] = []
        self.folder = Path(tempfile.mkdtemp(dir=self.scratch))
        code, shared = self.folder / "code", self.folder / "shared"
        shared.mkdir()
        self._write_code(code)
        job, options = self.job, self.job.options
        seconds, seed = PATIENCE * options.spec_seconds, self._drawn_seed()
        ours, theirs = forkserver.pipe()
        order = WorkOrder(
            job.kata,
            shared,
            replace(options, only=self.round.specs, seed=seed, spec_seconds=seconds),
            forkserver.environment() | bare_server.SURROUNDINGS,
            pipe=ours,
            probes=tuple(self.probes[name] for name in self.round.specs if name in self.probes),
            writing=frozenset(filter(self.sealed.writes, self.round.specs)),
            apart=sandbox.is_apart(job.kata.description.needs),
        )
        with ours, theirs:
            try:
                self.code = self._start_code(code, shared, theirs.fileno())
                self.worker = forkserver.start_worker(order)
                self.processes = [self.worker.process, self.code]
            except OSError as problem:
                return self._give_up(f"the second lock could not be asked, grade again: {problem}")
        self._allow(OF_START)

    def _drawn_seed(self) -> int:
        return secrets.randbelow(1 << 31)

    def _start_code(self, code: Path, shared: Path, pipe: int) -> Process:
        return bare_server.start_worker(self.job.kata, code, shared, pipe)

    def _give_up(self, reason: str) -> None:
        """Leave the specs that are left without a verdict: this machine is to blame, not the code."""
        for name in [name for one in (self.round, *self.rounds) for name in one.specs]:
            self.failed[name] = self._lost(name, reason)
        self.finished = True

    def _write_code(self, folder: Path) -> None:
        """Write the files as they were handed in, whatever the code has written meanwhile."""
        files = dict(self.job.files)
        track = self.job.kata.folder.parent
        if (track / "__init__.py").is_file():
            files |= {Path(track.name, given.name): given.read_text(encoding="utf-8") for given in track.glob("*.py")}
        if self.round.names:
            own = self.job.kata.file
            files[own] = grafts.grafted(self.job.kata, files[own], self.round.names) or files[own]
        jobs.write(files, folder)

    def _take(self, message: SpecFinished) -> None:
        """Take in the verdict of a spec. One that ended the code, or took too long, asks only once."""
        name, spec = message.name, self.specs[message.name]
        self.unasked.discard(name)
        if message.bans:
            self.bans.add(spec.exercise)
        if message.status == "passed":
            self.passed.add(name)
        elif self.round.attempts > 1 and (self.patient or message.error not in ("Lost", "TimedOut")):
            self.again.append(name)
        elif self.round.names or self.job.stand_ins:
            self._fail(name, withheld.told(self.job, spec, message))
        else:
            told = printable.text(message.message)
            self._fail(name, f"{spec.says}\n\n{told}" if name in self.probes else told)

    def _fail(self, name: str, why: str, status: Status = "failed") -> None:
        """Note a spec that has failed; with "error" a busy machine may be the reason, and the result is not kept."""
        spec = self.specs[name]
        self.failed[name] = SpecResult(name, status, f"{APART}\n\n{why}", 0.0, spec.edge, spec.line)

    def _lost(self, name: str, reason: str) -> SpecResult:
        """A spec without a verdict: the machine or the grader is to blame."""
        spec = self.specs[name]
        return SpecResult(name, "not graded", reason, 0.0, spec.edge, spec.line)

    def _end(self, problem: str) -> None:
        """End a round. In others, specs ask that it did not come to, and those that failed ask once more."""
        self.kill()
        lost = {self.current} if self.current else self.unasked if self.unasked == set(self.round.specs) else set()
        if self.patient and self.round.attempts > 1:
            self.again += lost
        for name in lost.difference(self.again):
            if problem in (JUDGE_ENDED, NOT_JUDGED):
                self.failed[name] = self._lost(name, problem)
            else:
                self._fail(name, problem, "error")
        self.unasked -= lost
        rest = tuple(name for name in self.round.specs if name in self.unasked)
        self.rounds.append(replace(self.round, specs=rest))
        self.rounds.append(replace(self.round, specs=tuple(self.again), attempts=1))
        failed = {self.specs[name].exercise for name in self.failed}
        left = [[name for name in one.specs if self.specs[name].exercise not in failed] for one in self.rounds]
        self.rounds = [replace(one, specs=tuple(names)) for one, names in zip(self.rounds, left, strict=True) if names]
        if not self.rounds and not self.reached:
            self.rounds = self._rounds(self._users_of_failed())
        if self.rounds and not self.reached:
            return self._start()
        for name in [name for one in self.rounds for name in one.specs]:
            if self.reached == "clock":
                self.failed[name] = self._lost(name, NOT_JUDGED)
            else:
                self._fail(name, TOO_LONG, "error")
        self.finished = True

    def _rounds(self, names: Iterable[str]) -> list[Round]:
        """The rounds in which to ask these specs: one for each text of the code."""
        rounds: dict[tuple[str, ...], list[str]] = {}
        for name in names:
            rounds.setdefault(self.grafts[name], []).append(name)
        return [Round(tuple(specs), grafted, self.attempts) for grafted, specs in rounds.items()]

    def _users_of_failed(self) -> list[str]:
        """The specs to ask again, with the reference's code for what their exercise uses and has failed here.

        Their judge took that code's word for what they compare with, or they failed with it.
        """
        kata, again = self.job.kata, []
        failed = {kata.exercise(self.specs[name].exercise).owner for name in self.failed}
        for name, grafted in self.grafts.items():
            new = set(grafts.needed(kata, kata.exercise(self.specs[name].exercise), failed)).difference(grafted)
            if new and kata.reference.is_file():
                self.grafts[name] = (*grafted, *sorted(new))
                self.passed.discard(name)
                self.failed.pop(name, None)
                again.append(name)
            elif new and name in self.passed:
                self.passed.remove(name)
                self._fail(name, f"waits for {', '.join(sorted(new))}")
        return again

    def _sealed(self, exercise: ExerciseResult) -> ExerciseResult:
        """The exercise's result with what came of it here."""
        probes = [name for name, probed in self.probes.items() if probed == exercise.name]
        specs = tuple(self.failed.get(spec.name, spec) for spec in exercise.specs)
        specs += tuple(self.failed[name] for name in probes if name in self.failed)
        asked = {*probes, *(spec.name for spec in specs)} & (self.passed | self.failed.keys())
        if asked:
            seal: Seal = "passed" if asked <= self.passed else "failed"
            return replace(exercise, specs=specs, sealed=seal, but_for=self._left(exercise, asked))
        if not exercise.works:
            return exercise
        reason = self.job.kata.description.unsealed.get(exercise.name, "no spec of it can ask from another process")
        return replace(exercise, sealed="unsealed", but_for=reason)

    def _left(self, exercise: ExerciseResult, asked: set[str]) -> str:
        """What the second lock has not judged of the exercise, as a phrase."""
        specs = [spec.name for spec in exercise.ideas if spec.status == "passed" and not spec.hidden]
        measured = self.job.kata.description.measured.get(exercise.name)
        left = [f"measured {measured}"] if measured else []
        if exercise.name in self.bans:
            left.append("what must not be used")
        if number := len(set(specs) - asked):
            left.append(f"{number} of {len(specs)} specs")
        return " and ".join(", ".join(left).rsplit(", ", 1))

    def _allow(self, limit: Limit) -> None:
        """Expect the next message within these limits, which count for judge and code together."""
        self.watch = Stopwatch(limit, self._used)

    def _used(self) -> Used | None:
        pids = [process.pid for process in self.processes if process.pid]
        return usage.of_processes(set().union(*map(orphans.tree, pids)))


def _probe(name: str, exercise: Exercise) -> SpecInfo:
    """A probe, as if it were a spec."""
    says = f"{exercise.name}, {exercise.asks}: for drawn inputs it must return what the reference returns."
    return SpecInfo(name, exercise.name, PROBE_SECONDS, "", edge=False, line=0, says=says)
