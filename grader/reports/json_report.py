"""A report as JSON (schema kata-report/3), from which every other format can be made,
and results read from it again.
"""

import json
from dataclasses import asdict
from typing import Any

from grader.failure import Failure
from grader.reports import words
from grader.results import (
    Decided,
    ExerciseResult,
    KataResult,
    Report,
    Run,
    SpecResult,
)

SCHEMA = "kata-report/3"
OWN = ("picture", "said")  # of a failure, what no report holds


def render(report: Report) -> str:
    """The whole report, indented."""
    return json.dumps(as_dict(report), indent=2, ensure_ascii=False) + "\n"


def as_dict(report: Report) -> dict[str, Any]:
    """The report as a JSON object of schema kata-report/3. What is not decided has null
    for points, stars and score.
    """
    return {
        "schema": SCHEMA,
        "code": report.code,
        "started": report.started,
        "seconds": round(report.seconds, 3),
        "complete": report.complete,
        **_sums(report),
        "sealed": report.sealed,
        "katas": [kata_as_dict(kata) for kata in report.katas],
    }


def kata_as_dict(kata: KataResult) -> dict[str, Any]:
    """One kata's entry in a report of schema kata-report/3."""
    return {
        "kata": kata.kata,
        "status": words.status(kata),
        "state": kata.state,
        "code": kata.code,
        "timing": asdict(kata.timing) if kata.timing else None,
        "excused": kata.excused or None,
        "message": kata.message,
        "file": _failure_as_dict(kata.file),
        "lost": kata.nothing_graded,
        "counts": kata.counts,
        **_sums(kata),
        "seconds": round(kata.seconds, 3),
        "exercises": [
            _exercise_as_dict(exercise, kata.file) for exercise in kata.exercises
        ],
    }


def _exercise_as_dict(exercise: ExerciseResult, file: Failure | None) -> dict[str, Any]:
    """An exercise's entry: null for point, star and score where they are not
    decided.
    """
    point: int | None = None
    star: int | None = None
    if isinstance(exercise.outcome, Decided):
        point, star = int(exercise.outcome.point), int(exercise.outcome.star)
    return {
        "name": exercise.name,
        "points": point,
        "max_points": 1,
        "star": star,
        "score": None if exercise.score is None else round(exercise.score, 6),
        "max_score": round(exercise.worth, 6),
        "stretch": exercise.stretch,
        "sealed": exercise.sealed,
        "but_for": exercise.but_for,
        "override": asdict(exercise.override) if exercise.override else None,
        "specs": [_spec_as_dict(spec, file) for spec in exercise.specs],
    }


def _spec_as_dict(spec: SpecResult, file: Failure | None) -> dict[str, Any]:
    """A spec's entry, without what is for a terminal. What is wrong with the file is
    the kata's to say.
    """
    found = asdict(spec) | {"seconds": round(spec.seconds, 4)}
    del found["said"], found["guard"], found["tried"]
    found["failure"] = None if spec.failure == file else _failure_as_dict(spec.failure)
    return found | {"message": spec.message}


def _failure_as_dict(found: Failure | None) -> dict[str, Any] | None:
    return (
        {name: value for name, value in asdict(found).items() if name not in OWN}
        if found
        else None
    )


def _sums(result: KataResult | Run) -> dict[str, Any]:
    total = result.total
    return {
        "points": total.points if total else None,
        "max_points": result.max_points,
        "stars": total.stars if total else None,
        "max_stars": result.max_points,
        "score": round(total.score, 6) if total else None,
        "max_score": round(result.max_score, 6),
    }
