"""What the grader knows of a course platform: how it names what it downloads, how it
lists students, how it takes grades and pages back. Each has a file in `platforms/`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from grader.results import ClassReport


@dataclass(frozen=True)
class Layout:
    """The columns of a list of students. Spaces, hyphens and underscores in a header
    are the same.

    Attributes:
        needed: the header has all of them.
        ids: every id that a student has. The first that is not empty is the student's
            id here.
        names: the parts of the name.
        number: the column with the platform's own number, by which it names what
            it downloads.
    """

    needed: tuple[str, ...]
    ids: tuple[str, ...]
    names: tuple[str, ...]
    email: str = "email"
    number: str = ""


@dataclass(frozen=True)
class Submitter:
    """A student in the list inside of a download, and the number that their submission
    has there.
    """

    number: str
    id: str
    name: str
    email: str
    handed_in: datetime | None


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A course platform. What one lacks keeps its default.

    Attributes:
        name: one word where it has uploads.
        uploads: the names of files and folders in a download, with the groups who and
            number, perhaps file and late. A name that could be split in two ways may
            give one student's file to another.
        resubmission: the name of a file that was handed in again, with the groups stem,
            attempt (digits alone) and suffix.
        has_folders: a download may have a folder per student.
        names_have_ids: a part of an upload's name may be an id of the student.
        last_name_first: an upload's name begins with the last name.
        test_student: how the uploads of the platform's own test student begin.
        layouts: of its lists of students.
        gradebook_columns: cells of its list that its gradebook asks for again.
        is_nobody: tells if a row of its list, by column, is no student's.
        handed_in: the time in such a row; None without one.
        list_inside: the name of a list of students inside of a download.
        submitters: reads that list.
        returned: where a student's page is in an archive with feedback, by the name of
            their upload; empty if that is none of this platform.
        gradebook: renders what the gradebook imports.
    """

    name: str
    uploads: tuple[re.Pattern[str], ...] = ()
    resubmission: re.Pattern[str] | None = None
    has_folders: bool = True
    names_have_ids: bool = True
    last_name_first: bool = False
    test_student: str = ""
    layouts: tuple[Layout, ...] = ()
    gradebook_columns: tuple[str, ...] = ()
    is_nobody: Callable[[Mapping[str, str]], bool] | None = None
    handed_in: Callable[[Mapping[str, str]], datetime | None] | None = None
    list_inside: str = ""
    submitters: Callable[[Path], list[Submitter]] | None = None
    returned: Callable[[str], str] | None = None
    gradebook: Callable[[ClassReport], str] | None = None
