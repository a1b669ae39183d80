"""Renders a report as Markdown for the summary of a GitHub workflow run."""

import re
from html import escape

from grader.results import KataResult, Report, title

SIGNS = {"passed": "✅", "failed": "❌", "error": "💥", "not started": "⬜"}
LONGEST = 4000  # characters shown of one failure: GitHub limits a summary to 1 MB


def render(report: Report) -> str:
    """A table of the katas, then the first failure of each exercise that was started, folded."""
    state = "" if report.complete else " · interrupted, the rest was not graded"
    lines = [
        f"## {report.points} of {report.max_points} points{state}",
        "",
        "| kata | | points | open |",
        "| --- | --- | --- | --- |",
    ]
    for kata in report.katas:
        open_ = ", ".join(f"`{e.name}`" for e in kata.exercises if not e.solved)
        lines.append(
            f"| {kata.kata} | {SIGNS[kata.status]} {kata.status} | {kata.points}/{kata.max_points} | {open_} |"
        )
    for kata in report.katas:
        lines += _failures(kata)
    return "\n".join(lines) + "\n"


def _failures(kata: KataResult) -> list[str]:
    lines = [f"\n**{kata.kata}**: {_inline(kata.message)}"] if kata.message else []
    for exercise in kata.exercises:
        failure = exercise.first_failure
        if failure and not exercise.not_written:
            text = failure.message if len(failure.message) <= LONGEST else failure.message[:LONGEST] + "\n…"
            summary = f"{kata.kata} · {exercise.name} · {escape(title(failure.name))}"
            lines += ["", f"<details><summary>{summary}</summary>", "", *_fenced(text), "", "</details>"]
    return lines


def _fenced(text: str) -> list[str]:
    """A code block whose fence is longer than any run of backticks in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [f"{fence}text", text, fence]


def _inline(text: str) -> str:
    """The text on one line, with Markdown and HTML escaped."""
    return re.sub(r"([\\`*_{}\[\]+!|])", r"\\\1", escape(" ".join(text.split()), quote=False))
