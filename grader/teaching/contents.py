"""What a submission came to: a row per kata, found or absent, and a row per file that
does not count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from grader.course.catalogue import Kata
from grader.failure import NOT_HANDED_IN, Failure, Kind
from grader.results import Reason
from grader.teaching.listing import File
from grader.workers.jobs import SourceText


@dataclass(frozen=True)
class Found:
    """The file that counts for a kata, and its text. `note` says what had to be decided
    or converted.
    """

    file: File
    source: SourceText
    note: str = ""


KINDS: dict[Reason | None, Kind] = {
    Reason.NOT_RECOGNISED: "not recognised",
    Reason.UNREADABLE: "unreadable",
}


@dataclass(frozen=True)
class Absent:
    """Why no file counts for a kata: none came, or it is lost.

    `apart`: other people's files, which the teacher alone may read of.
    """

    why: str
    lost: Reason | None = None
    apart: str = ""

    @property
    def verdict(self) -> str:
        return self.lost.state if self.lost else NOT_HANDED_IN

    @property
    def for_teacher(self) -> str:
        return f"{self.why}: {self.apart}" if self.apart else self.why

    @property
    def source(self) -> SourceText:
        return SourceText(
            "", Failure(KINDS.get(self.lost, "not handed in"), self.why), lost=self.lost
        )


@dataclass(frozen=True)
class Unused:
    """A file that does not count, and why. `odd`: a person should look at it."""

    file: str
    why: str
    odd: bool = True

    @property
    def line(self) -> str:
        return f"{self.file}: {self.why}" if self.file else self.why


@dataclass(frozen=True)
class Contents:
    """The rows of one submission. `newest` is the place that was modified last."""

    katas: Mapping[Kata, Found | Absent]
    unused: tuple[Unused, ...] = ()
    newest: str = ""

    @property
    def found(self) -> dict[Kata, Found]:
        return {kata: row for kata, row in self.katas.items() if isinstance(row, Found)}

    def absent(self, *verdicts: str) -> dict[Kata, str]:
        """The katas for which no file counts, by one of these verdicts, and why."""
        rows = self.katas.items()
        return {
            kata: row.why
            for kata, row in rows
            if isinstance(row, Absent) and row.verdict in verdicts
        }

    def sources(self, katas: Iterable[Kata]) -> dict[Kata, SourceText]:
        """The text of each kata's file, or the problem with that file."""
        return {kata: self.katas[kata].source for kata in katas}
