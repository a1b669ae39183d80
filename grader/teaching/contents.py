"""The files of a submission that count, each with its text, and why others do not."""

import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from grader.course import kata_modules, notebooks, stubs
from grader.course.catalogue import Kata
from grader.errors import LoadFailure, NotANotebook, Unreadable
from grader.results import NOT_HANDED_IN, NOT_RECOGNISED
from grader.teaching.listing import File
from grader.workers.jobs import SourceText, unreadable

DEEP = 8  # folders inside each other: a file below is pointed out
UNTOUCHED = "is an untouched stub"


@dataclass(frozen=True)
class Found:
    """The file that counts for a kata, and its text. `note` says what had to be decided or converted."""

    file: File
    source: SourceText
    note: str = ""


@dataclass(frozen=True)
class Ignored:
    """A file that does not count, and why. `odd`: a person should look at it."""

    file: str
    why: str
    odd: bool = True


@dataclass(frozen=True)
class Absent:
    """Why no file counts for a kata: none came, one may be among what came, or nobody knows."""

    verdict: Literal["not handed in", "not recognised", "not graded"]
    why: str

    @property
    def source(self) -> SourceText:
        why = f"{NOT_RECOGNISED}: {self.why}" if self.verdict == NOT_RECOGNISED else self.why
        return SourceText("", why, lost=self.verdict != NOT_HANDED_IN)


@dataclass
class Contents:
    """What was decided of a submission: each kata is either found or absent, and other files are ignored."""

    found: dict[Kata, Found] = field(default_factory=dict)
    absent: dict[Kata, Absent] = field(default_factory=dict)
    ignored: list[Ignored] = field(default_factory=list)
    newest: str = ""  # the place that was modified last

    def sources(self, katas: Iterable[Kata]) -> dict[Kata, SourceText]:
        """The text of each kata's file, or the problem with that file."""
        return {kata: (self.found.get(kata) or self.absent[kata]).source for kata in katas}

    def reasons(self, verdict: str) -> dict[Kata, str]:
        """Why no file counts, for the katas with this verdict."""
        return {kata: one.why for kata, one in self.absent.items() if one.verdict == verdict}


def let_count(kata: Kata, new: Found, contents: Contents) -> bool:
    """Let a file count for a kata, instead of an untouched stub if it is none itself. Returns whether it does."""
    before = contents.found.get(kata)
    if before and not new.source.lost and (new.source.problem or is_untouched(kata, new)):
        contents.ignored.append(Ignored(new.file.shown, f"{before.file.shown} counts"))
        return False
    if before:
        contents.ignored.append(Ignored(before.file.shown, f"{UNTOUCHED}: {new.file.shown} counts"))
    contents.found[kata] = new
    return True


def is_untouched(kata: Kata, found: Found) -> bool:
    """Tell if a file is still the stub, or empty."""
    text = found.source.text
    return not found.source.problem and (not text.strip() or stubs.is_untouched(kata, text))


def read(file: File, kata: Kata) -> Found:
    """Read the file of a kata, and say so if Python would not read it."""
    note = "" if file.name == file.path.name or not file.attempt else f"resubmission {file.attempt}"
    if (depth := len(file.path.parts) - 1) > DEEP:
        note = ", ".join(filter(None, [note, f"{depth} folders deep"]))
    data = b""
    try:
        data = file.read(kata_modules.MAX_BYTES)
        text, encoding = kata_modules.converted(kata.file.name, data)
    except (LoadFailure, OSError) as failure:
        if isinstance(failure, LoadFailure) and len(data) <= kata_modules.MAX_BYTES and b"\0" in data:
            why = f"{NOT_RECOGNISED}: {file.shown}: is no text, but a file of another kind"
            return Found(file, SourceText("", why, lost=True), why)
        is_lost = not isinstance(failure, LoadFailure) or isinstance(failure, Unreadable)
        source = replace(unreadable(failure), lost=is_lost)
        return Found(file, source, f"cannot be read: {source.problem}")
    if written := _notebook_in(text, kata):
        note = ", ".join(filter(None, [note, "is a notebook", *written.notes]))
        return Found(file, SourceText(sys.intern(written.text), notes=written.notes), note)
    if encoding:
        note = ", ".join(filter(None, [note, f"is {encoding}, which was converted to UTF-8"]))
    return Found(file, SourceText(sys.intern(text)), note)  # saves memory: many students leave some files unchanged


def _notebook_in(text: str, kata: Kata) -> notebooks.HandedIn | None:
    """The code of a notebook that was saved under the name of the kata's file; None if the text is no notebook."""
    if not (text.lstrip().startswith("{") and '"nbformat"' in text):
        return None
    with suppress(NotANotebook):
        return notebooks.handed_in(notebooks.parsed(text.encode(), kata.file.name), kata)
    return None
