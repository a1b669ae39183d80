"""Renders what changed when a class was graded again, as lines for a terminal."""

from collections.abc import Iterator
from itertools import groupby

from grader.reports.words import UNKNOWN, counted
from grader.results import Change, number

SHOWN = 10  # students of an exercise


def lines(changes: list[Change]) -> Iterator[str]:
    """A heading per student with the sum of the changes, then one line per exercise.
    The students are in order.
    """
    for student, group in groupby(changes, key=lambda change: change.student):
        found = list(group)
        known = [
            (one.before, one.after)
            for one in found
            if one.before is not None and one.after is not None
        ]
        yield f"{student}: {sum(after - before for before, after in known):+g}"
        for one in found:
            yield (
                f"  {one.kata} · {one.exercise}: {_score(one.before)} → "
                f"{_score(one.after)}  ({one.why})"
            )


def by_exercise(changes: list[Change]) -> Iterator[str]:
    """The effect of a changed spec or rule: a line per exercise, with the students who
    gain and who lose.
    """
    places = sorted({(one.kata, one.exercise) for one in changes})
    for place in places:
        some = [one for one in changes if (one.kata, one.exercise) == place]
        gain = [one.student for one in some if (one.after or 0) > (one.before or 0)]
        lose = [one.student for one in some if (one.after or 0) < (one.before or 0)]
        parts = [
            _affected(who, verb)
            for who, verb in ((gain, "gain"), (lose, "lose"))
            if who
        ]
        if parts:
            yield f"{' · '.join(place)}: {'; '.join(parts)}"


def _affected(students: list[str], verb: str) -> str:
    """ "1 student gains (ann)", "12 students lose (ann, bob, …)"."""
    names = ", ".join(students[:SHOWN]) + (", …" if len(students) > SHOWN else "")
    return (
        f"{counted(len(students), 'student')} "
        f"{verb}{'s' if len(students) == 1 else ''} ({names})"
    )


def _score(score: float | None) -> str:
    return UNKNOWN if score is None else number(score)
