"""An assignment: which katas and exercises are graded, how their specs run, and what
they are worth.
"""

from dataclasses import dataclass, field, replace

from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.teaching.rules import Rules


@dataclass(frozen=True)
class Assignment:
    """What `kata grade` is to do with one submission, and `kata class` with each."""

    katas: list[Kata]
    options: RunOptions
    rules: Rules = field(default_factory=Rules)
    at_a_time: int = 0  # katas graded in parallel; 0 means one per core
    # (kata, exercise) to grade; empty for all that were run
    exercises: frozenset[tuple[str, str]] = frozenset()

    @property
    def title(self) -> str:
        """ "Multi-head attention (16)"; of more than three katas, their number, the
        first and the last.
        """
        if len(self.katas) > 3:
            return (
                f"{len(self.katas)} katas, {self.katas[0].number} to "
                f"{self.katas[-1].number}"
            )
        return ", ".join(f"{kata.title} ({kata.number})" for kata in self.katas)

    def asked(self, kata: Kata) -> list[Exercise]:
        """The exercises of a kata that are graded."""
        shared = [e for e in kata.exercises if not (self.options.core and e.stretch)]
        return [
            e
            for e in shared
            if not self.exercises or (kata.name, e.name) in self.exercises
        ]

    def graded(self, result: KataResult, penalty: float = 0.0) -> KataResult:
        """The exercises of a result that are asked for, with what they are worth
        and lose.
        """
        [kata] = [kata for kata in self.katas if kata.name == result.kata]
        shared = [
            e.name for e in kata.exercises if not (self.options.core and e.stretch)
        ]
        asked = [
            e
            for e in result.exercises
            if not self.exercises or (kata.name, e.name) in self.exercises
        ]
        return self.rules.applied(
            replace(result, exercises=tuple(asked)), shared, penalty
        )
