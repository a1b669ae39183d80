"""Reads a course's roster, a CSV file, and finds out which submission is whose."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from grader.errors import BrokenRoster
from grader.results import Identity
from grader.teaching import dates, tables
from grader.teaching.submissions import Submission

NEEDED = ("id", "name", "email")


@dataclass(frozen=True)
class Person(Identity):
    """A student of the course. `due` and `extension` change when their submission is late."""

    due: datetime | None = None  # without a time zone, it is in the rules' zone
    extension: timedelta = timedelta()

    @property
    def label(self) -> str:
        """The student's name in reports."""
        return (f"{self.name} ({self.id})" if self.name else self.id).replace("/", " ")  # pages are called so, too


def read(path: Path) -> list[Person]:
    """The people in a roster: a header with id, name and email, perhaps due and extension, and a line per person.

    Raises:
        BrokenRoster: the file cannot be read or breaks the format. The message has the number of the line.
    """
    people: dict[str, Person] = {}
    lines: dict[str, int] = {}
    for line, cells, _ in tables.rows(path, NEEDED, BrokenRoster):
        key = cells["id"].casefold()
        if not key:
            raise BrokenRoster(f"{path}:{line}: the id is empty")
        if key in lines:
            raise BrokenRoster(f"{path}:{line}: the id {cells['id']} is there already, in line {lines[key]}")
        lines[key] = line
        due, extension = cells.get("due"), cells.get("extension")
        try:
            when = dates.moment(due) if due else None, dates.length(extension) if extension else timedelta()
        except ValueError as error:
            raise BrokenRoster(f"{path}:{line}: {error}") from None
        people[key] = Person(cells["id"], cells["name"], cells["email"], *when)
    if not people:
        raise BrokenRoster(f"{path}: holds nobody")
    return list(people.values())


def assigned(handed_in: Iterable[Submission], people: list[Person]) -> tuple[list[Submission], list[str]]:
    """One submission per person, in the roster's order, then those that nobody in it owns, and the names of those.

    Several submissions of one person become one. A person without one has a submission without places.
    """
    places: dict[str, list[Path]] = {person.id: [] for person in people}
    labels = {person.label for person in people}
    others = []
    for submission in handed_in:
        if person := owner(submission.student, people):
            places[person.id] += submission.places
        elif submission.student in labels:  # a file may be named as reports name somebody
            others.append(replace(submission, student=f"{submission.student}, not in the roster"))
        else:
            others.append(submission)
    own = [Submission(person.label, tuple(places[person.id])) for person in people]
    return own + others, [submission.student for submission in others]


def owner(name: str, people: Iterable[Person]) -> Person | None:
    """The one person with this id; without any, the one with this local part of the email, or else with this name."""
    found: tuple[list[Person], ...] = ([], [], [])
    ids = {name.casefold(), *name.casefold().split("_")}  # Canvas: lovelaceada_12345
    names = {_letters(name), _letters(name.partition("_")[0])} - {""}
    for person in people:
        words = person.name.replace(",", " ").split()
        orders = (words, [*words[-1:], *words[:-1]], [*words[1:], *words[:1]])  # Ada Lovelace, Lovelace Ada
        signs = (
            person.id.casefold() in ids,
            person.email.partition("@")[0].casefold() == name.casefold(),
            bool(names & {_letters("".join(order)) for order in orders}),
        )
        for some, sign in zip(found, signs, strict=True):
            if sign:
                some.append(person)
    surest = next((some for some in found if some), [])
    return surest[0] if len(surest) == 1 else None


def _letters(name: str) -> str:
    """A name without accents, spaces and case."""
    return "".join(c for c in unicodedata.normalize("NFKD", name).casefold() if c.isalnum())
