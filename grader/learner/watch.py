"""The session of `kata watch`: after every save, run the specs and show the first
failure of the current exercise.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from grader.course.catalogue import Kata, with_prerequisites
from grader.course.description import Exercise
from grader.course.parts import BY_KATA
from grader.errors import NotPossible
from grader.execution import scheduler
from grader.execution.grading import Grading
from grader.execution.result_cache import ResultCache
from grader.isolation import sandbox
from grader.learner import gpu, helping, programs, tasks
from grader.learner.inputs import Event, Inputs, opened_inputs
from grader.learner.screen import OPEN, WORKS, Screen, sign
from grader.memory import Memory
from grader.protocol import RunOptions
from grader.results import ExerciseResult, KataResult, SpecResult
from grader.workers import jobs
from grader.workers.jobs import Job

LAST = "last"  # no hash: what worked then may no longer
ONE_NUMBER = 0.7  # seconds between the two digits of a number


def start_session(katas: list[Kata], first: Kata) -> None:
    """Watch until `q`, Ctrl-D or Ctrl-C.

    Args:
        katas: the path, in order.
        first: the kata to begin with.
    """
    with opened_inputs() as inputs:
        screen = Screen(Console(highlight=False), has_keys=inputs.keys is not None)
        try:
            Session(katas, first, screen, inputs).run()
        except KeyboardInterrupt:
            pass


@dataclass
class Watched:
    """The kata being watched, and its latest results."""

    kata: Kata
    text: str | None = None  # the file as judged last; None if it must be judged
    result: KataResult | None = None
    partial: bool = False  # whether some exercises keep the result of an older text
    new: tuple[ExerciseResult, ...] = ()  # the exercises that work since the last save
    # the exercise that the learner went to; otherwise it is the first that does
    # not work
    chosen: str = ""
    # the digits of an exercise's number, and when they came
    typed: tuple[str, float] = ("", 0.0)


class Session:
    """One `kata watch`, from start to quit."""

    def __init__(self, katas: list[Kata], first: Kata, screen: Screen, inputs: Inputs):
        self.katas, self.screen, self.inputs = katas, screen, inputs
        self.cache, self.memory = ResultCache(first.root), Memory(first.root)
        self.unsaid = [] if sys.platform == "linux" else sandbox.gaps()
        self._go_to(first)

    def run(self) -> None:
        """Judge, show, and wait for a save or a key, until the learner quits."""
        while True:
            judged = self.state.text is not None or self._judge_and_show()
            if judged and self.state.partial:
                self._look_at_the_rest()
            if self.is_over or self._handle_events(
                wait=judged and not self.state.partial
            ):
                return

    @property
    def is_over(self) -> bool:
        """Whether the session ends by itself."""
        return False

    def _code(self, kata: Kata) -> Path:
        """The code folder that has the kata's file."""
        return kata.root / "katas"

    @property
    def _place(self) -> str:
        return str(self._code(self.state.kata) / self.state.kata.file)

    def _go_to(self, kata: Kata) -> None:
        self.state = Watched(kata)
        self.inputs.follow(kata.folder)

    def _handle_events(self, *, wait: bool) -> bool:
        """Handle pending saves, resizing and keys. True if the learner quits."""
        for event in self.inputs.read(wait=wait):
            match event:
                case Event.QUIT:
                    return True
                case Event.SAVED:
                    if self._read() != self.state.text:
                        self.state.text = None
                case Event.RESIZED:
                    if self.state.result:
                        self._show(self.state.result)
                case str(key):
                    self._handle_key(key)
        return False

    def _handle_key(self, key: str) -> None:
        kata, current = self.state.kata, self._current_exercise()
        if key == "h":
            works = current.name in _working(self.state.result)
            self.screen.say(
                helping.next_hint(kata, current.name, works=works, watching=True)
            )
        elif key == "c":
            self._compare()
        elif key == "g" and self.state.result:
            self.screen.guards(self.state.result.exercises)
        elif key == "m":
            self._train_own_gpt()
        elif key == "l":
            self.screen.lesson(kata)
            self.inputs.drop_interrupts()  # that came while the pager was open
            if self.state.result:
                self._show(self.state.result)
        elif key == "a":
            self._judge_and_show(everything=True)
        elif key == "r":
            self.state.text = None
        elif key == " " and self.state.result:
            self._show(self.state.result, whole=True)
        else:
            self._move(key)

    def _move(self, key: str) -> None:
        """To another exercise or kata; other keys mean nothing."""
        place = self.state.kata.exercises.index(self._current_exercise())
        if key in "np":
            self._go_to_exercise(place + (1 if key == "n" else -1))
        elif key in "NP":
            self._go_to_neighbour(
                self.katas.index(self.state.kata) + (1 if key == "N" else -1)
            )
        elif key.isdecimal():
            self._go_to_exercise(self._number_typed(key) - 1)

    def _train_own_gpt(self) -> None:
        try:
            programs.own_gpt()
        except NotPossible as problem:
            self.screen.say(str(problem))
        self.inputs.drop_interrupts()  # that came while it trained

    def _go_to_exercise(self, place: int) -> None:
        """Make the exercise at this place of the kata the current one."""
        exercises = self.state.kata.exercises
        if not 0 <= place < len(exercises):
            self.screen.say(
                f"This kata has the exercises 1 to {len(exercises)}. N and P go to "
                "the next kata and back."
            )
            return
        self.state.chosen = exercises[place].name
        self.state.text = None

    def _go_to_neighbour(self, place: int) -> None:
        if 0 <= place < len(self.katas):
            self._go_to(self.katas[place])
        else:
            self.screen.say(
                f"This is the {'first' if place < 0 else 'last'} kata of the path."
            )

    def _number_typed(self, digit: str) -> int:
        """The number of an exercise: this digit, or a number of two digits if the other
        one came just before.
        """
        before, at = self.state.typed
        both = before + digit if time.monotonic() - at < ONE_NUMBER else digit
        typed = both if 0 < int(both) <= len(self.state.kata.exercises) else digit
        self.state.typed = (typed, time.monotonic())
        return int(typed)

    def _compare(self) -> None:
        """Show the textbook solution of the current exercise if it works, or else of
        the one that worked last.
        """
        working = _working(self.state.result)
        names = [
            self._current_exercise().name,
            *(exercise.name for exercise in self.state.new),
        ]
        name = next((name for name in names if name in working), "")
        if not name:
            self.screen.say(
                "c compares an exercise that works with the textbook solution. Go to "
                "one by its number."
            )
            return
        self.screen.say(f"{name}, beside the textbook solution:")
        try:
            self.screen.difference(helping.solution(self.state.kata, name, now=True))
        except NotPossible as problem:
            self.screen.say(str(problem))

    def _read(self) -> str:
        """The file's text, or the problem with the file."""
        source = jobs.read(self.state.kata, self._code(self.state.kata))
        return source.problem.line if source.problem else source.text

    def _judge_and_show(self, *, everything: bool = False) -> bool:
        """Run the specs and show the verdict. False if a save or a key came first.

        All specs run the first time and with `everything`. Otherwise the current
        exercise's specs run first, and the first failure ends the run.
        """
        self.state.text = self._read()
        before = self.state.result
        if before is None:
            self._show_before_the_first_verdict()
        self.screen.running()
        result = self._result(everything=everything or before is None)
        if result is None:
            self.state.text = None
            return False
        missing = any(
            spec.status == "missing"
            for exercise in result.exercises
            for spec in exercise.specs
        )
        self.state.partial = missing and not everything and before is not None
        self.state.result = (
            result if everything or before is None else _merged(before, result)
        )
        worked = _working(before or self.state.result)
        self.state.new = tuple(
            e
            for e in self.state.result.exercises
            if e.so_far.point and e.name not in worked
        )
        if any(exercise.name == self.state.chosen for exercise in self.state.new):
            self.state.chosen = ""  # done: on to the first that does not work
        self.memory.keep(
            "works", self._place, LAST, " ".join(sorted(_working(self.state.result)))
        )
        self._show(self.state.result, everything=everything)
        while self.unsaid:
            self.screen.say(f"Your code is not isolated: {self.unsaid.pop()}.")
        if self._all_work():
            for line in gpu.told([self.state.kata]):
                self.screen.say(line)
        return True

    def _look_at_the_rest(self) -> None:
        """Run the specs after the first failure, and say which exercises
        were broken.
        """
        result = self._result(everything=True)
        if result is None or self.state.result is None:
            return
        self.state.partial = False
        current = self._current_exercise().name
        if result.file:
            return  # which is on the screen already
        worked = _working(self.state.result)
        self.state.result = result
        if broken := [
            e.name for e in result.exercises if e.name in worked and not e.so_far.point
        ]:
            self.screen.say(
                f"No longer working: {', '.join(broken)}. Press a to see why."
            )
        elsewhere = {
            e.name: e.first_failure
            for e in result.exercises
            if e.name not in (current, *broken)
        }
        if begun := [
            name
            for name, first in elsewhere.items()
            if first and first.kind != "unwritten"
        ]:
            self.screen.say(
                f"Not working either: {', '.join(begun)}. Press a to see why."
            )

    def _result(self, *, everything: bool) -> KataResult | None:
        """Run the specs; None if a save or a key came first."""
        kata = self.state.kata
        grading = Grading(
            [kata], {k: jobs.read(k, self._code(k)) for k in with_prerequisites([kata])}
        )
        ready = self._jobs(grading, everything)
        with closing(
            scheduler.run(ready, specs_of=[kata], until=self.inputs.sources)
        ) as finished:
            # closed here, because Python swallows a Ctrl-C while it collects
            # a generator
            for job, result in finished:
                if job.kata == kata:
                    return result
                self.cache.keep(job, result)
                grading.settle(job.kata, result)
        return None

    def _jobs(self, grading: Grading, everything: bool) -> Callable[[], Iterator[Job]]:
        kata = self.state.kata
        current = None if self._all_work() else self._current_exercise()
        in_turn = sorted(kata.exercises, key=lambda e: (e != current, e.stretch))
        order = tuple(exercise.spec_class for exercise in in_turn)
        options = RunOptions(order=order, stop_at_failure=not everything)

        def ready() -> Iterator[Job]:
            for job in grading.ready(
                lambda job: self.cache.find(job) if job.kata != kata else None
            ):
                yield replace(job, options=options) if job.kata == kata else job

        return ready

    def _all_work(self) -> bool:
        result = self.state.result
        return result is not None and all(
            exercise.so_far.point for exercise in result.exercises
        )

    def _current_exercise(self) -> Exercise:
        """The chosen exercise, or the first that does not work, core before stretch;
        the last one if all do.
        """
        if self.state.chosen:
            return self.state.kata.exercise(self.state.chosen)
        exercises = sorted(self.state.kata.exercises, key=lambda e: e.stretch)
        working = (
            self._worked_last()
            if self.state.result is None
            else _working(self.state.result)
        )
        return next((e for e in exercises if e.name not in working), exercises[-1])

    def _worked_last(self) -> set[str]:
        """The exercises that worked when this kata was last watched."""
        return set((self.memory.find("works", self._place, LAST) or "").split())

    def _show_before_the_first_verdict(self) -> None:
        """What worked last, and what the current exercise asks for: something to read
        while all specs run.
        """
        if not self.screen.console.is_terminal:
            return
        kata, current, worked = (
            self.state.kata,
            self._current_exercise().name,
            self._worked_last(),
        )
        with self.screen.verdict():
            self.screen.head(
                kata,
                {e.name: WORKS if e.name in worked else OPEN for e in kata.exercises},
                current,
            )
            self.screen.task(self._asked(current))

    def _asked(self, name: str) -> str:
        return tasks.asked(self.state.kata, name, self._code(self.state.kata))

    def _show(
        self, result: KataResult, *, everything: bool = False, whole: bool = False
    ) -> None:
        """Show the verdict: with `everything` the whole table, otherwise the
        first failure.
        """
        current = "" if self._all_work() else self._current_exercise().name
        with self.screen.verdict(whole=whole):
            self.screen.head(
                self.state.kata, {e.name: sign(e) for e in result.exercises}, current
            )
            if everything:  # the table has the rest
                self.screen.all_specs(result)
            else:
                self._show_current(result)
            self.screen.keys()

    def _show_current(self, result: KataResult) -> None:
        """Show what works, the first failure, and what comes next."""
        current, all_work = self._current_exercise().name, self._all_work()
        for exercise in result.exercises:
            if exercise in self.state.new or (
                exercise.so_far.point
                and (all_work or exercise.name == self.state.chosen)
            ):
                self.screen.works(exercise)
        failure = _first_failure(result, current)
        if failure and current not in _working(result):
            self.screen.failure(*failure)
            found = failure[1].failure
            if found and found.kind == "unwritten" and (text := self._asked(found.of)):
                self.screen.task(text)
        elif result.message and not result.so_far.points:
            # something went wrong: specs that cannot be collected, say
            self.screen.say(result.message)
        if all_work:
            self.screen.say(
                f"{result.so_far.points} of {result.max_points} points! Every exercise "
                f"of this kata works. {self._onward()}"
            )
        elif result.core_works:
            left = ", ".join(e.name for e in result.exercises if not e.so_far.point)
            self.screen.say(
                f"The core of this kata works. Stretch exercises left: {left}. "
                f"{self._onward()}"
            )
        if result.core_works and (part := BY_KATA.get(self.state.kata.name)):
            self.screen.say(
                f"From your code, your own GPT now gets {part.gives}. Press m to see "
                "it, or run kata mine."
            )

    def _onward(self) -> str:
        following = self.katas[self.katas.index(self.state.kata) + 1 :][:1]
        return (
            f"Press N for {following[0].number} {following[0].title}."
            if following
            else "It was the last of the path."
        )


def _working(result: KataResult | None) -> set[str]:
    """The names of the exercises that work."""
    return (
        {exercise.name for exercise in result.exercises if exercise.so_far.point}
        if result
        else set()
    )


def _merged(before: KataResult, now: KataResult) -> KataResult:
    """The new result. Exercises whose specs did not all run, without a failure, keep
    their earlier result.
    """
    known = {exercise.name: exercise for exercise in before.exercises}
    ran = [
        all(s.status != "missing" for s in e.specs)
        or any(s.status in ("failed", "error") for s in e.ideas)
        for e in now.exercises
    ]
    return replace(
        now,
        exercises=tuple(
            e if did else known.get(e.name, e)
            for e, did in zip(now.exercises, ran, strict=True)
        ),
    )


def _first_failure(result: KataResult, current: str) -> tuple[str, SpecResult] | None:
    """The name of an exercise and the first failed spec of its idea, the current
    exercise's if it has one.
    """
    for exercise in sorted(
        result.exercises, key=lambda exercise: exercise.name != current
    ):
        for spec in exercise.ideas:
            if spec.status in ("failed", "error", "not graded"):
                return exercise.name, spec
    return None
