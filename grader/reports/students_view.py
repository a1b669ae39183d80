"""A report for students: of a teacher's own specs only the number that pass, and of sealing only what to ask for."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from grader.results import ExerciseResult, KataResult, Run, SpecResult

LOST = "a hidden spec could not be run"


@dataclass(frozen=True)
class StudentReport(Run):
    """A run all of which its student may read: no name, message or output of a hidden spec, and no seals."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "katas", tuple(map(_kata, self.katas)))
        object.__setattr__(self, "sealed", False)


def of(report: Run) -> StudentReport:
    return StudentReport(**vars(report))


def shown(render: Callable[[StudentReport], str], report: Run) -> str:
    return render(of(report))


def _kata(kata: KataResult) -> KataResult:
    return replace(kata, exercises=tuple(map(_exercise, kata.exercises)))


def _exercise(exercise: ExerciseResult) -> ExerciseResult:
    specs = tuple(_without_words(spec) if spec.hidden else spec for spec in exercise.specs)
    unconfirmed = exercise.sealed if exercise.sealed == "failed" else None
    return replace(exercise, specs=specs, sealed=unconfirmed, but_for="")


def _without_words(spec: SpecResult) -> SpecResult:
    """The verdict alone. That an exercise is not written is told by every spec of it."""
    said = LOST if spec.status == "not graded" else ""
    failure = spec.failure if spec.kind == "unwritten" and not said else None
    return replace(spec, name="", said=said, failure=failure, printed="", line=0)
