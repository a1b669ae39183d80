"""Supervises one running job: starts its workers, takes in their messages, and turns
lost workers into verdicts.
"""

import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from grader import printable, protocol
from grader.course import grafts, statements
from grader.course.description import Exercise
from grader.execution import follow_up
from grader.execution.follow_up import FollowUp
from grader.failure import Failure, of_exercise, unwritten, waiting
from grader.isolation import namespaces, processes, usage
from grader.isolation.usage import OF_KATA, OF_START, Limit, Stopwatch, Used, of_spec
from grader.lock import lists, withheld
from grader.lock.asking import LONGEST_MESSAGE
from grader.lock.second_lock import Effort, First, SecondLock
from grader.protocol import (
    Collected,
    Done,
    Loaded,
    Loading,
    Message,
    SpecFinished,
    SpecInfo,
    SpecStarted,
    Traced,
)
from grader.results import (
    DONE,
    TOO_BUSY,
    WAITED,
    ExerciseResult,
    KataResult,
    SpecResult,
    Status,
)
from grader.workers import folders, forkserver, jobs, orphans
from grader.workers.jobs import Job
from grader.workers.servers import Process

# seconds beyond a spec's limit before the worker is killed: its own alarm names the
# line, and comes first
GRACE = 2.0
MOST_LEFT_OUT = 5  # lines on statements that were left out
SERVER_ENDED = "was lost with the server that starts workers"
# Code under test has a memory limit of its own. Where the system kills a worker, the
# machine has less than that.
KILLED_BY_SYSTEM = "was killed by the system (out of memory)"
OUTCOMES: dict[str, Status] = {
    "passed": "passed",
    "failed": "failed",
    "skipped": "skipped",
}


class Supervisor:
    """A running job. When a spec ends its worker, another worker continues with the
    remaining exercises.

    Args:
        job: what to run.
        scratch: a folder for the job's files.
        may_fail: a process of it that is killed from outside ends it: whoever runs it
            tries once more.
    """

    watch: Stopwatch  # of what runs now

    def __init__(self, job: Job, scratch: Path, *, may_fail: bool = False):
        self.job = job
        self.may_fail = may_fail
        self.disturbed = False  # it has failed so
        self.scratch = scratch
        self._write(job.files)
        self.specs: dict[str, SpecInfo] = {}
        self.results: dict[str, SpecResult] = {}
        self.follow_up: FollowUp | None = None
        self.followed: dict[str, FollowUp] = {}  # exercises that had their follow-up
        self.left_out: list[str] = []  # a line on each statement that failed
        # without the statements whose time was up: no other run tries them
        self.files = job.files
        # what the functions that are followed did in each spec
        self.traces: dict[str, str] = {}
        self.crashed = ""
        # what is wrong with the file, so that no spec can run
        self.file: Failure | None = None
        self.fault = ""  # why the grader cannot go on with it
        # what is wrong with the teacher's own specs, which students must not read
        self.hidden_problem = ""
        # of specs without a verdict: "not graded" if the code is not to blame
        self.unjudged: Status = "missing"
        self.cpu_seconds = 0.0
        self.finished = False
        # when the folder and the whole kata's time were looked at last
        self.looked = 0.0
        orphans.expect(job.kata.description.needs)
        self.started = time.monotonic()
        self._start()
        if not self.finished:
            # after the start, which may include that of the forkserver
            self.started = time.monotonic()
            self.whole = Stopwatch(OF_KATA, self._used)

    @property
    def channels(self) -> list[Connection]:
        """Where messages arrive: nowhere, once it is finished."""
        return [] if self.finished else [self.worker.channel]

    @property
    def due(self) -> float:
        """When to check next, by `time.monotonic`."""
        return self.watch.due

    def read(self, _: Connection) -> None:
        """Take in one message from the worker, or its end."""
        try:
            data = self.worker.channel.recv_bytes(LONGEST_MESSAGE)
            self._take(protocol.decode(data))
        except (EOFError, OSError, ValueError, KeyError):
            self._end()

    def check(self) -> None:
        """End a worker whose next message is late, and a job that takes too long or
        fills its folder.
        """
        now = time.monotonic()
        if self.watch.due <= now and (reached := self.watch.look()):
            return self._end(killed=reached)
        if self.looked + folders.LOOK_SECONDS <= now:
            self.looked = now
            if reached := self.whole.look():
                if reached == "clock":
                    self.unjudged = "not graded"
                self._stop(f"the kata {told(reached, self.whole)}")
                return
            pids = orphans.tree(self.worker.process.pid or 0)
            if reached := folders.exceeded(
                self.folder, pids, self.job.kata.description.needs
            ):
                self._stop(reached)

    def kill(self) -> None:
        """Kill the worker and every process that it started, and close its channel."""
        orphans.end_tree(self.worker.process)
        self.worker.channel.close()

    def result(self) -> KataResult:
        """The job's result. Specs without a verdict are `missing`. An exercise without
        specs is `not graded`.
        """
        self._remove_folder()
        crashed = "" if self.hidden_problem else self.crashed
        left_out = self.left_out[:MOST_LEFT_OUT]
        if more := len(self.left_out) - len(left_out):
            left_out.append(f"and {more} more")
        message = printable.line(
            "; ".join(part for part in (self.job.note, crashed) if part)
        )
        message = "\n".join(filter(None, [*left_out, message]))
        found = [
            ExerciseResult(e.name, self._verdicts(e), e.stretch)
            for e in self.job.kata.exercises
        ]
        exercises = tuple(exercise for exercise in found if exercise.specs)
        return KataResult(
            self.job.kata.name,
            exercises,
            message,
            seconds=time.monotonic() - self.started,
            cpu_seconds=self.cpu_seconds,
            code=jobs.digest(self.job),
            file=self.file or _statement(exercises),
            traces=self.traces,
        )

    def second_lock(self, scratch: Path, at_a_time: int) -> SecondLock | None:
        """The second lock for the exercises that work, if it is asked for; this job's
        files are then removed.

        Args:
            at_a_time: rounds that it runs in parallel.
        """
        if not self.job.options.sealed:
            return None
        helped = {name: plan.names for name, plan in self.followed.items()}
        first = First(self.result(), self.specs, self.files, helped)
        effort = Effort(at_a_time=at_a_time, may_fail=self.may_fail)
        return SecondLock(self.job, scratch, first, lists.read(self.job.kata), effort)

    def _write(self, files: Mapping[Path, str]) -> None:
        """Write the code into a new folder: what a worker has left in the one before
        may lead elsewhere.
        """
        self.folder = Path(tempfile.mkdtemp(dir=self.scratch))
        jobs.write(files, self.folder)

    def _remove_folder(self) -> None:
        """Remove the code's folder, and the empty one beside it that a worker's root
        folder was made of.
        """
        folders.remove(self.folder)
        folders.remove(namespaces.root_of(self.folder))

    def _start(self) -> None:
        plan = self.follow_up
        self.order = protocol.WorkOrder(
            self.job.kata,
            self.folder,
            self.job.options,
            forkserver.environment(),
            frozenset(self.specs.keys() - plan.specs if plan else self.results),
            apart=namespaces.are_allowed(),
        )
        self.oom_kills = processes.oom_kills()
        # what counts if this worker does not come to its last message
        self.before = dict(self.results)
        try:
            self.worker = forkserver.start_worker(self.order)
        except OSError as problem:
            self.crashed, self.unjudged = f"{problem}; grade again", "not graded"
            self.disturbed, self.finished = self.may_fail, True
            return
        self.phase, self.current, self.done = "starting", "", False
        self._allow(OF_START)

    def _take(self, message: Message) -> None:
        match message, self.phase:
            case Collected((), problem), "starting":
                self.unjudged, self.hidden_problem = (
                    "not graded",
                    printable.line(problem),
                )
                self._stop(
                    self.hidden_problem
                    or f"{self.job.kata.specs.name} holds no spec to run"
                )
            case Collected(specs), "starting":
                self.specs = self.specs or {spec.name: spec for spec in specs}
                self.phase = "collected"
                if self.job.problem:
                    self._end_without_code(self.job.problem)
            case Loading(), "collected":
                self.phase = "loading"
                self._allow(of_spec(self.job.options.spec_seconds + GRACE))
            case Loaded(), "loading":
                self._loaded(message)
            case SpecStarted(name), "between":
                self.phase, self.current = "spec", name
                self._allow(of_spec(self.specs[name].seconds + GRACE), self.watch.last)
            case SpecFinished(self.current), "spec":
                self._keep(message)
                self.phase, self.current = "between", ""
                self._allow(OF_START)
            case Traced(name, calls), "between" if name in self.specs or not name:
                self.traces[name] = calls
            case Done(cpu_seconds), "between":
                self.done = True
                self.cpu_seconds += cpu_seconds
                self._end()
            case _:
                raise ValueError(
                    f"{type(message).__name__} does not come while {self.phase}"
                )

    def _stop(self, reason: str) -> None:
        """End the job for this reason. What the worker has said so far does
        not count.
        """
        self.crashed, self.results = reason, self.before
        self.unjudged = "error" if self.unjudged == "missing" else self.unjudged
        self.kill()
        self.finished = True

    def _loaded(self, message: Loaded) -> None:
        """Go on with the code, unless there is none to run."""
        is_withheld = self.job.options.sealed and self.job.stand_ins
        if (found := message.failure) and not self.follow_up:
            found = withheld.of_file(self.job, found) if is_withheld else found
            return self._end_without_code(found.each(printable.text))
        self.phase = "between"
        if message.slow:
            file = self.job.kata.file
            self.files = self.files | {
                file: statements.without(self.files[file], message.slow)
            }
        if not self.follow_up:
            is_hidden = message.left_out and is_withheld
            lines = (
                [withheld.left_out(self.job)]
                if is_hidden
                else message.left_out.splitlines()
            )
            self.left_out = [printable.line(line) for line in lines]
        self._allow(OF_START)

    def _end_without_code(self, why: Failure) -> None:
        """End the job: no spec can run, and each fails for this reason."""
        self.file = why if why.is_of_file else None
        for name, spec in self.specs.items():
            found = unwritten(spec.exercise) if why.kind == "unwritten" else why
            self._judge(
                name,
                "skipped" if spec.skip_reason else "failed",
                spec.skip_reason or found,
            )
        self.kill()
        self.finished = True

    def _keep(self, message: SpecFinished) -> None:
        """Keep a spec's first verdict. A skip that the grader did not ask for is
        a failure.
        """
        name, status = message.name, OUTCOMES.get(message.status)
        if self.follow_up and name in self.follow_up.specs and status == "passed":
            note = grafts.note(self.follow_up.names)
            self.results[name] = replace(
                self.results[name], status="passed", said=note, failure=None
            )
        if name not in self.specs or name in self.results or status is None:
            return
        found, printed = (
            message.failure and message.failure.each(printable.text),
            printable.text(message.printed),
        )
        if (
            status != "passed"
            and self.job.options.sealed
            and (self.follow_up or self.job.stand_ins)
        ):
            found, printed = withheld.told(self.job, self.specs[name], message), ""
        if found and self.job.options.sealed:
            found = replace(found, picture="")
        reason, since = (
            self.specs[name].skip_reason,
            time.monotonic() - self.watch.began,
        )
        if (
            found
            and found.kind == "too busy"
            and of_spec(self.specs[name].seconds).is_late(since, 0.0)
        ):
            self._judge(name, "not graded", found, message.seconds, printed)
        elif status == "skipped":
            self._judge(name, "skipped" if reason else "failed", reason or found)
        else:
            self._judge(name, status, found, message.seconds, printed)
        if isinstance(self.job.options.also, protocol.TrySuspects):
            self.results[name] = replace(self.results[name], tried=message.tried)

    def _judge(
        self,
        name: str,
        status: Status,
        why: Failure | str | None,
        seconds: float = 0.0,
        printed: str = "",
    ) -> None:
        spec, said = self.specs[name], why if isinstance(why, str) else ""
        found = why if isinstance(why, Failure) else None
        about = (seconds, spec.edge, spec.line, printed, spec.hidden, spec.guard, found)
        self.results[name] = SpecResult(name, status, said, *about)

    def _end(self, *, killed: str = "") -> None:
        """Take in the worker's end, or end it.

        Args:
            killed: the limit that it has reached.
        """
        if not killed:
            self.worker.process.join(1)
        self.kill()
        if self.may_fail and not killed and self._is_disturbed():
            self.disturbed = self.finished = True
            return self._remove_folder()
        # without its last message, what a worker said does not count: the next one says
        # it again
        if not self.done:
            self.results = self.before
        if self.follow_up:  # whatever it came to, the next one is due
            return self._follow_up()
        lost = [name for name in self.specs if name not in self.results]
        if self.done and (not lost or self._may_stop()):
            if self.job.options.stop_at_failure:
                self.finished = True
                return
            return self._follow_up()
        how = self._how_it_ended(killed)
        by_system = how in (KILLED_BY_SYSTEM, SERVER_ENDED) or killed == "clock"
        if self.phase == "loading":
            self.crashed = f"{self.job.kata.file.name}: {how} while it was imported"
            for name in lost:
                self._judge(name, "not graded" if by_system else "error", self.crashed)
        elif self.current in self.specs:
            self._blame(self.current, how, "not graded" if by_system else "error")
            if (
                any(name not in self.results for name in self.specs)
                and not self._may_stop()
            ):
                return self._start()
        elif self.phase in ("starting", "collected"):
            is_the_files = self.worker.process.exitcode == 1
            why = "" if is_the_files else f" (the worker {how})"
            where = f"see pytest katas/{self.job.kata.name}"
            self.crashed = (
                f"{self.job.kata.specs.name} could not be collected{why}: {where}"
            )
            self.unjudged = "not graded"
        else:
            self.crashed = f"the worker {how}"
            self.unjudged = "not graded" if by_system else "error"
        self.finished = True

    def _follow_up(self) -> None:
        """Start the next run with the reference's code. Without a reference, say what
        the failing specs wait for.
        """
        while plan := follow_up.following(
            self.job.kata, self.specs, self.results, self.followed
        ):
            self.follow_up = plan
            self.followed[plan.exercise] = plan
            source = grafts.grafted(
                self.job.kata, self.files[self.job.kata.file], plan.names
            )
            if source is not None:
                self._remove_folder()
                self._write(self.files | {self.job.kata.file: source})
                return self._start()
            for name in plan.specs:
                if found := self.results[name].failure:
                    self.results[name] = replace(
                        self.results[name], failure=waiting(plan.names, found)
                    )
        self.finished = True

    def _is_disturbed(self) -> bool:
        """Tell if the worker may have been killed from outside, as the system does
        where memory runs out.
        """
        if self.done:
            return False
        code, no_code_ran = (
            self.worker.process.exitcode,
            self.phase in ("starting", "collected"),
        )
        return code == processes.KILLED or (no_code_ran and code != 1)

    def _how_it_ended(self, killed: str) -> str:
        """The worker's end, as a phrase that follows "the worker" or the name of
        an exercise.
        """
        if killed:
            return f"{told(killed, self.watch)} and was killed"
        if self.done:
            return "ended the run"
        if isinstance(self.worker.process, Process) and self.worker.process.is_lost:
            return SERVER_ENDED
        code = self.worker.process.exitcode
        if code == processes.KILLED and (
            self.oom_kills is None or processes.oom_kills() != self.oom_kills
        ):
            return KILLED_BY_SYSTEM
        if code is not None and code < 0:
            return f"crashed the process ({signal.Signals(-code).name})"
        return f"ended the process (exit code {code})"

    def _blame(self, name: str, how: str, status: Status) -> None:
        """Give this spec the status of one that lost its worker. Those after it in its
        exercise are not run.
        """
        exercise = self.specs[name].exercise
        self._judge(
            name, status, of_exercise("killed", exercise, f"{how} during this spec")
        )
        specs = list(self.specs.values())
        for other in specs[specs.index(self.specs[name]) :]:
            if other.exercise == exercise and other.name not in self.results:
                self._judge(
                    other.name,
                    "missing",
                    f"not run: {exercise} {how} in an earlier spec",
                )

    def _may_stop(self) -> bool:
        """Tell if the job may end before all specs have run: one has failed, and the
        options stop there.
        """
        failed = any(
            result.status not in DONE and not result.edge
            for result in self.results.values()
        )
        return self.job.options.stop_at_failure and failed

    def _verdicts(self, exercise: Exercise) -> tuple[SpecResult, ...]:
        """The verdict of every spec of the exercise; none if the options leave the
        exercise out.
        """
        not_run = (
            "not run: an earlier spec failed"
            if self._may_stop()
            else "the worker ended before this spec was run"
        )
        specs = [spec for spec in self.specs.values() if spec.exercise == exercise.name]
        if specs:
            for spec in specs:
                if spec.name not in self.results:
                    self._judge(spec.name, self.unjudged, self.crashed or not_run)
            return tuple(self.results[spec.name] for spec in specs)
        options = self.job.options
        if not self.hidden_problem and (
            options.only or (options.core and exercise.stretch)
        ):
            return ()
        reason = (
            self.crashed
            or f"{self.job.kata.specs.name} holds no spec of {exercise.name}"
        )
        return (
            SpecResult(
                exercise.spec_class,
                "not graded",
                reason,
                hidden=bool(self.hidden_problem),
            ),
        )

    def _allow(self, limit: Limit, last: Used | None = None) -> None:
        """Expect the next message within these limits."""
        self.watch = Stopwatch(limit, self._used, last)

    def _used(self) -> Used | None:
        return usage.of_processes(orphans.tree(self.worker.process.pid or 0))


def _statement(exercises: Sequence[ExerciseResult]) -> Failure | None:
    """The statement that failed, if nothing works without what it makes."""
    ideas = [
        spec for exercise in exercises for spec in exercise.ideas if not spec.hidden
    ]
    found = [spec.failure for spec in ideas if spec.status not in DONE]
    works = any(exercise.so_far.point and not exercise.note for exercise in exercises)
    is_for_all = found and not works and all(one == found[0] for one in found)
    return (
        found[0]
        if is_for_all and found[0] and found[0].kind == "statement failed"
        else None
    )


def told(reached: str, watch: Stopwatch) -> str:
    """The limit that is reached, as a phrase that follows the name of what has
    reached it.
    """
    if reached == "clock":
        return f"got almost no time ({TOO_BUSY})"
    if not usage.IS_TOLD:
        return f"did not stop within {watch.computing:.0f} s"
    return (
        f"used {watch.computing:.0f} s of CPU"
        if reached == "computing"
        else f"{WAITED} {watch.waited:.0f} s"
    )
