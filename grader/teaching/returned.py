"""Packs students' pages into a zip archive in the form that a platform takes back."""

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from grader.errors import ExportFailure
from grader.teaching.platform import Platform
from grader.teaching.submissions import Submission

SHOWN = 10  # names in a line


@dataclass(frozen=True)
class Packed:
    """The archive, the number of its pages, and the students who are not in it."""

    data: bytes
    pages: int
    # the platform has no submission of theirs that a page could be returned to
    no_place: list[str]
    no_page: list[str]
    alike: list[str]  # their pages would have one name


def pack(
    pages: Path, everybody: Iterable[Submission], name: Callable[[Submission], str]
) -> Packed:
    """Pack the page of each student.

    Args:
        pages: the folder of `kata class --feedback`.
        everybody: the submissions, under the students' names as the pages have them.
        name: of a page in the archive; empty if the platform would not know whose
            it is.
    Raises:
        ExportFailure: no page is of one of these students.
    """
    found: dict[str, list[tuple[str, Path]]] = {}
    no_place, no_page = [], []
    for submission in everybody:
        path, target = pages / f"{submission.student}.html", name(submission)
        if not path.is_file():
            no_page.append(submission.student)
        elif not target:
            no_place.append(submission.student)
        else:
            found.setdefault(target, []).append((submission.student, path))
    if not found and not no_place:
        advice = "give --submissions and --roster as for kata class --feedback"
        raise ExportFailure(f"{pages} has no page of a student in the class: {advice}")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for target, [(_, path), *others] in sorted(found.items()):
            if not others:
                archive.writestr(
                    zipfile.ZipInfo(target), path.read_bytes(), zipfile.ZIP_DEFLATED
                )
        packed = len(archive.namelist())
    alike = [student for some in found.values() if len(some) > 1 for student, _ in some]
    return Packed(file.getvalue(), packed, no_place, no_page, alike)


def by_upload(platform: Platform) -> Callable[[Submission], str]:
    """Names as this platform takes them back, from what it called the uploads."""

    def name(submission: Submission) -> str:
        found = [
            platform.returned(place.name)
            for place in submission.places
            if platform.returned
        ]
        return next(filter(None, found), "")

    return name


def by_id(ids: Mapping[str, str]) -> Callable[[Submission], str]:
    """Names such as "ada.html": the id in the roster, or the name of the submission."""
    return lambda submission: (
        re.sub(r'[\\/:*?"<>|]', " ", ids.get(submission.student, submission.student))
        + ".html"
    )


def listed(names: list[str]) -> str:
    """The first names: "Ada (1), Bob (2), …"."""
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
