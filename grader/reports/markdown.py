"""Renders a report as Markdown for the summary of a GitHub workflow run."""

import re
from html import escape

from grader.reports import words
from grader.results import KataResult, Report, number, title

SIGNS = {"passed": "✅", "failed": "❌", "error": "💥", "not started": "⬜", "not graded": "❔"}
LONGEST = 4000  # characters shown of one failure: GitHub limits a summary to 1 MB


def render(report: Report) -> str:
    """A table of the katas, then the first failure of each exercise that was started, folded."""
    state = f" · {_inline(words.gap(report))}" if report.not_graded else ""
    columns = ["kata", "", "points", "stars", *(["score"] if report.weighted else []), "to do", "open edges"]
    lines = [f"## {words.totals(report)}{state}", "", _row(columns), _row(["---"] * len(columns))]
    for kata in report.katas:
        score = [f"{words.score(kata)}/{number(kata.max_score)}"] if report.weighted else []
        open_ = [exercise.name for exercise in kata.exercises if not exercise.works]
        edges = [exercise.name for exercise in kata.exercises if exercise.works and not exercise.holds]
        sums = [f"{amount}/{kata.max_points}" for amount in (words.points(kata), words.stars(kata))]
        names = [", ".join(f"`{name}`" for name in part) for part in (open_, edges)]
        lines.append(_row([kata.kata, f"{SIGNS[kata.status]} {kata.status}", *sums, *score, *names]))
    for kata in report.katas:
        lines += _failures(kata)
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _failures(kata: KataResult) -> list[str]:
    """The first failure of each exercise, folded; of one that works, its first open edge."""
    lines = [f"\n**{kata.kata}**: {_inline(kata.message)}"] if kata.message else []
    for exercise in kata.exercises:
        failure = exercise.first_failure or next(iter(exercise.open_edges), None)
        if failure and not exercise.not_written:
            told = words.with_printed(failure.message, failure.printed)
            text = told if len(told) <= LONGEST else told[:LONGEST] + "\n…"
            sign = "open edge: " if exercise.works else ""
            summary = f"{kata.kata} · {exercise.name} · {sign}{escape(title(failure.name))}"
            lines += ["", f"<details><summary>{summary}</summary>", "", *_fenced(text), "", "</details>"]
    return lines


def _fenced(text: str) -> list[str]:
    """A code block whose fence is longer than any run of backticks in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [f"{fence}text", text, fence]


def _inline(text: str) -> str:
    """The text on one line, with Markdown and HTML escaped."""
    return re.sub(r"([\\`*_{}\[\]+!|])", r"\\\1", escape(" ".join(text.split()), quote=False))
