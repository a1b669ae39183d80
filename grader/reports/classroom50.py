"""Renders a report as a `result.json` for Classroom 50 (schema classroom50/result/v1)."""

import json
import os
from collections.abc import Mapping

from grader.results import Report

SCHEMA = "classroom50/result/v1"


def render(report: Report, environment: Mapping[str, str] = os.environ) -> str:
    """One test per exercise. The platform's runner names the student and the assignment in the environment."""
    given = {name: environment.get(name.upper(), "") for name in ("classroom", "assignment", "submission_tag")}
    links = {name: environment.get(f"{name.upper()}_URL", "") for name in ("commit", "release", "review")}
    tests = [
        {
            "test-name": f"{kata.kata} · {exercise.name}",
            "passed": exercise.solved,
            "score": exercise.points,
            "max-score": exercise.max_points,
        }
        for kata in report.katas
        for exercise in kata.exercises
    ]
    result = {
        "schema": SCHEMA,
        "classroom": given["classroom"],
        "assignment": given["assignment"],
        "assignment_type": environment.get("ASSIGNMENT_TYPE", "individual"),
        "owner": environment.get("OWNER") or environment.get("GITHUB_REPOSITORY_OWNER", ""),
        "submission": given["submission_tag"],
        **links,
        "datetime": report.started,
        "score": report.points,
        "max-score": report.max_points,
        "tests": tests,
    }
    return json.dumps(result, indent=2, ensure_ascii=False) + "\n"
