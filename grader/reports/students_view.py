"""A report for students: of a teacher's own specs only the number that pass, and of sealing only what to ask for."""

from dataclasses import replace

from grader.results import ExerciseResult, KataResult, Report, SpecResult

LOST = "a hidden spec could not be run"


def of(report: Report) -> Report:
    """The report without the name, the message and the output of any hidden spec, and how points are sealed."""
    return replace(report, katas=tuple(map(_kata, report.katas)), sealed=False)


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
