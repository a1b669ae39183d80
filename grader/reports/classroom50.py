"""Renders a report as a `result.json` for Classroom 50 (schema
classroom50/result/v1).
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime

from grader.reports import scores, words
from grader.reports.students_view import StudentReport

SCHEMA = "classroom50/result/v1"


def render(report: StudentReport, environment: Mapping[str, str] = os.environ) -> str:
    """One test per exercise. The platform's runner names the student and the assignment
    in the environment.

    The submission's own time is there in SUBMITTED_AT, so that grading it again later
    does not make it late. Without that variable, the time of grading stands for it.
    """
    given = {
        name: environment.get(name.upper(), "")
        for name in ("classroom", "assignment", "submission_tag")
    }
    links = {
        name: environment.get(f"{name.upper()}_URL", "")
        for name in ("commit", "release", "review")
    }
    # Without a score the platform's runner refuses the file, instead of keeping a
    # wrong one.
    graded = report.is_whole
    # the platform takes only integers, no higher than their maximum
    parts = scores.scored(report, digits=0)
    score, max_score = scores.total(parts)
    tests = [
        {
            "test-name": part.name,
            "passed": part.exercise.so_far.point,
            "score": part.score,
            "max-score": part.max_score,
            "message": words.feedback(part.exercise),
        }
        for part in parts
    ]
    result = {
        "schema": SCHEMA,
        "classroom": given["classroom"],
        "assignment": given["assignment"],
        "assignment_type": environment.get("ASSIGNMENT_TYPE", "individual"),
        "owner": environment.get("OWNER") or environment.get("USERNAME", ""),
        "submission": given["submission_tag"],
        **links,
        "datetime": _in_utc(environment.get("SUBMITTED_AT") or report.started),
        "graded_at": _in_utc(report.started),
        **({"score": score} if graded else {}),
        "max-score": max_score,
        "tests": tests if graded else [],
    }
    return json.dumps(result, indent=2, ensure_ascii=False) + "\n"


def _in_utc(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
