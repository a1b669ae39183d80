"""Report files: checks `--report FORMAT=FILE` before grading, and writes the file
after it.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote

from grader import files
from grader.errors import KataError
from grader.reports import (
    class_page,
    class_report,
    classroom50,
    gradescope,
    html_report,
    json_report,
    junit,
    markdown,
    students_view,
)
from grader.reports.students_view import StudentReport
from grader.results import ClassReport, Report
from grader.teaching.platforms import PLATFORMS

FOR_STUDENTS: dict[str, Callable[[StudentReport], str]] = {
    "markdown": markdown.render,
    "html": html_report.render,
    "classroom50": classroom50.render,
}
FORMATS: dict[str, Callable[[Report], str]] = {
    "json": json_report.render,
    "junit": junit.render,
    **{
        name: partial(students_view.shown, render)
        for name, render in FOR_STUDENTS.items()
    },
    "gradescope": gradescope.render,
}
CLASS_FORMATS: dict[str, Callable[[ClassReport], str]] = {
    "json": class_report.render_json,
    "csv": class_report.render_csv,
    "html": class_page.render,
    **{
        platform.name.lower(): platform.gradebook
        for platform in PLATFORMS
        if platform.gradebook
    },
}

AnyReport = TypeVar("AnyReport", Report, ClassReport)


@dataclass(frozen=True)
class ReportFile(Generic[AnyReport]):
    """A report to write: how to render it, and where it goes."""

    render: Callable[[AnyReport], str]
    path: Path

    @property
    def place(self) -> Path:
        """The file that `write` writes, however the path leads there."""
        return self.path.parent.resolve() / self.path.name

    def links(self, pages: Path | None, students: Iterable[str]) -> dict[str, str]:
        """The relative link from this file to each student's page in the folder; none
        without a folder or a file.
        """
        if pages is None or is_stream(self.path):
            return {}
        folder = Path(os.path.relpath(pages.resolve(), self.place.parent))
        return {
            student: quote((folder / f"{student}.html").as_posix())
            for student in students
        }

    def write(self, report: AnyReport) -> None:
        write(self.path, self.render(report))


def parse_all(
    options: Iterable[str] | None, formats: Mapping[str, Callable[[AnyReport], str]]
) -> list[ReportFile[AnyReport]]:
    """The report files that these options ask for.

    Raises:
        KataError: an option is wrong, or two reports would go to one file.
    """
    files: list[ReportFile[AnyReport]] = []
    for option in options or []:
        file = parse(option, formats)
        if any(file.place == other.place for other in files) and not is_stream(
            file.path
        ):
            raise KataError(
                f"--report {option}: another report goes to {file.path} already: give "
                "each its own file"
            )
        files.append(file)
    return files


def parse(
    option: str, formats: Mapping[str, Callable[[AnyReport], str]]
) -> ReportFile[AnyReport]:
    """The report file that an option "json=FILE" asks for.

    Raises:
        KataError: the format is unknown, or the file cannot be written.
    """
    name, _, file = option.partition("=")
    if name not in formats or not file:
        raise KataError(
            f"--report {option}: write FORMAT=FILE, where FORMAT is "
            f"{', '.join(formats)}"
        )
    path = Path(file)
    is_folder = path.is_dir() and not path.is_symlink()
    if (
        is_folder
        or not path.parent.is_dir()
        or not os.access(path if is_stream(path) else path.parent, os.W_OK)
    ):
        raise KataError(f"--report {option}: {file} cannot be written")
    return ReportFile(formats[name], path)


def write(path: Path, text: str) -> None:
    """Write a file atomically: after an interruption or an error, an older file
    is unchanged.

    A symbolic link is replaced, not followed: the path may be in a student's checkout.
    """
    content = text.encode("utf-8", "replace")
    try:
        if is_stream(path):
            sys.stdout.flush()
            with path.open("ab") as stream:
                stream.write(content)
        else:
            files.write(path, content, through_links=False)
    except OSError as error:
        raise KataError(f"{path} cannot be written: {error.strerror}") from None


def is_stream(path: Path) -> bool:
    """Tell if the path is something to append to, such as /dev/stdout or a named pipe,
    and must not be replaced.
    """
    return path.is_relative_to("/dev") or (
        path.exists() and not path.is_symlink() and not path.is_file()
    )
