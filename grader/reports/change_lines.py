"""Renders what changed when a class was graded again, as lines for a terminal."""

from collections.abc import Iterator
from itertools import groupby

from grader.reports.words import UNKNOWN
from grader.results import Change, number


def lines(changes: list[Change]) -> Iterator[str]:
    """A heading per student with the sum of the changes, then one line per exercise. The students are in order."""
    for student, group in groupby(changes, key=lambda change: change.student):
        found = list(group)
        known = [(one.before, one.after) for one in found if one.before is not None and one.after is not None]
        yield f"{student}: {sum(after - before for before, after in known):+g}"
        for one in found:
            yield f"  {one.kata} · {one.exercise}: {_score(one.before)} → {_score(one.after)}  ({one.why})"


def _score(score: float | None) -> str:
    return UNKNOWN if score is None else number(score)
