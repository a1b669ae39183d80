"""Reads a course's roster, a CSV file of the teacher or of a platform, and finds out
which submission is whose.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from grader.errors import BrokenRoster
from grader.reports import csv_cells
from grader.results import Identity
from grader.teaching import dates, platforms, signs, tables
from grader.teaching.platform import Layout, Platform, Submitter
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


# columns of a teacher's own roster with further ids
ALSO = ("username", "github username", "login")
OWN = Layout(("id", "name", "email"), ("id", *ALSO), ("name",))
LISTS = (
    (platforms.NONE, OWN),
    *(
        (platform, layout)
        for platform in platforms.PLATFORMS
        for layout in platform.layouts
    ),
)
EXPECTED = "it needs {}; set the platform to English before you export the list".format(
    "; ".join(
        f"from {platform.name} " * bool(platform.name) + ", ".join(layout.needed)
        for platform, layout in LISTS[:4]
    )
)


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
    for platform in platforms.PLATFORMS:
        if platform.submitters and path.suffix == Path(platform.list_inside).suffix:
            return _submitters(platform, platform.submitters(path), path.name)
    people: dict[str, Person] = {}
    lines: dict[str, int] = {}
    chosen = [LISTS[0]]

    def needed(columns: list[str]) -> tuple[str, ...]:
        written = {_column(name): name for name in columns}
        fitting = [one for one in LISTS if written.keys() >= set(one[1].needed)]
        chosen[0] = next(iter(fitting), LISTS[0])
        _, layout = chosen[0]
        if layout == OWN and len(written.keys() & set(OWN.needed)) < 2:
            raise BrokenRoster(
                f"{path}:1: the header has no column id, name, email, or is not in "
                f"English: {EXPECTED}"
            )
        return tuple(written.get(name, name) for name in layout.needed)

    for line, written, _ in tables.rows(path, needed, BrokenRoster):
        cells, (platform, layout) = _by_column(written), chosen[0]
        if platform.is_nobody and platform.is_nobody(cells):
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
            _person(cells, platform, layout, ids, *when), handed_in=handed_in
        )
    if not people:
        raise BrokenRoster(f"{path}: holds nobody")
    return list(people.values())


def inside(folder: Path) -> Path | None:
    """The list of students that a platform's download has; None without one."""
    names = [one.list_inside for one in platforms.PLATFORMS if one.list_inside]
    found = [folder / name for name in names if (folder / name).is_file()]
    return next(iter(found), None)


def _submitters(
    platform: Platform, submitters: list[Submitter], file: str
) -> list[Person]:
    """The people of the list inside of a download. Who is in two groups is there with
    the newer submission.
    """
    found: dict[str, Person] = {}
    for one in sorted(submitters, key=lambda one: int(one.number)):
        found[one.id] = Person(
            one.id,
            one.name,
            one.email,
            handed_in=HandIn(one.handed_in, file) if one.handed_in else None,
            number=f"{platform.name} {one.number}",
        )
    return list(found.values())


def _handed_in(cells: Mapping[str, str], file: str) -> HandIn | None:
    """The time in the column `handed_in`, or in a platform's own.

    Raises:
        ValueError: `handed_in` is no date.
    """
    if written := cells.get("handed in"):
        return HandIn(dates.moment(written), f"handed_in in {file}")
    for platform in platforms.PLATFORMS:
        if platform.handed_in and (time := platform.handed_in(cells)):
            return HandIn(time, f"{platform.name}'s {file}")
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


def _person(
    cells: Mapping[str, str],
    platform: Platform,
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
    return Person(
        ids[0],
        name,
        email,
        due,
        extension,
        canvas=tuple(cells.get(column, "") for column in platform.gradebook_columns),
        others=tuple(one for one in known if one != email),
        number=f"{platform.name} {number[0]}" if number else "",
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
    platform = submission.platform
    if number and any(person.number.startswith(platform.name) for person in people):
        return _one(person for person in people if person.number == number)
    if not number:
        if found := _with_id({name}, people) or [
            person for person in people if _has_email(person, name.casefold())
        ]:
            return _one(found)
    parts = set(name.split("_")) if platform.names_have_ids else set()
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


def _called(name: str, platform: Platform, people: list[Person]) -> list[Person]:
    """The people with this name. Of several the one whose first and last name are in
    the platform's order.
    """
    keys = _letters(name) | _letters(name.partition("_")[0])
    found = [person for person in people if keys & set().union(*_names(person.name))]
    order = -1 if platform.last_name_first else 0
    in_order = [person for person in found if keys & _names(person.name)[order]]
    return in_order if platform.name and in_order else found


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
