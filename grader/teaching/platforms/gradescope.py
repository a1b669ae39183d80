"""Gradescope: its export, with a folder per submission, and in it the list of who
handed in each folder, and when.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from grader.errors import BrokenRoster
from grader.teaching import tables
from grader.teaching.platform import Platform, Submitter

NAME = "submission_metadata.yml"
ENTRY = re.compile(r"submission_(\d+):\s*")
FIELD = re.compile(r" {2,}(?:- )?:(name|sid|email|created_at): ?(.*)")
# results, history: what has other names in it
NESTED = re.compile(r" {2}:(?!submitters|created_at)\w+:")
TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? (Z|[+-]\d\d:?\d\d)")


def read(path: Path) -> list[Submitter]:
    """Everybody in the file. Of a group, everybody has its submission.

    Raises:
        BrokenRoster: it cannot be read, or names nobody.
    """
    found = list(_submitters(tables.text_of(path, BrokenRoster)))
    if not found:
        raise BrokenRoster(
            f"{path}: names nobody: it should be the file of Gradescope's export"
        )
    return found


def _submitters(text: str) -> Iterator[Submitter]:
    number, people, time = "", list[dict[str, str]](), None
    is_nested = False
    for line in [*text.splitlines(), "submission_0:"]:
        if match := ENTRY.fullmatch(line):
            for one in people:
                email = one.get("email", "")
                yield Submitter(
                    number,
                    one.get("sid") or email or one["name"],
                    one["name"],
                    email,
                    time,
                )
            number, people, time, is_nested = match[1], [], None, False
            continue
        is_nested = bool(NESTED.match(line)) or (
            is_nested and not re.match(r" {2}:\w", line)
        )
        match = FIELD.fullmatch(line)
        if is_nested or not match:
            continue
        value = match[2].strip().strip("'\"")
        if match[1] == "created_at":
            time = _time(value)
        elif match[1] == "name":
            people.append({"name": value})
        elif people:
            people[-1][match[1]] = value


def _time(written: str) -> datetime | None:
    match = TIME.fullmatch(written)
    return (
        datetime.strptime(match[1] + match[2], "%Y-%m-%d %H:%M:%S%z") if match else None
    )


GRADESCOPE = Platform(
    name="Gradescope",
    uploads=(re.compile(r"(?P<who>submission)_(?P<number>\d+)"),),
    list_inside=NAME,
    submitters=read,
)
