"""Renders a report for GitHub Classroom: the JSON that an autograding step passes on, in base64, as its `result`."""

import json

from grader.results import ExerciseResult, KataResult, Report, title

Json = dict[str, str | int]


def render(report: Report) -> str:
    """One test per exercise. An incomplete report is an `error`, and an empty one gets a test that says so."""
    tests = [_test(kata, exercise) for kata in report.katas for exercise in kata.exercises]
    if report.complete and all(kata.status == "passed" for kata in report.katas):
        status = "pass"
    else:
        status = "fail" if report.complete else "error"
    tests = tests or [_entry("grading", "error", 0, "nothing was graded", "kata grade", "", 0.0)]
    data = {"version": 1, "status": status, "max_score": report.max_points, "tests": tests}
    return json.dumps(data, ensure_ascii=False) + "\n"


def _test(kata: KataResult, exercise: ExerciseResult) -> Json:
    failure = exercise.first_failure
    status = "pass" if exercise.solved else "error" if failure and failure.status in ("error", "missing") else "fail"
    message = f"{title(failure.name)}\n{failure.message}" if failure else ""
    seconds = sum(spec.seconds for spec in exercise.specs)
    command = f"pytest katas/{kata.kata} -k {exercise.specs[0].name.partition('::')[0]}" if exercise.specs else ""
    return _entry(
        f"{kata.kata} · {exercise.name}", status, exercise.points, message, command, f"katas/{kata.kata}", seconds
    )


def _entry(name: str, status: str, score: int, message: str, command: str, filename: str, seconds: float) -> Json:
    return {
        "name": name,
        "status": status,
        "score": score,
        "message": message,
        "test_code": command,
        "filename": filename,
        "line_no": 0,
        "duration": round(seconds * 1000),
    }
