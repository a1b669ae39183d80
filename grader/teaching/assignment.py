"""An assignment: which katas are graded, how their specs run, and what the katas are worth."""

from dataclasses import dataclass

from grader.course.catalogue import Kata
from grader.protocol import RunOptions
from grader.results import KataResult, weighted


@dataclass(frozen=True)
class Assignment:
    """What `kata grade` is asked to grade, for one submission or for each of a class."""

    katas: list[Kata]
    options: RunOptions
    worth: dict[str, int]  # points per kata; a kata without an entry is worth one point per exercise
    at_a_time: int = 0  # katas graded in parallel; 0 means one per core

    def weighted(self, result: KataResult) -> KataResult:
        """The result in the points of this assignment."""
        return weighted(result, self.worth.get(result.kata))
