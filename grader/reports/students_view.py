"""A report for students: of a teacher's own specs only how many came to what, and of
sealing only what to ask for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from grader.results import ExerciseResult, Run


@dataclass(frozen=True)
class StudentReport(Run):
    """A run all of which its student may read: it has no hidden spec and no seals."""

    def __post_init__(self) -> None:
        katas = [
            replace(kata, exercises=tuple(map(_exercise, kata.exercises)))
            for kata in self.katas
        ]
        object.__setattr__(self, "katas", tuple(katas))
        object.__setattr__(self, "sealed", False)


def of(report: Run) -> StudentReport:
    return StudentReport(**vars(report))


def shown(render: Callable[[StudentReport], str], report: Run) -> str:
    return render(of(report))


def _exercise(exercise: ExerciseResult) -> ExerciseResult:
    own = tuple(spec for spec in exercise.specs if not spec.hidden)
    unconfirmed = exercise.sealed if exercise.sealed == "failed" else None
    return replace(
        exercise, specs=own, withheld=exercise.hidden, sealed=unconfirmed, but_for=""
    )
