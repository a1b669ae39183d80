"""Results of grading: plain data, no behaviour beyond sums. The runner produces them, the reports render them."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

Status = Literal["passed", "failed", "error", "skipped", "missing"]
SCHEMA = "kata-report/1"
NOT_WRITTEN = "not written yet"


@dataclass(frozen=True)
class SpecResult:
    """The verdict on one spec. The message is printable text.

    `error`: the worker died while running this spec. `missing`: it could not be run after that.
    """

    name: str
    status: Status
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class ExerciseResult:
    """The verdicts on the specs of one exercise."""

    name: str
    specs: tuple[SpecResult, ...]
    stretch: bool = False
    max_points: int = 1

    @property
    def solved(self) -> bool:
        """Whether every spec passed. Specs skipped because there is no device do not count, but one must have run."""
        statuses = {spec.status for spec in self.specs}
        return "passed" in statuses and statuses <= {"passed", "skipped"}

    @property
    def points(self) -> int:
        return self.max_points if self.solved else 0

    @property
    def not_written(self) -> bool:
        return bool(self.specs) and all(s.message.endswith(NOT_WRITTEN) for s in self.specs if s.status != "skipped")

    @property
    def first_failure(self) -> SpecResult | None:
        return next((spec for spec in self.specs if spec.status not in ("passed", "skipped")), None)


@dataclass(frozen=True)
class KataResult:
    """The verdicts on one kata."""

    kata: str
    exercises: tuple[ExerciseResult, ...]
    message: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # CPU time of the worker, from its fork to its last spec

    @property
    def status(self) -> Literal["passed", "failed", "error", "not started"]:
        if not self.exercises or any(
            spec.status in ("error", "missing") for exercise in self.exercises for spec in exercise.specs
        ):
            return "error"
        if all(exercise.solved for exercise in self.exercises):
            return "passed"
        return "not started" if all(exercise.not_written for exercise in self.exercises) else "failed"

    @property
    def points(self) -> int:
        return sum(exercise.points for exercise in self.exercises)

    @property
    def max_points(self) -> int:
        return sum(exercise.max_points for exercise in self.exercises)

    @property
    def core_done(self) -> bool:
        return all(exercise.solved for exercise in self.exercises if not exercise.stretch)


@dataclass(frozen=True)
class Report:
    """One grading run. `started` is in ISO 8601 with a UTC offset; `complete` is False after an interruption."""

    code: str
    started: str
    seconds: float
    complete: bool
    katas: tuple[KataResult, ...] = field(default=())

    @property
    def points(self) -> int:
        return sum(kata.points for kata in self.katas)

    @property
    def max_points(self) -> int:
        return sum(kata.max_points for kata in self.katas)


@dataclass(frozen=True)
class ClassReport:
    """One grading run over a class: the report per student, in order."""

    started: str
    seconds: float
    complete: bool
    students: dict[str, Report] = field(default_factory=dict)


def title(name: str) -> str:
    """Turn a spec's name into words: "TestSplitHeads::test_works_on_a_view[2-5]" → "works on a view [2-5]"."""
    path, bracket, case = name.partition("[")
    words = path.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return words + (f" [{case}" if bracket else "")


def shares(points: int, number: int) -> list[int]:
    """Split points over a number of exercises, in whole points and as evenly as possible."""
    return [points * (place + 1) // number - points * place // number for place in range(number)]


def weighted(result: KataResult, points: int | None) -> KataResult:
    """The kata's result with its exercises worth so many points in all; with None, one point per exercise."""
    number = len(result.exercises)
    dealt = [1] * number if points is None else shares(points, number)
    return replace(
        result, exercises=tuple(replace(e, max_points=p) for e, p in zip(result.exercises, dealt, strict=True))
    )


def kata_result(data: dict[str, Any]) -> KataResult:
    """Rebuild one kata's result from its `dataclasses.asdict` form."""
    exercises = [
        ExerciseResult(e["name"], tuple(SpecResult(**spec) for spec in e["specs"]), e["stretch"])
        for e in data["exercises"]
    ]
    return KataResult(data["kata"], tuple(exercises), data["message"], data["seconds"], data["cpu_seconds"])


def as_dict(report: Report) -> dict[str, Any]:
    """The report as a JSON object of schema kata-report/1."""
    return {
        "schema": SCHEMA,
        "code": report.code,
        "started": report.started,
        "seconds": round(report.seconds, 3),
        "complete": report.complete,
        "points": report.points,
        "max_points": report.max_points,
        "katas": [kata_as_dict(kata) for kata in report.katas],
    }


def kata_as_dict(kata: KataResult) -> dict[str, Any]:
    """One kata's entry in a report of schema kata-report/1."""
    return {
        "kata": kata.kata,
        "status": kata.status,
        "message": kata.message,
        "points": kata.points,
        "max_points": kata.max_points,
        "seconds": round(kata.seconds, 3),
        "exercises": [
            {
                "name": exercise.name,
                "stretch": exercise.stretch,
                "points": exercise.points,
                "max_points": exercise.max_points,
                "specs": [
                    {"name": s.name, "status": s.status, "message": s.message, "seconds": round(s.seconds, 4)}
                    for s in exercise.specs
                ],
            }
            for exercise in kata.exercises
        ],
    }
