"""What a submission came to: a row per file and per kata, made where the file is
attributed, and carried to the intake file, to the reports and to the mark.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from grader.course.catalogue import Kata
from grader.failure import Failure, Kind
from grader.results import Reason
from grader.teaching.listing import File
from grader.workers.jobs import SourceText

Verdict = Literal[
    "counts",
    "ignored",
    "handed in",  # says when, or how
    "not handed in",
    "not recognised",
    "not graded",
    "nobody's",
]
# Of a row whose kata has no text: the kind of its failure, and why it is not graded.
NO_TEXT: dict[Verdict, tuple[Kind, Reason | None]] = {
    "not handed in": ("not handed in", None),
    "not recognised": ("not recognised", Reason.NOT_RECOGNISED),
    "not graded": ("unreadable", Reason.UNREADABLE),
}


@dataclass(frozen=True)
class Row:
    """What became of one file of a submission, or of a kata without a file.

    Attributes:
        file: None where the row is about no file, or about one that nobody opens.
        kata: the kata whose file it is, or may be; None for any other file.
        note: why, or what had to be decided or converted. The teacher alone reads it.
        source: the text that counts, or a failure that says something else than the
            note.
        odd: a person should look at it.
        place: the name of what it is about, if that is no file.
        student: whose it is, once that is known.
    """

    file: File | None
    kata: Kata | None
    verdict: Verdict
    note: str = ""
    source: SourceText | None = None
    odd: bool = False
    place: str = ""
    student: str = ""

    @property
    def name(self) -> str:
        """The file as people know it; empty if there is none."""
        return self.file.shown if self.file else self.place

    @property
    def text(self) -> str:
        """The text that counts; empty if there is none."""
        return self.source.text if self.source else ""

    @property
    def modified(self) -> str:
        """When the file of a kata was modified last."""
        if self.file is None or self.kata is None:
            return ""
        return self.file.modified.isoformat(" ", "seconds")

    @property
    def line(self) -> str:
        """The note, behind the name of the file."""
        return f"{self.name}: {self.note}" if self.name else self.note

    @property
    def for_job(self) -> SourceText:
        """What a job takes: the text of the kata's file, or why there is none."""
        if self.source:
            return self.source
        kind, reason = NO_TEXT[self.verdict]
        return SourceText("", Failure(kind, self.note), reason=reason)


def general(verdict: Verdict, note: str, place: str = "", *, odd: bool = False) -> Row:
    """A row about no file in particular."""
    return Row(None, None, verdict, note, odd=odd, place=place)


def ignored(file: File, why: str, *, odd: bool = True) -> Row:
    """A file that counts for no kata."""
    return Row(file, None, "ignored", why, odd=odd)


def absent(kata: Kata, verdict: Verdict, why: str) -> Row:
    """A kata for which no file counts."""
    return Row(None, kata, verdict, why, odd=verdict != "not handed in")


def of_student(student: str, rows: Iterable[Row]) -> list[Row]:
    return [replace(row, student=student) for row in rows]


@dataclass(frozen=True)
class Contents:
    """The rows of one submission. `newest` is the place that was modified last."""

    katas: Mapping[Kata, Row]
    unused: tuple[Row, ...] = ()
    newest: str = ""

    @property
    def files(self) -> dict[Kata, File]:
        """The file of each kata that has one, even if nobody can read it."""
        return {kata: row.file for kata, row in self.katas.items() if row.file}

    def absent(self, *verdicts: Verdict) -> dict[Kata, str]:
        """The katas for which no file counts, by one of these verdicts, and why."""
        return {
            kata: row.note
            for kata, row in self.katas.items()
            if row.file is None and row.verdict in verdicts
        }

    def sources(self, katas: Iterable[Kata]) -> dict[Kata, SourceText]:
        """What a job takes of each kata."""
        return {kata: self.katas[kata].for_job for kata in katas}
