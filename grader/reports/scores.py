"""Scores in the form that course platforms take: rounded, and so that an exercise's
scores sum to the total.
"""

from dataclasses import dataclass

from grader.reports.students_view import StudentReport
from grader.results import ExerciseResult, KataResult, plain, rounded


@dataclass(frozen=True)
class Scored:
    """One exercise with its score. Without a course's rules, this is its point."""

    kata: KataResult
    exercise: ExerciseResult
    score: float
    max_score: float

    @property
    def name(self) -> str:
        return f"{self.kata.kata} · {self.exercise.name}"


def scored(report: StudentReport, digits: int = 2) -> list[Scored]:
    """Every exercise in order, with a score of so many digits. Whole numbers
    are integers. What is not decided counts 0 here, so ask for it only where the report
    `is_whole`.
    """
    exercises = [
        (kata, exercise) for kata in report.katas for exercise in kata.exercises
    ]
    most = rounded([exercise.worth for _, exercise in exercises], digits)
    scores = rounded([exercise.score or 0.0 for _, exercise in exercises], digits)
    # Rounding may lift a score above its own maximum, which no platform takes.
    return [
        Scored(*which, min(score, top), top)
        for which, score, top in zip(exercises, scores, most, strict=True)
    ]


def total(parts: list[Scored]) -> tuple[float, float]:
    """The sums of score and maximum."""
    return plain(sum(part.score for part in parts)), plain(
        sum(part.max_score for part in parts)
    )
