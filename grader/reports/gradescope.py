"""Renders a report as a `results.json` for Gradescope."""

import json

from grader.reports import scores, words
from grader.reports.scores import Scored
from grader.results import Report


def render(report: Report) -> str:
    """One test per exercise, with its first failure or its open edges as plain text.

    A report that is not graded has neither score nor tests. Gradescope then shows an error and keeps no score.
    """
    parts = [] if report.not_graded else scores.scored(report)
    score, _ = scores.total(parts)
    tests = [_test(part, number) for part, number in zip(parts, _numbers(report), strict=False)]
    notes = [words.totals(report), *(f"{kata.kata}: {kata.message}" for kata in report.katas if kata.message)]
    if report.not_graded:
        notes.insert(0, words.gap(report))
    results = {
        **({} if report.not_graded else {"score": score}),
        "execution_time": round(report.seconds),
        "output": "\n".join(notes),
        "output_format": "text",
        "stdout_visibility": "hidden",
        **({} if report.not_graded else {"tests": tests}),
    }
    return json.dumps(results, indent=2, ensure_ascii=False) + "\n"


def _numbers(report: Report) -> list[str]:
    """ "2.3" for the third exercise of the second kata."""
    return [f"{k}.{e}" for k, kata in enumerate(report.katas, start=1) for e, _ in enumerate(kata.exercises, start=1)]


def _test(part: Scored, number: str) -> dict[str, str | float | list[str]]:
    return {
        "name": part.name,
        "number": number,
        "score": part.score,
        "max_score": part.max_score,
        "status": "passed" if part.exercise.works else "failed",
        "output": words.details(part.exercise),
        "output_format": "text",
        "tags": [part.kata.kata, "stretch" if part.exercise.stretch else "core"],
        "visibility": "visible",
    }
