"""Jobs: one kata's specs to run against one submission's code. Plain data that the
scheduler takes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grader import printable
from grader.course import kata_modules
from grader.course.catalogue import Kata
from grader.errors import LoadFailure
from grader.failure import Failure
from grader.protocol import RunOptions
from grader.results import Reason


@dataclass(frozen=True)
class SourceText:
    """The text of a kata's file. Where the file cannot be read, `text` is empty and
    `problem` says why.

    `lost`: why the kata is then not graded. Without that, a problem costs its points.
    `notes` say what a notebook lacked. They are shown with the kata's result, and
    change no verdict.
    """

    text: str
    problem: Failure | None = None
    notes: tuple[str, ...] = ()
    reason: Reason | None = None


@dataclass(frozen=True, eq=False)
class Job:
    """One kata to run, with the texts of its file and of the earlier katas' files."""

    kata: Kata
    files: dict[Path, str]  # path below a code folder → text
    # why there is no code to run; every spec then fails with this message
    problem: Failure | None = None
    note: str = ""  # shown in the report beside the kata
    stand_ins: bool = False  # a file of an earlier kata is the reference's
    options: RunOptions = field(default_factory=RunOptions)


def read(kata: Kata, code: Path) -> SourceText:
    """Read the kata's file in a code folder."""
    try:
        return SourceText(kata_modules.read_source(code / kata.file, within=code))
    except LoadFailure as failure:
        return SourceText("", failure.failure.each(printable.line))


def digest(job: Job) -> str:
    """A hash of the text of the kata's file, by which reports tell if it is the same;
    empty without a text.
    """
    text = job.files.get(job.kata.file)
    return "" if text is None else digest_of(text)


def digest_of(text: str) -> str:
    """The same of a text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def write(files: Mapping[Path, str], folder: Path) -> None:
    """Write these texts below a folder, byte for byte."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="")
