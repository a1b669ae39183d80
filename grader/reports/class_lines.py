"""The lines of a student of a class on a terminal: totals, what the teacher has
decided, how the score comes about.
"""

from grader.reports import explanation, words
from grader.results import Report


def of(
    student: str,
    report: Report,
    lost: str = "",
    *,
    absent: bool = False,
    explain: bool = False,
) -> list[str]:
    """The lines on a student.

    Args:
        lost: why a kata was not graded.
        absent: nothing was handed in.
        explain: say how the score comes about.
    """
    decided = [f"  {line}" for line in words.overrides(report.katas)]
    told = (
        f" · {words.of_files(report)}" if words.of_files(report) and not absent else ""
    )
    missing = f"  ({lost})" if not report.is_whole and lost not in told else ""
    first = (
        f"{student}: "
        f"{'not handed in · ' if absent else ''}{words.totals(report)}{told}{missing}"
    )
    explained = (
        [f"  {line}" for line in [*explanation.lines(report), *words.lateness(report)]]
        if explain
        else []
    )
    return [first, *decided, *explained]
