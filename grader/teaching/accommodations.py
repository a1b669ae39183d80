"""Reads what a teacher allows students for a kata: another date, more time, work
excused, lateness waived.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from grader.course import catalogue
from grader.errors import BrokenAccommodations, KataError
from grader.teaching import dates, roster, tables
from grader.teaching.roster import Person

KINDS = ("due", "extension", "excused", "waive_late")
NEEDED = ("id", "kata", "reason")
YES, NO = ("yes", "true", "x", "1"), ("", "no", "false", "0")
EVERY = "all"  # in the column kata


@dataclass(frozen=True)
class Accommodation:
    """What is allowed, in one of four kinds, and why."""

    reason: str
    due: datetime | None = None
    extension: timedelta | None = None
    excused: bool = False
    waive_late: bool = False

    @property
    def said(self) -> str:
        """ "lateness waived: ill", as reports show it; the length of an extension
        stands with the date.
        """
        kind = (
            "lateness waived"
            if self.waive_late
            else "a date of their own"
            if self.due
            else "extended"
        )
        return self.reason if self.excused else f"{kind}: {self.reason}"

    @property
    def cells(self) -> dict[str, str]:
        """As `of_cells` takes it, and as a line of the file says it."""
        return {
            "due": self.due.isoformat() if self.due else "",
            "extension": ""
            if self.extension is None
            else dates.written(self.extension),
            "excused": "yes" if self.excused else "",
            "waive_late": "yes" if self.waive_late else "",
            "reason": self.reason,
        }


# by student and full name of a kata
Accommodations = Mapping[tuple[str, str], Accommodation]


def read(
    path: Path, students: Iterable[str], people: list[Person]
) -> dict[tuple[str, str], Accommodation]:
    """The accommodations in a CSV file: a line per student and kata, or with "all" for
    every kata without its own line.

    Args:
        students: everybody's name in reports.
        people: the roster, whose ids count. Who is not in it, and everybody without a
            roster, has their name as id.
    Raises:
        BrokenAccommodations: the file cannot be read, or lines of it fit nobody and
            nothing: a sentence for each.
    """
    by_id = roster.named_by_id(students, people)
    katas = [kata.name for kata in catalogue.all_katas()]
    own: dict[tuple[str, str], Accommodation] = {}
    lines: dict[tuple[str, str], int] = {}
    problems: list[str] = []
    for line, cells, rest in tables.rows(path, NEEDED, BrokenAccommodations):
        try:
            tables.refuse(rest)
            student = by_id(cells["id"])
            kata = (
                EVERY
                if cells["kata"].casefold() == EVERY
                else catalogue.find(cells["kata"]).name
            )
            if (first := lines.setdefault((student, kata), line)) != line:
                raise ValueError(
                    f"{kata} of {cells['id']} is in line {first} already: keep one of "
                    "them"
                )
            own[student, kata] = of_cells(cells)
        except (KataError, ValueError) as error:
            problems.append(f"{path}:{line}: {error}")
    if problems:
        raise BrokenAccommodations("\n".join(problems))
    general = {
        (student, name): one
        for (student, kata), one in own.items()
        if kata == EVERY
        for name in katas
    }
    return general | {place: one for place, one in own.items() if place[1] != EVERY}


def excused(allowed: Accommodations, student: str, kata: str) -> str:
    """Why a student is excused from a kata; empty if not."""
    one = allowed.get((student, kata))
    return one.reason if one and one.excused else ""


def of_cells(cells: Mapping[str, str]) -> Accommodation:
    """One line's. Exactly one of the four kinds says something.

    Raises:
        ValueError: it breaks the format.
    """
    if not cells["reason"]:
        raise ValueError(
            "the reason is empty: say why, since the student's page shows it"
        )
    for column in ("excused", "waive_late"):
        if cells.get(column, "").casefold() not in (*YES, *NO):
            raise ValueError(
                f"{column} is '{cells[column]}': write yes, or leave it empty"
            )
    due, extension = cells.get("due"), cells.get("extension")
    excused, waived = (
        cells.get(column, "").casefold() in YES for column in ("excused", "waive_late")
    )
    if sum(map(bool, (due, extension, excused, waived))) != 1:
        raise ValueError(f"exactly one of {', '.join(KINDS)} must say something")
    when = dates.moment(due) if due else None
    return Accommodation(
        cells["reason"],
        when,
        dates.length(extension) if extension else None,
        excused,
        waived,
    )
