"""`kata review`: one exercise that was finished long ago, blank in a copy, in the loop
of `kata watch`.
"""

import difflib
from pathlib import Path

from rich.console import Console

from grader import files
from grader.course.catalogue import Kata
from grader.learner import progress, tasks
from grader.learner.inputs import Inputs, opened_inputs
from grader.learner.reviews import AFTER, AFTER_GIVING_UP, blank, copies, end
from grader.learner.screen import Screen
from grader.learner.watch import Session


def start(kata: Kata, exercise: str, later: int) -> None:
    """Open the exercise, or go on with it, until it works or the learner quits. Their
    file stays as it is.
    """
    copy = copies(kata.root) / kata.file
    # a new one, or of an exercise that an update took away
    if not copy.is_file() or not _lines(copy, exercise):
        files.write(copy, (blank(kata, exercise) or "").encode())
    with opened_inputs() as inputs:
        screen = Screen(Console(highlight=False), has_keys=inputs.keys is not None)
        screen.say(
            f"Write {exercise} again, in {copy.relative_to(kata.root)}. Your own file "
            "stays as it is."
        )
        session = Review(kata, exercise, screen, inputs)
        try:
            session.run()
        except KeyboardInterrupt:
            pass
    if not session.is_over:
        screen.say(
            f"{exercise} waits in {copy.relative_to(kata.root)}: kata review goes on, "
            "--give-up ends it."
        )
        return
    before, now = _lines(kata.code, exercise), _lines(copy, exercise)
    beside = difflib.unified_diff(
        before,
        now,
        "what you had",
        "what you wrote now",
        lineterm="",
        n=len(before + now),
    )
    screen.difference(list(beside) or ["What you wrote is what you had."])
    end(kata, next((number for number in AFTER if number > later), None))


def give_up(kata: Kata, exercise: str, later: int) -> list[str]:
    """End the review, and return the lines of the learner's own code. It is due again
    two katas later.
    """
    end(kata, later + AFTER_GIVING_UP)
    return _lines(kata.code, exercise)


class Review(Session):
    """A session about one exercise in the copy, which ends when it works."""

    def __init__(self, kata: Kata, exercise: str, screen: Screen, inputs: Inputs):
        super().__init__([kata], kata, screen, inputs)
        self.state.chosen = self.exercise = exercise
        inputs.follow((copies(kata.root) / kata.file).parent)

    @property
    def is_over(self) -> bool:
        return progress.is_working(self.state.result, self.exercise)

    def _code(self, kata: Kata) -> Path:
        return copies(kata.root) if kata == self.state.kata else super()._code(kata)

    def _onward(self) -> str:
        return "What you had, and what you wrote now:"

    def _move(self, key: str) -> None:
        self.screen.say(f"This is a review of {self.exercise}: q leaves it.")


def _lines(path: Path, exercise: str) -> list[str]:
    """The lines of the exercise in a file, if it defines it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    place = tasks.lines_of(text, exercise)
    return text.split("\n")[place] if place else []
