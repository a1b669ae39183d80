"""Renders a report for GitHub Classroom: the JSON that an autograding step passes on, in base64, as its `result`."""

import json

from grader.reports import scores, students_view, words
from grader.reports.scores import Scored
from grader.results import Report

Json = dict[str, str | float]


def render(report: Report) -> str:
    """One test per exercise. One that is not graded is an `error`, and so is its report; an empty report says so.

    The format asks for a number as score, so that only the status tells such a test from one that failed.
    """
    parts = scores.scored(students_view.of(report))
    _, max_score = scores.total(parts)
    tests = [_test(part) for part in parts]
    if report.not_graded:
        status = "error"
    else:
        status = "pass" if all(kata.status == "passed" for kata in report.katas) else "fail"
    tests = tests or [_entry("grading", "error", 0, "nothing was graded", "kata grade", "", 0.0)]
    data = {"version": 1, "status": status, "max_score": max_score, "tests": tests}
    return json.dumps(data, ensure_ascii=False) + "\n"


def _test(part: Scored) -> Json:
    kata, exercise = part.kata.kata, part.exercise
    failure = exercise.first_failure
    ended = failure and failure.status in ("error", "missing") and not exercise.unconfirmed
    broken = exercise.not_graded or ended
    status = "error" if broken else "pass" if exercise.works else "fail"
    seconds = sum(spec.seconds for spec in exercise.specs)
    named = next((spec.name.partition("::")[0] for spec in exercise.specs if spec.name), "")
    command = f"pytest katas/{kata} -k {named}" if named else ""
    return _entry(part.name, status, part.score, words.feedback(exercise), command, f"katas/{kata}", seconds)


def _entry(name: str, status: str, score: float, message: str, command: str, filename: str, seconds: float) -> Json:
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
