"""Renders a report as a `results.json` for Gradescope."""

import json

from grader.results import ExerciseResult, KataResult, Report, title


def render(report: Report) -> str:
    """One test per exercise, with its first failure as plain text."""
    tests = [
        _test(kata, exercise, f"{k}.{e}")
        for k, kata in enumerate(report.katas, start=1)
        for e, exercise in enumerate(kata.exercises, start=1)
    ]
    notes = [f"{kata.kata}: {kata.message}" for kata in report.katas if kata.message]
    if not report.complete:
        notes.append("grading was interrupted: the missing katas were not graded")
    results = {
        "score": report.points,
        "execution_time": round(report.seconds),
        "output": "\n".join(notes),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": tests,
    }
    return json.dumps(results, indent=2, ensure_ascii=False) + "\n"


def _test(kata: KataResult, exercise: ExerciseResult, number: str) -> dict[str, str | int | list[str]]:
    failure = exercise.first_failure
    return {
        "name": f"{kata.kata} · {exercise.name}",
        "number": number,
        "score": exercise.points,
        "max_score": exercise.max_points,
        "status": "passed" if exercise.solved else "failed",
        "output": f"{title(failure.name)}\n\n{failure.message}" if failure else "",
        "output_format": "text",
        "tags": [kata.kata, "stretch" if exercise.stretch else "core"],
        "visibility": "visible",
    }
