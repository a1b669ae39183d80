"""Reads a course's roster, a CSV file of the teacher or of a platform, and finds out
which submission is whose.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from grader.errors import BrokenRoster
from grader.reports import csv_cells
from grader.results import Identity
from grader.teaching import dates, gradescope_export, signs, tables
from grader.teaching.submissions import Submission
from grader.teaching.times import HandIn

STRANGER = "nobody in the roster has this id, email or name"
# behind the name of a repository that was downloaded as a zip archive
BRANCH = re.compile(r"-(?:main|master)$")
# Letters that have no accent to take away, as people write them without.
PLAIN = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"}
)
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})


@dataclass(frozen=True)
class Layout:
    """The columns of a roster. Spaces, hyphens and underscores in a header are
    the same.

    Attributes:
        needed: the header has all of them.
        ids: every id that a student has. The first that is not empty is the student's
            id here.
        names: the parts of the name.
        number: the column with the platform's own number, by which it names what
            it downloads.
    """

    platform: str
    needed: tuple[str, ...]
    ids: tuple[str, ...]
    names: tuple[str, ...]
    email: str = "email"
    number: str = ""


# columns of a teacher's own roster with further ids
ALSO = ("username", "github username", "login")
LAYOUTS = (
    Layout("", ("id", "name", "email"), ("id", *ALSO), ("name",)),
    Layout(
        "Canvas",
        ("student", "id", "section"),
        ("sis user id", "sis login id", "id"),
        ("student",),
        number="id",
    ),
    Layout(
        "Moodle",
        ("identifier", "full name"),
        ("id number", "username", "email address", "identifier"),
        ("full name",),
        "email address",
        "identifier",
    ),
    *(
        Layout(
            "Moodle",
            needed,
            ("id number", "username", "email address"),
            ("first name", last),
            "email address",
        )
        for last in ("last name", "surname")
        for needed in (
            ("first name", last, "email address"),
            ("first name", last, "id number"),
        )
    ),
    Layout(
        "Classroom 50",
        ("username", "first name", "last name"),
        ("username", "email"),
        ("first name", "last name"),
    ),
    Layout("Classroom 50", ("username",), ("username", "email"), ("name",)),
)
OWN = LAYOUTS[0]
EXPECTED = "it needs {}; set the platform to English before you export the list".format(
    "; ".join(
        f"from {one.platform} " * bool(one.platform) + ", ".join(one.needed)
        for one in LAYOUTS[:4]
    )
)
MOODLE_TIME = "last modified (submission)"  # "Thursday, 3 December 2026, 10:00 AM"
NOT_STUDENTS = ("points possible", "student, test")  # rows of Canvas


@dataclass(frozen=True)
class Person(Identity):
    """A student of the course. `due` and `extension` change when their submission
    is late.

    `handed_in` is when their whole submission was handed in, where the list keeps that.
    `others` are further ids, such as a GitHub username. `number` is a platform's own,
    such as "Canvas 12345".
    """

    due: datetime | None = None  # without a time zone, it is in the rules' zone
    extension: timedelta = timedelta()
    handed_in: HandIn | None = None
    others: tuple[str, ...] = field(default=(), kw_only=True)
    number: str = field(default="", kw_only=True)

    @property
    def label(self) -> str:
        """The student's name in reports."""
        # pages are called so, too
        return (f"{self.name} ({self.id})" if self.name else self.id).replace("/", " ")


def read(path: Path) -> list[Person]:
    """The people in a roster: a header with id, name and email, perhaps due and
    extension, and a line per person.

    The lists of Classroom 50, Canvas, Moodle and Gradescope are taken as these
    export them.

    Raises:
        BrokenRoster: the file cannot be read or breaks the format. The message has the
            number of the line.
    """
    if path.suffix == ".yml":
        return _of_gradescope(path)
    people: dict[str, Person] = {}
    lines: dict[str, int] = {}
    chosen = [OWN]

    def needed(columns: list[str]) -> tuple[str, ...]:
        written = {_column(name): name for name in columns}
        chosen[0] = next(
            (
                layout
                for layout in LAYOUTS
                if all(name in written for name in layout.needed)
            ),
            OWN,
        )
        if chosen[0] == OWN and len(written.keys() & set(OWN.needed)) < 2:
            raise BrokenRoster(
                f"{path}:1: the header has no column id, name, email, or is not in "
                f"English: {EXPECTED}"
            )
        return tuple(written.get(name, name) for name in chosen[0].needed)

    for line, written, _ in tables.rows(path, needed, BrokenRoster):
        cells, layout = _by_column(written), chosen[0]
        if _is_nobody(cells, layout):
            continue
        ids = [cells[name] for name in layout.ids if cells.get(name)]
        if not ids:
            raise BrokenRoster(f"{path}:{line}: the id is empty")
        if ids[0] in lines:
            raise BrokenRoster(
                f"{path}:{line}: the id {ids[0]} is there already, in line "
                f"{lines[ids[0]]}"
            )
        lines[ids[0]] = line
        due, extension = cells.get("due"), cells.get("extension")
        try:
            when = (
                dates.moment(due) if due else None,
                dates.length(extension) if extension else timedelta(),
            )
            handed_in = _handed_in(cells, path.name)
        except ValueError as error:
            raise BrokenRoster(f"{path}:{line}: {error}") from None
        people[ids[0]] = replace(
            _person(cells, layout, ids, *when), handed_in=handed_in
        )
    if not people:
        raise BrokenRoster(f"{path}: holds nobody")
    return list(people.values())


def _of_gradescope(path: Path) -> list[Person]:
    """The people of Gradescope's list. Who is in two groups is there with the
    newer submission.
    """
    found: dict[str, Person] = {}
    for one in sorted(gradescope_export.read(path), key=lambda one: int(one.number)):
        handed_in = HandIn(one.handed_in, f"{path.name}") if one.handed_in else None
        person = Person(
            one.id,
            one.name,
            one.email,
            handed_in=handed_in,
            number=f"Gradescope {one.number}",
        )
        found[one.id] = person
    return list(found.values())


def _handed_in(cells: Mapping[str, str], file: str) -> HandIn | None:
    """The time in the column `handed_in`, or in that of Moodle's worksheet. Moodle's in
    other languages is not known.

    Raises:
        ValueError: `handed_in` is no date.
    """
    if written := cells.get("handed in"):
        return HandIn(dates.moment(written), f"handed_in in {file}")
    with suppress(ValueError):
        return HandIn(
            datetime.strptime(cells.get(MOODLE_TIME, ""), "%A, %d %B %Y, %I:%M %p"),
            f"Moodle's {file}",
        )
    return None


def _column(written: str) -> str:
    return re.sub(r"[\s_-]+", " ", written).strip()


def _by_column(written: Mapping[str, str]) -> dict[str, str]:
    """The cells by the plain names of their columns. Of two with one name the first
    that is not empty counts.
    """
    cells: dict[str, str] = {}
    for name, cell in written.items():
        cells[_column(name)] = cells.get(_column(name)) or cell
    return cells


def _is_nobody(cells: Mapping[str, str], layout: Layout) -> bool:
    """Tell if a row of a platform's export is no student's."""
    if layout.platform == "Canvas":
        return cells["student"].casefold() in NOT_STUDENTS or not (
            cells["student"] or cells["id"]
        )
    return layout.platform == "Classroom 50" and cells.get(
        "role", ""
    ).casefold() not in ("", "student")


def _person(
    cells: Mapping[str, str],
    layout: Layout,
    ids: list[str],
    due: datetime | None,
    extension: timedelta,
) -> Person:
    name = " ".join(cells[part] for part in layout.names if cells.get(part))
    email = cells.get(layout.email, "") or (ids[0] if "@" in ids[0] else "")
    number = re.search(r"\d+$", cells[layout.number]) if layout.number else None
    known = (
        ids[1:]
        if layout.number == ""
        else [one for one in ids[1:] if one != cells[layout.number]]
    )
    canvas = (
        ("id", "sis user id", "sis login id", "section")
        if layout.platform == "Canvas"
        else ()
    )
    return Person(
        ids[0],
        name,
        email,
        due,
        extension,
        canvas=tuple(cells.get(column, "") for column in canvas),
        others=tuple(one for one in known if one != email),
        number=f"{layout.platform} {number[0]}" if number else "",
    )


def assigned(
    handed_in: Iterable[Submission],
    people: list[Person],
    strangers: Iterable[Submission] = (),
) -> tuple[list[Submission], dict[str, str]]:
    """One submission per person, in the roster's order, then those that nobody in it
    owns, and why of each of those.

    Several submissions of one person become one. A person without one has a submission
    without places.

    Args:
        strangers: entries of the folder that are a submission only if they are called
            as somebody is.
    """
    places: dict[str, list[Path]] = {person.id: [] for person in people}
    labels = {person.label for person in people}
    others, unowned = [], dict[str, str]()
    handed_in = list(handed_in)
    whose = owners([*handed_in, *strangers], people)
    for submission, found in whose:
        if isinstance(found, Person):
            places[found.id] += submission.places
            continue
        if found == STRANGER and submission.is_test:
            continue
        if (
            found == STRANGER
            and submission not in handed_in
            and not signs.is_called_code(submission.places[0].name)
        ):
            continue
        if submission.student in labels:  # a file may be named as reports name somebody
            submission = replace(
                submission, student=f"{submission.student}, not in the roster"
            )
        others.append(submission)
        unowned[submission.student] = found
    own = [Submission(person.label, tuple(places[person.id])) for person in people]
    return own + others, unowned


def named_by_id(
    students: Iterable[str], people: Iterable[Person]
) -> Callable[[str], str]:
    """What finds a student's name in reports by the roster's id, or by itself where
    nobody of the roster has it.

    An id counts as the grader's own CSV files write it, too: '=7 for =7.
    It raises ValueError for an id that nobody has.
    """
    people = list(people)
    labels = {person.label for person in people}
    names = {student: student for student in students if student not in labels}
    ids = {person.id: person.label for person in people}
    plain = names | ids
    quoted = {csv_cells.as_text(one): student for one, student in plain.items()}

    def student(written: str) -> str:
        found = plain.get(written) or quoted.get(written)
        if found is None:
            whose = (
                "an id of the roster"
                if ids
                else "the name of a submission as the results show it"
            )
            raise ValueError(f"nobody has the id '{written}': write {whose}")
        return found

    return student


def owner(name: str, people: Iterable[Person]) -> Person | None:
    """The one person whose submission has this name, if it is alone in its folder."""
    [(_, found)] = owners([Submission(name, ())], people)
    return found if isinstance(found, Person) else None


def owners(
    handed_in: Iterable[Submission], people: Iterable[Person]
) -> list[tuple[Submission, Person | str]]:
    """The one person to whom each submission belongs, or why it is nobody's.

    A platform's own number decides. Otherwise an id does, then an email, then a name;
    then an id at the end of a repository's name, such as "dl26-attention-ada". There
    the beginning that most repositories share decides, and then the longest id. "Ada"
    is the submission of "ada", as platforms write it, unless somebody's id is "Ada".
    """
    people = list(people)
    found = [(submission, _signed(submission, people)) for submission in handed_in]
    ends = [
        _ends(submission.student, people) if who == STRANGER else []
        for submission, who in found
    ]
    shared = Counter(
        start for some in ends for start in {start for start, _, _ in some}
    )
    return [
        (one, _by_end(end, shared) if end else who)
        for (one, who), end in zip(found, ends, strict=True)
    ]


def _signed(submission: Submission, people: list[Person]) -> Person | str:
    """The person whom the whole name of a submission names."""
    name, number = submission.student, submission.number
    platform = number.partition(" ")[0]
    if number and any(person.number.startswith(platform) for person in people):
        return _one(person for person in people if person.number == number)
    if not number:
        if found := _with_id({name}, people) or [
            person for person in people if _has_email(person, name.casefold())
        ]:
            return _one(found)
    parts = set(name.split("_")) if platform != "Moodle" else set()
    with_id = _with_id(parts, people)
    by_part = [
        one
        for one in people
        if one in with_id or one.number.partition(" ")[2] in parts - {""}
    ]
    by_name = _called(submission.student, platform, people)
    if by_part and by_name:
        both_ways = [person for person in by_part if person in by_name]
        by_part, by_name = (both_ways, []) if both_ways else (by_part, by_name)
    if by_part and by_name:
        both = " or ".join(person.label for person in [*by_part, *by_name][:3])
        return f"its number and its name are not one person's: {both}"
    return _one(by_part or by_name)


def _one(found: Iterable[Person]) -> Person | str:
    some = list(found)
    if len(some) > 1:
        return f"it could be that of {' or '.join(person.label for person in some[:3])}"
    return some[0] if some else STRANGER


def _ids(person: Person) -> set[str]:
    return {person.id, *person.others}


def _with_id(written: set[str], people: list[Person]) -> list[Person]:
    """The people with one of these ids; of an id that nobody has so, those who have it
    in other letters' case.
    """
    has_it = {one.casefold() for person in people for one in _ids(person) & written}
    folded = {one.casefold() for one in written} - has_it
    return [
        person
        for person in people
        if any(one in written or one.casefold() in folded for one in _ids(person))
    ]


def _has_email(person: Person, name: str) -> bool:
    email = person.email.casefold()
    return bool(name) and name in (email, email.partition("@")[0])


def _called(name: str, platform: str, people: list[Person]) -> list[Person]:
    """The people with this name. Of several the one whose first and last name are in
    the platform's order.
    """
    keys = _letters(name) | _letters(name.partition("_")[0])
    found = [person for person in people if keys & set().union(*_names(person.name))]
    in_order = [
        person
        for person in found
        if keys & _names(person.name)[-1 if platform == "Canvas" else 0]
    ]
    return in_order if platform and in_order else found


@cache
def _names(name: str) -> list[set[str]]:
    """A name in every order of its words: Ada Lovelace, and at last Lovelace Ada."""
    last, comma, first = name.partition(",")
    words = [*first.split(), *last.split()] if comma else name.split()
    return [
        _letters(" ".join(words[start:] + words[:start])) for start in range(len(words))
    ] or [set()]


def _ends(name: str, people: list[Person]) -> list[tuple[str, str, Person]]:
    """What a name has before an id, that id, and the person, for everybody with whose
    id the name ends.
    """
    for some in (name, BRANCH.sub("", name)):
        folded = some.casefold()
        fits = [
            (one, person)
            for person in people
            for one in _ids(person)
            if folded.endswith(f"-{one.casefold()}")
        ]
        exact = {one.casefold() for one, _ in fits if some.endswith(one)}
        found = [
            (folded.removesuffix(one.casefold()), one, person)
            for one, person in fits
            if (some.endswith(one) or one.casefold() not in exact)
            and (not one.isdigit() or len(one) > 3)
        ]
        if found:
            return found
    return []


def _by_end(ends: list[tuple[str, str, Person]], shared: Counter[str]) -> Person | str:
    """The person with whose id a name ends, or why it may be somebody else's."""
    start, one, person = max(ends, key=lambda end: (shared[end[0]], len(end[1])))
    if (same := _one(who for begins, _, who in ends if begins == start)) != person:
        return same
    longer = [other for other in shared if start != other and start.startswith(other)]
    if shared[start] == 1 and longer:
        more = start.removeprefix(max(longer, key=len)) + one
        return (
            f"it ends with {one}, the id of {person.label}, and may be that of "
            f"somebody called {more}"
        )
    return person


def _letters(name: str) -> set[str]:
    """A name without accents, spaces and case, in each way to write its umlauts; empty
    if there is no letter in it.
    """
    name = unicodedata.normalize("NFC", name).casefold()
    return {_plain(name), _plain(name.translate(UMLAUTS))} - {""}


def _plain(name: str) -> str:
    return "".join(
        c for c in unicodedata.normalize("NFKD", name.translate(PLAIN)) if c.isalnum()
    )
