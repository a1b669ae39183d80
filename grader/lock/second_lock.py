"""The second lock: exercises that work are judged again, by specs in one process that
ask code in another one.

What the code did to the specs of the first lock, which ran beside it, is worth
nothing here.
"""

import secrets
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from grader import printable
from grader.course import grafts
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.failure import Failure
from grader.isolation import namespaces, sandbox
from grader.isolation.usage import OF_KATA, Stopwatch, Used
from grader.lock import asking, bare_server, lists, withheld
from grader.lock.asking import NO_ANSWER, NO_TIME, Asking, End, Round
from grader.lock.lists import Sealed
from grader.protocol import SpecFinished, SpecInfo, WorkOrder
from grader.reports.words import listed
from grader.results import ExerciseResult, KataResult, Seal, SpecResult, Status
from grader.workers import forkserver, jobs, orphans
from grader.workers.folders import LOOK_SECONDS
from grader.workers.jobs import Job
from grader.workers.servers import Process

PROBE_SECONDS = 10.0
# seconds: of a probe, and for what every spec or probe sets up
PROBE_TOOK, CROSSING = 0.03, 0.004
# of specs, as the first lock measured them, for which processes of their own are
# worth it
ROUND_SECONDS = 0.4
TOO_LONG = End(f"the kata used its {OF_KATA.computing:.0f} s of CPU, or waited as long")
NOT_ASKED = "the second lock could not be asked, grade again"
JUDGE = "grader.lock.judge"
APART = "passes beside the specs, and fails when they ask from another process"

forkserver.MODULES.append(JUDGE)


class Effort(NamedTuple):
    """What may be spent.

    Attributes:
        attempts: how often a spec that fails may ask, each time with another seed: what
            it asks about a training may by chance not hold.
        at_a_time: rounds that run in parallel.
        may_fail: a process that is killed from outside ends the lock: whoever runs it
            tries once more.
    """

    attempts: int = 2
    at_a_time: int = 1
    may_fail: bool = False


class First(NamedTuple):
    """What came of a job in the first lock.

    Attributes:
        result: what it came to.
        specs: its specs, by name.
        files: its texts, but for statements whose time was up.
        helped: of exercises that work with a reference's code beside them, the names
            that it defines.
    """

    result: KataResult
    specs: Mapping[str, SpecInfo]
    files: Mapping[Path, str]
    helped: Mapping[str, tuple[str, ...]] = {}


def once(kata: Kata) -> Effort:
    """One attempt per spec, but for katas with processes: on a busy machine two may by
    chance not meet in time.
    """
    return Effort() if "processes" in kata.description.needs else Effort(attempts=1)


class SecondLock:
    """The second part of a job that has run.

    Args:
        job: what has run.
        scratch: a folder for the job's files.
        first: what came of it in the first lock.
        sealed: which of the specs judge from another process.
        effort: attempts per spec, and rounds in parallel.
    """

    def __init__(
        self, job: Job, scratch: Path, first: First, sealed: Sealed, effort: Effort
    ):
        self.job, self.scratch, self.sealed = job, scratch, sealed
        result, specs, self.files, helped = first
        self.first = result
        self.probes = {lists.probe_name(name): name for name in lists.probed(job.kata)}
        asks = {
            name: _probe(name, job.kata.exercise(exercise))
            for name, exercise in self.probes.items()
        }
        self.specs = {**specs, **asks}
        works = {
            exercise.name for exercise in result.exercises if exercise.so_far.point
        }
        broken = {
            exercise.owner
            for exercise in job.kata.exercises
            if exercise.name not in works
        }
        works -= job.kata.description.unsealed.keys()
        # specs to ask → names whose code is the reference's meanwhile
        self.grafts: dict[str, tuple[str, ...]] = {}
        for name, spec in self.specs.items():
            if (
                spec.exercise in works
                and not spec.edge
                and not spec.skip_reason
                and (name in sealed or name in asks)
            ):
                used = {*helped.get(spec.exercise, ())}
                # what is not known to work could say whatever the exercise wants
                if job.kata.reference.is_file():
                    used.update(
                        grafts.needed(
                            job.kata, job.kata.exercise(spec.exercise), broken
                        )
                    )
                self.grafts[name] = tuple(sorted(used))
        self.attempts, self.at_a_time, self.may_fail = effort
        self.disturbed = False  # it has failed so
        # by chance, two processes may not meet in time
        self.patient = "processes" in job.kata.description.needs
        self.passed: set[str] = set()
        self.failed: dict[str, SpecResult] = {}
        self.bans: set[str] = set()  # exercises with a spec that forbids functions
        self.cpu_seconds, self.started = 0.0, time.monotonic()
        self.fault = ""  # why the grader cannot go on with it
        self.finished = False
        self.over: End | None = None  # why no more rounds are asked
        self.running: list[Asking] = []
        self.rounds = self._rounds(self.grafts)
        self.whole, self.looked = Stopwatch(OF_KATA, self._used), self.started
        self._go_on()

    @property
    def channels(self) -> list[Connection]:
        """Where messages arrive."""
        return [one.judge.channel for one in self.running]

    @property
    def due(self) -> float:
        """When to check next, by `time.monotonic`."""
        return min(one.watch.due for one in self.running)

    def read(self, channel: Connection) -> None:
        """Take in one message from a judge, or its end."""
        for one in [one for one in self.running if one.judge.channel is channel]:
            if verdict := one.read():
                self._take(one, verdict)
            if one.ended:
                self._end(one, one.ended)

    def check(self) -> None:
        """End a round when a message is late or its folder is full, and all when the
        whole lock takes too long.
        """
        now = time.monotonic()
        if self.looked + LOOK_SECONDS <= now:
            self.looked = now
            if reached := self.whole.look():
                self.over = NO_TIME if reached == "clock" else TOO_LONG
        for one in [*self.running]:
            one.check()
            one.ended = one.ended or self.over
            if one.ended and not self.disturbed:
                self._end(one, one.ended)

    def kill(self) -> None:
        """Kill the judges, the code under test, and every process that it started."""
        for one in self.running:
            one.kill()

    def result(self) -> KataResult:
        """The job's result: an exercise that fails here has no point."""
        return replace(
            self.first,
            exercises=tuple(map(self._sealed, self.first.exercises)),
            seconds=self.first.seconds + time.monotonic() - self.started,
            cpu_seconds=self.first.cpu_seconds + self.cpu_seconds,
        )

    def _go_on(self) -> None:
        """Start rounds that are left, each in processes of its own and with
        another seed.
        """
        failed = {self.specs[name].exercise for name in self.failed}
        left = [
            [name for name in one.specs if self.specs[name].exercise not in failed]
            for one in self.rounds
        ]
        self.rounds = [
            replace(one, specs=tuple(names))
            for one, names in zip(self.rounds, left, strict=True)
            if names
        ]
        if not self.rounds and not self.running and not self.over:
            self.rounds = self._rounds(self._users_of_failed())
        while self.rounds and not self.over and len(self.running) < self.at_a_time:
            one = self.rounds.pop(0)
            try:
                self.running.append(self._start(one))
            except OSError as problem:
                self.rounds.insert(0, one)
                # none: what is left stays without a verdict
                self.at_a_time = len(self.running)
                if not self.running:
                    self.disturbed = self.may_fail
                    self.over = End(f"{NOT_ASKED}: {problem}", is_ours=True)
        if self.over and not self.running:
            self._give_up(self.over)
        self.finished = not self.running

    def _start(self, round: Round) -> Asking:
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        code = folder / asking.CODE
        shared = sandbox.shared_folder(folder / asking.SHARED)
        self._write_code(code, round.names)
        job, options = self.job, self.job.options
        ours, theirs = forkserver.pipe()
        order = WorkOrder(
            job.kata,
            shared,
            replace(
                options,
                only=round.specs,
                seed=self._drawn_seed(),
                spec_seconds=asking.PATIENCE * options.spec_seconds,
            ),
            forkserver.environment() | forkserver.ONE_THREAD,
            pipe=ours,
            judge=JUDGE,
            probes=tuple(
                self.probes[name] for name in round.specs if name in self.probes
            ),
            writing=frozenset(filter(self.sealed.writes, round.specs)),
            apart=namespaces.are_allowed(),
        )
        with ours, theirs:
            worker = self._start_code(round, code, shared, theirs.fileno())
            try:
                judge = forkserver.start_worker(order)
            except OSError:
                orphans.end_tree(worker)
                raise
        return Asking(
            round,
            {name: self.specs[name] for name in round.specs},
            options.spec_seconds,
            judge,
            worker,
            folder,
            job.kata.description.needs,
        )

    def _drawn_seed(self) -> int:
        return secrets.randbelow(1 << 31)

    def _start_code(self, round: Round, code: Path, shared: Path, pipe: int) -> Process:
        return bare_server.start_worker(self.job.kata, code, shared, pipe)

    def _give_up(self, end: End) -> None:
        """End the specs of the rounds that are left."""
        for name in [name for one in self.rounds for name in one.specs]:
            self._end_without_verdict(name, end)
        self.rounds = []

    def _write_code(self, folder: Path, names: tuple[str, ...]) -> None:
        """Write the files as they were handed in, whatever the code has
        written meanwhile.
        """
        files = dict(self.files)
        track = self.job.kata.folder.parent
        if (track / "__init__.py").is_file():
            files |= {
                Path(track.name, given.name): given.read_text(encoding="utf-8")
                for given in track.glob("*.py")
            }
        if names:
            own = self.job.kata.file
            files[own] = grafts.grafted(self.job.kata, files[own], names) or files[own]
        jobs.write(files, folder)

    def _take(self, one: Asking, message: SpecFinished) -> None:
        """Take in the verdict of a spec. One that ended the code, or took too long,
        asks only once.

        Where the code has ended, a busy machine may be the reason, too.
        """
        name, spec = message.name, self.specs[message.name]
        if message.bans:
            self.bans.add(spec.exercise)
        if message.status == "passed":
            self.passed.add(name)
        elif one.round.attempts > 1 and (
            self.patient or message.error not in ("Lost", "TimedOut")
        ):
            one.again.append(name)
        else:
            status: Status = "error" if message.error == "Lost" else "failed"
            if one.round.names or self.job.stand_ins:
                return self._fail(name, withheld.told(self.job, spec, message), status)
            found = (message.failure or Failure("not run", "")).each(printable.text)
            if name in self.probes and found.place:
                found = replace(found, reason=spec.says)
            elif name in self.probes:
                found = replace(found, head=spec.says)
            self._fail(name, found, status)

    def _fail(self, name: str, why: Failure, status: Status = "failed") -> None:
        """Note a spec that has failed; with "error" a busy machine may be the reason,
        and the result is not kept.
        """
        spec = self.specs[name]
        found = replace(why, head="\n\n".join(filter(None, [APART, why.head])))
        self.failed[name] = SpecResult(
            name, status, "", 0.0, spec.edge, spec.line, failure=found
        )

    def _end_without_verdict(self, name: str, end: End) -> None:
        """Note a spec that has not ended by itself: it fails, but where the machine or
        the grader is to blame.
        """
        spec = self.specs[name]
        if end.is_ours:
            self.failed[name] = SpecResult(
                name, "not graded", end.why, 0.0, spec.edge, spec.line
            )
        else:
            self._fail(name, Failure("killed", end.why), "error")

    def _end(self, one: Asking, end: End) -> None:
        """End a round. In others, specs ask that it did not come to, and those that
        failed ask once more.
        """
        if self.may_fail and one.is_disturbed():
            self.kill()
            self.running = []
            self.disturbed = self.finished = True
            return
        one.kill()
        self.running.remove(one)
        self.cpu_seconds += one.cpu_seconds
        whole = set(one.round.specs)
        lost = (
            {one.current}
            if one.current
            else one.unasked
            if one.unasked == whole
            else set()
        )
        if self.patient and one.round.attempts > 1:
            one.again += lost
        for name in lost.difference(one.again):
            self._end_without_verdict(name, end)
        if end == NO_ANSWER and not one.is_loaded:  # and no other round would get one
            self.over = self.over or NO_ANSWER
        rest = tuple(name for name in one.round.specs if name in one.unasked - lost)
        self.rounds.append(replace(one.round, specs=rest))
        self.rounds.append(replace(one.round, specs=tuple(one.again), attempts=1))
        self._go_on()

    def _rounds(self, names: Iterable[str]) -> list[Round]:
        """The rounds in which to ask these specs: for each text of the code one, or
        several in parallel.
        """
        texts: dict[tuple[str, ...], list[str]] = {}
        for name in names:
            texts.setdefault(self.grafts[name], []).append(name)
        return [
            Round(tuple(specs), grafted, self.attempts)
            for grafted, all_ in texts.items()
            for specs in self._shared(all_)
        ]

    def _shared(self, names: list[str]) -> list[list[str]]:
        """Share specs out to rounds that take about as long as each other."""
        took = {
            spec.name: spec.seconds
            for exercise in self.first.exercises
            for spec in exercise.specs
        }
        number = min(
            self.at_a_time,
            1 + int(sum(took.get(name, 0.0) for name in names) / ROUND_SECONDS),
        )
        rounds: list[list[str]] = [[] for _ in range(number)]
        loads = [0.0] * number
        for name in sorted(names, key=lambda name: -took.get(name, PROBE_TOOK)):
            least = loads.index(min(loads))
            rounds[least].append(name)
            loads[least] += took.get(name, PROBE_TOOK) + CROSSING
        return [one for one in rounds if one]

    def _users_of_failed(self) -> list[str]:
        """The specs to ask again, with the reference's code for what their exercise
        uses and has failed here.

        Their judge took that code's word for what they compare with, or they failed
        with it.
        """
        kata, again = self.job.kata, []
        failed = {
            kata.exercise(self.specs[name].exercise).owner for name in self.failed
        }
        for name, grafted in self.grafts.items():
            new = set(
                grafts.needed(kata, kata.exercise(self.specs[name].exercise), failed)
            ).difference(grafted)
            if new and kata.reference.is_file():
                self.grafts[name] = (*grafted, *sorted(new))
                self.passed.discard(name)
                self.failed.pop(name, None)
                again.append(name)
            elif new and name in self.passed:
                self.passed.remove(name)
                names = ", ".join(sorted(new))
                self._fail(name, Failure("waits for", f"waits for {names}", names))
        return again

    def _sealed(self, exercise: ExerciseResult) -> ExerciseResult:
        """The exercise's result with what came of it here."""
        probes = [
            name for name, probed in self.probes.items() if probed == exercise.name
        ]
        specs = tuple(self.failed.get(spec.name, spec) for spec in exercise.specs)
        specs += tuple(self.failed[name] for name in probes if name in self.failed)
        asked = {*probes, *(spec.name for spec in specs)} & (
            self.passed | self.failed.keys()
        )
        if asked:
            seal: Seal = "passed" if asked <= self.passed else "failed"
            return replace(
                exercise, specs=specs, sealed=seal, but_for=self._left(exercise, asked)
            )
        if not exercise.so_far.point:
            return exercise
        reason = self.job.kata.description.unsealed.get(
            exercise.name, "no spec of it can ask from another process"
        )
        return replace(exercise, sealed="unsealed", but_for=reason)

    def _left(self, exercise: ExerciseResult, asked: set[str]) -> str:
        """What the second lock has not judged of the exercise, as a phrase."""
        specs = [
            spec.name
            for spec in exercise.ideas
            if spec.status == "passed" and not spec.hidden
        ]
        measured = self.job.kata.description.measured.get(exercise.name)
        left = [f"measured {measured}"] if measured else []
        if exercise.name in self.bans:
            left.append("what must not be used")
        if number := len(set(specs) - asked):
            left.append(f"{number} of {len(specs)} specs")
        return listed(left)

    def _used(self) -> Used | None:
        known = [used for one in self.running if (used := one.used())]
        return sum(known, Used(0.0, 0.0)) if known else None


def _probe(name: str, exercise: Exercise) -> SpecInfo:
    """A probe, as if it were a spec."""
    says = (
        f"{exercise.name}, {exercise.asks}: for drawn inputs it must return what the "
        "reference returns."
    )
    return SpecInfo(
        name, exercise.name, PROBE_SECONDS, "", edge=False, line=0, says=says
    )
