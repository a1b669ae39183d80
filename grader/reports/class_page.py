"""Renders the results of a class as a single HTML page, which is whole without scripts
and loads no file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from grader.failure import PYTHON
from grader.reports import page, statistics, unconfirmed, words
from grader.results import ClassReport, ExerciseResult, KataResult, Report, number

# from no points to all points, distinguishable with every kind of colour vision
SHADES = 5
# What the cell of a kata shows beside its points, or instead of them, by state; and the
# legend's order.
SIGNS = {
    "not recognised": "??",
    "not graded": "?",
    "unconfirmed": "?",
    "not handed in": "none",
    "does not parse": "¶",
    "import fails": "×",
    "untouched": "–",
    "crashed": "!",
    "excused": "E",
}
MEANINGS = {"unconfirmed": "2? two so far, others unconfirmed"}
# states that a person should look at
LOOK = ("not recognised", "not graded", "does not parse", "import fails")


@dataclass(frozen=True)
class Column:
    """A kata in the table of points."""

    short: str  # "16", "papers/13", "A"
    title: str  # the rest of its name, in words: "multi head attention"
    most: int  # points


@dataclass(frozen=True)
class Cell:
    """A kata's points, with a sign of its state."""

    state: str
    colour: str  # a CSS class
    # what it is sorted by: the points; empty, and last, where there are none
    order: int | str
    text: str


@dataclass(frozen=True)
class Row:
    """A student in the table of points."""

    student: str
    report: Report
    unknown: str  # the sign in place of sums that are not decided; empty if they are
    cells: list[Cell]


@dataclass(frozen=True)
class Look:
    """What a person should look at, and the lines for the file of overrides that
    decide it.
    """

    student: str
    state: str
    katas: str
    why: str
    decisions: list[str]


def render(report: ClassReport) -> str:
    """The page: what a person has to look at, scores and points, exercises, the
    time spent.
    """
    students = report.students.values()
    others = len(report.students.keys() - report.roster.keys()) if report.roster else 0
    everybody = words.counted(len(students) - others, "student")
    everybody += f" and {others} not in the roster" if others else ""
    scores = statistics.scores(report)
    bars = statistics.distribution(report)
    spent = statistics.seconds(report)
    most = _most_points(students)
    rows = [_row(student, one, most) for student, one in report.students.items()]
    return page.render(
        "class.html",
        heading=report.assignment or everybody,
        everybody=everybody,
        report=report,
        python=PYTHON,
        locks=unconfirmed,
        not_graded=sum(not one.is_whole for one in students),
        absent=sum(not statistics.handed_in(one) for one in students),
        weighted=any(one.weighted for one in students),
        timed=any(
            kata.timing or kata.excused for one in students for kata in one.katas
        ),
        scored=words.counted(len(scores), "student"),
        median=median(scores or [0]),
        max_score=max((one.max_score for one in students), default=0),
        look=_look(report),
        overrides=_overrides(report),
        bars=bars,
        unit="percent of the score, in tens" if bars[-1].label == "100" else "points",
        katas=[
            Column(_short(name), _title(name), points) for name, points in most.items()
        ],
        rows=rows,
        legend=_legend(rows),
        exercises=statistics.exercises(report),
        spent=spent,
        minutes=number(sum(spent.values()) / 60),
    )


def _look(report: ClassReport) -> list[Look]:
    """The submissions of nobody; the katas that are not graded or could not be run, of
    each student and state.
    """
    nobodys = [
        Look(name, "nobody's", "", f"{why}: name it as an id", [])
        for name, why in report.unowned.items()
    ]
    found = [
        Look(
            student,
            state,
            ", ".join(katas),
            why,
            unconfirmed.decisions(report, student, katas, state),
        )
        for student, one in report.students.items()
        for state in LOOK
        for why, katas in words.alike(
            (kata for kata in one.katas if kata.state == state), _why
        ).items()
    ]
    return nobodys + sorted(found, key=lambda one: LOOK.index(one.state))


def _why(kata: KataResult) -> str:
    return kata.why_no_code.line if kata.why_no_code else words.not_graded(kata)


def _overrides(report: ClassReport) -> list[tuple[str, KataResult, ExerciseResult]]:
    """What a teacher has decided."""
    return [
        (student, kata, exercise)
        for student, one in report.students.items()
        for kata in one.katas
        for exercise in kata.exercises
        if exercise.override
    ]


def _most_points(students: Iterable[Report]) -> dict[str, int]:
    """The points that there are in each kata."""
    most: dict[str, int] = {}
    for kata in (kata for one in students for kata in one.katas):
        most[kata.kata] = max(kata.max_points, most.get(kata.kata, 0))
    return most


def _row(student: str, report: Report, katas: Iterable[str]) -> Row:
    by_name = {kata.kata: kata for kata in report.katas}
    unknown = SIGNS["excused"] if report.excused else words.UNKNOWN
    return Row(
        student,
        report,
        "" if report.total else unknown,
        [_cell(by_name.get(name)) for name in katas],
    )


def _cell(kata: KataResult | None) -> Cell:
    state = kata.state if kata else "not graded"
    if kata is None or kata.gap or kata.excused:
        return Cell(state, "notgraded", "", SIGNS[state])
    points = kata.so_far.points
    if state == "unconfirmed":
        return Cell(state, "unconfirmed", points, f"{points}?")
    if state in statistics.ABSENT:
        return Cell(state, "notstarted", -1, SIGNS[state])
    shade = int(points / kata.max_points * (SHADES - 1)) if kata.max_points else 0
    shown = f"{points} {SIGNS.get(state, '')}".rstrip()
    return Cell(state, f"shade{shade}", points, shown)


def _legend(rows: list[Row]) -> str:
    """What the signs in the cells mean."""
    states = {cell.state for row in rows for cell in row.cells}
    signs = [
        MEANINGS.get(state, f"{sign} {state}")
        for state, sign in SIGNS.items()
        if state in states
    ]
    return "; ".join(["points per kata", *signs])


def _short(kata: str) -> str:
    short = words.kata_number(kata)
    return (
        short.removeprefix("appendix_").upper()
        if kata.startswith("appendix_")
        else short
    )


def _title(kata: str) -> str:
    return kata.removeprefix(words.kata_number(kata)).replace("_", " ").strip()
