"""Renders a report as Markdown: the summary of a GitHub workflow run, and the page of
a release.
"""

import re
from html import escape
from itertools import accumulate

from grader.reports import layout, words
from grader.reports.students_view import StudentReport
from grader.results import KataResult, number

# ❔: not decided
SIGNS = {"passed": "✅", "failed": "❌", "error": "💥", "not started": "⬜"}
LONGEST = 4000  # characters shown of one failure
WIDTH = 100  # of a failure, which no browser wraps
# characters of the whole: GitHub limits the page of a release to 125,000
MOST = 120_000


def render(report: StudentReport) -> str:
    """A table of the katas, a table of their exercises, then the first failure of each
    that was started, folded.
    """
    state = f" · {_inline(words.gap(report))}" if not report.is_whole else ""
    columns = [
        "kata",
        "",
        "points",
        "stars",
        *(["score"] if report.weighted else []),
        "to do",
        "open edges",
    ]
    first = [
        f"**{_inline(words.of_file(kata))}**\n"
        for kata in report.katas
        if kata.why_no_code
    ]
    lines = [
        *first,
        f"## {words.totals(report)}{state}",
        "",
        _row(columns),
        _row(["---"] * len(columns)),
    ]
    for kata in report.katas:
        score = (
            [f"{words.score(kata)}/{number(kata.max_score)}"] if report.weighted else []
        )
        open_ = [
            exercise.name for exercise in kata.exercises if not exercise.so_far.point
        ]
        edges = [
            exercise.name
            for exercise in kata.exercises
            if exercise.so_far.point and not exercise.so_far.star
        ]
        sums = [
            f"{amount}/{kata.max_points}"
            for amount in (words.points(kata), words.stars(kata))
        ]
        names = [", ".join(f"`{name}`" for name in part) for part in (open_, edges)]
        lines.append(
            _row(
                [
                    kata.kata,
                    f"{SIGNS.get(words.status(kata), '❔')} {words.state(kata)}",
                    *sums,
                    *score,
                    *names,
                ]
            )
        )
    parts = ["\n".join(lines).rstrip(), *(_exercises(kata) for kata in report.katas)]
    parts += [part for kata in report.katas for part in _failures(kata)]
    kept = sum(total <= MOST for total in accumulate(len(part) + 1 for part in parts))
    left_out = (
        [f"\n… cut after {MOST} characters: `kata grade` shows the rest"]
        if kept < len(parts)
        else []
    )
    return "\n".join([*parts[:kept], *left_out]) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _exercises(kata: KataResult) -> str:
    """The verdict on each exercise, and its star."""
    rows = [
        [f"`{one.name}`", words.star(one), _inline(words.verdict(one))]
        for one in kata.exercises
    ]
    return "\n".join(
        [
            "",
            _row([kata.kata, words.STAR, "verdict"]),
            _row(["---"] * 3),
            *map(_row, rows),
        ]
    )


def _failures(kata: KataResult) -> list[str]:
    """The first failure of each exercise, folded; of one that works, its first
    open edge.
    """
    parts = (
        [f"\n**{kata.kata}**: {'<br>'.join(map(_inline, kata.message.splitlines()))}"]
        if kata.message
        else []
    )
    for exercise in kata.exercises:
        failure = exercise.first_failure or next(iter(exercise.open_edges), None)
        if failure and not (exercise.not_written or kata.why_no_code):
            text = words.asked(
                exercise,
                words.with_printed(
                    _shortened(failure.message), _shortened(failure.printed)
                ),
            )
            sign = "open edge: " if failure.edge else ""
            summary = f"{kata.kata} · {exercise.name} · {sign}{escape(failure.title)}"
            folded = [
                "",
                f"<details><summary>{summary}</summary>",
                "",
                *_fenced(text),
                "",
                "</details>",
            ]
            parts.append("\n".join(folded))
    return parts


def _shortened(text: str) -> str:
    """The text, without its middle if it is long: the last lines say where the failure
    is and which command helps.
    """
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 500]}\n…\n{text[-500:]}"


def _fenced(text: str) -> list[str]:
    """A code block of lines of a page's width, whose fence is longer than any run of
    backticks in the text.
    """
    fence = "`" * max(
        3, 1 + max((len(run) for run in re.findall("`+", text)), default=0)
    )
    return [f"{fence}text", layout.wrapped(text, WIDTH, 0), fence]


def _inline(text: str) -> str:
    """The text on one line, with Markdown and HTML escaped."""
    return re.sub(
        r"([\\`*_{}\[\]+!|])", r"\\\1", escape(" ".join(text.split()), quote=False)
    )
