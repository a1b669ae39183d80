"""Renders a report as a `results.json` for Gradescope."""

import json

from grader.reports import scores, students_view, words
from grader.reports.scores import Scored
from grader.results import DONE, ExerciseResult, Report

Test = dict[str, str | float | list[str]]


def render(report: Report) -> str:
    """One test per exercise, with its first failure or its open edges as plain text.

    Where the course shows details only later, or only to staff, such a test has its
    verdict alone, and the text is in another one without points. Gradescope takes tests
    without points for information.
    A report that is not graded has neither score nor tests. Gradescope then shows an
    error and keeps no score.
    """
    shown = students_view.of(report)
    parts = [] if not report.is_whole else scores.scored(shown)
    score, _ = scores.total(parts)
    # what is never shown to students is for staff
    told = report if report.details == "hidden" else shown
    tests = [
        test
        for part in zip(parts, told.parts, _numbers(report))
        for test in _tests(*part, report)
    ]
    noted = [kata for kata in shown.katas if kata.message]
    if report.details == "visible":
        of_files = [words.of_file(kata) for kata in shown.katas if kata.why_no_code]
        lines = [
            *of_files,
            words.totals(shown),
            *(f"{kata.kata}: {kata.message}" for kata in noted),
        ]
    else:  # a note may quote code
        lines = [words.totals(shown)]
        tests += [
            _information(kata.kata, kata.message, kata.state == "works", report)
            for kata in noted
        ]
        lines += [
            f"{kata.kata}: {kata.state}" for kata in shown.katas if kata.why_no_code
        ]
    if not report.is_whole:
        lines.insert(0, words.gap(shown))
    results = {
        **({} if not report.is_whole else {"score": score}),
        "execution_time": round(report.seconds),
        "output": "\n".join(lines),
        "output_format": "text",
        "stdout_visibility": "hidden",
        **({} if not report.is_whole else {"tests": tests}),
    }
    return json.dumps(results, indent=2, ensure_ascii=False) + "\n"


def _numbers(report: Report) -> list[str]:
    """ "2.3" for the third exercise of the second kata."""
    return [
        f"{k}.{e}"
        for k, kata in enumerate(report.katas, start=1)
        for e, _ in enumerate(kata.exercises, start=1)
    ]


def _tests(
    part: Scored, full: ExerciseResult, number: str, report: Report
) -> list[Test]:
    """The test of an exercise, which is visible; and one for its details if these
    are not.

    Args:
        full: the exercise with everything that its details may say.
    """
    visible = report.details == "visible"
    test: Test = {
        "name": part.name,
        "number": number,
        "score": part.score,
        "max_score": part.max_score,
        "status": "passed" if part.exercise.so_far.point else "failed",
        "output": words.feedback(part.exercise)
        if visible
        else words.asked(part.exercise, words.tally(part.exercise)),
        "output_format": "text",
        "tags": [part.kata.kata, "stretch" if part.exercise.stretch else "core"],
        "visibility": "visible",
    }
    if visible or not (details := _details(full)):
        return [test]
    about = _information(
        f"{part.name} · details", details, part.exercise.so_far.point, report
    )
    return [test, {**about, "number": f"{number}.1"}]


def _details(exercise: ExerciseResult) -> str:
    """The first failure or the open edges, and every hidden spec that failed."""
    first = exercise.first_failure
    hidden = [
        spec
        for spec in exercise.specs
        if spec.hidden and spec != first and spec.status not in DONE
    ]
    return "\n\n".join(
        filter(None, [words.details(exercise), *map(words.failed, hidden)])
    )


def _information(name: str, text: str, works: bool, report: Report) -> Test:
    """A test without points, which students see when the course lets them
    see details.
    """
    status = "passed" if works else "failed"
    return {
        "name": name,
        "status": status,
        "output": text,
        "output_format": "text",
        "visibility": report.details,
    }
