"""A dispute: a learner's code, the verdict that they object to, and what it was run on, as a file of data."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from grader import printable
from grader.course import catalogue, kata_modules
from grader.course.catalogue import Kata, with_prerequisites
from grader.course.description import Exercise
from grader.errors import BrokenDispute, KataError, LoadFailure
from grader.execution.result_cache import PACKAGES
from grader.reports import words
from grader.results import NOT_HANDED_IN, ExerciseResult, SpecResult
from grader.workers import jobs
from grader.workers.jobs import SourceText

SCHEMA = "kata-dispute/1"
MOST = 5_000_000  # bytes of a file
LONGEST = 2_000  # characters of a reason, a verdict or a version
MOST_MESSAGE = 100_000  # characters of a failure's message


@dataclass(frozen=True)
class Dispute:
    """An objection, as a learner hands it to the teacher.

    Attributes:
        why: the learner's words.
        files: full name of a kata → the text of its file: this kata's, and those of earlier katas that are begun.
        verdict: on the exercise, as it was shown.
        failed: the name of the spec whose failure was shown; empty if the exercise works there.
        message: the failure as it was shown.
        seed: of the specs.
    """

    kata: str
    exercise: str
    why: str
    made: str
    files: Mapping[str, str]
    verdict: str
    failed: str
    message: str
    seed: int
    platform: str
    versions: Mapping[str, str]

    @property
    def code(self) -> str:
        """The text of the kata's file."""
        return self.files[self.kata]

    def find(self) -> tuple[Kata, Exercise]:
        """The kata and the exercise of this course.

        Raises:
            KataError: there is none of this name.
        """
        kata = catalogue.find(self.kata)
        return kata, kata.exercise(self.exercise)

    def sources(self, kata: Kata) -> dict[Kata, SourceText]:
        """The texts to grade the kata with. The reference stands in for an earlier kata that has none."""
        return {one: _source(one, self.files.get(one.name)) for one in with_prerequisites([kata])}


def of(kata: Kata, result: ExerciseResult, files: Mapping[str, str], why: str, seed: int) -> Dispute:
    """The dispute about this result of an exercise."""
    failure = result.first_failure
    return Dispute(
        kata.name,
        result.name,
        printable.line(why)[:LONGEST],
        datetime.now().astimezone().isoformat(timespec="seconds"),
        files,
        words.verdict(result)[:LONGEST],
        failure.name if failure else "",
        shown(failure) if failure else "",
        seed,
        platform.platform(),
        versions(),
    )


def shown(failure: SpecResult) -> str:
    """A failure as the learner reads it."""
    return words.with_printed(failure.message, failure.printed)[:MOST_MESSAGE]


def versions() -> dict[str, str]:
    """The versions of what specs run on here."""
    return {"python": platform.python_version(), **{name: _version(name) for name in ("torch-katas", *PACKAGES)}}


def render(dispute: Dispute) -> str:
    """The text of a dispute's file."""
    return json.dumps({"schema": SCHEMA, **asdict(dispute)}, indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> Dispute:
    """The dispute in a file.

    Raises:
        BrokenDispute: the file cannot be read, is too large, or holds something else. The message is one line.
    """
    try:
        data = json.loads(kata_modules.read_bytes(path, None, MOST))
    except LoadFailure as failure:
        raise BrokenDispute(str(failure)) from None
    except (ValueError, RecursionError):  # no JSON, or no UTF-8
        raise _broken(path, "it is not JSON") from None
    if not isinstance(data, dict) or data.pop("schema", None) != SCHEMA:
        raise _broken(path, f"it has no schema {SCHEMA}")
    fields = Dispute.__dataclass_fields__
    if data.keys() != fields.keys():
        wrong = sorted(data.keys() ^ fields.keys())
        raise _broken(path, f"its keys are others: {', '.join(wrong)[:LONGEST]}")
    for name, value in data.items():
        if reason := _wrong(name, value):
            raise _broken(path, f"{name} {reason}")
    dispute = Dispute(**data)
    if dispute.kata not in dispute.files:
        raise _broken(path, f"files has no text of {dispute.kata}")
    try:
        dispute.find()
    except KataError as error:
        raise _broken(path, str(error)) from None
    return dispute


def _source(kata: Kata, text: str | None) -> SourceText:
    if text is None:
        return SourceText("", f"{kata.file.name}: {NOT_HANDED_IN}")
    try:
        return SourceText(kata_modules.decoded(kata.file.name, text.encode()))
    except LoadFailure as failure:
        return jobs.unreadable(failure)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _wrong(name: str, value: Any) -> str:
    """The reason why a field cannot have this value; empty if it can."""
    if name == "seed":
        return "" if type(value) is int and 0 <= value < 2**32 else "is no whole number from 0 to 4294967295"
    if name in ("files", "versions"):
        most = kata_modules.MAX_BYTES if name == "files" else LONGEST
        if not isinstance(value, dict) or not all(_is_text(text, most) for text in value.values()):
            return f"is no table of texts of at most {most:,} characters"
        return ""
    most = MOST_MESSAGE if name == "message" else LONGEST
    return "" if _is_text(value, most) else f"is no text of at most {most:,} characters"


def _is_text(value: Any, most: int) -> bool:
    """True for a text that has an encoding: half a surrogate pair has none."""
    if not isinstance(value, str) or len(value) > most:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _broken(path: Path, why: str) -> BrokenDispute:
    return BrokenDispute(printable.line(f"{path.name}: is no file of kata dispute: {why}"))
