"""Writes the file of `--results`: a line per result as each is graded, beside the file
until all of them are there.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from grader.errors import KataError
from grader.reports.json_report import kata_as_dict
from grader.results import KataResult
from grader.teaching import report_files
from grader.teaching.accommodations import Accommodations
from grader.teaching.class_grading import Graded


class ResultLines:
    """An open file for lines. Until `finish`, an earlier file at the path is as
    it was.
    """

    def __init__(
        self,
        path: Path | None,
        stream: FileIO,
        ids: Mapping[str, str],
        allowed: Accommodations,
    ):
        self.path, self.stream, self.allowed = path, stream, allowed
        self.ids = ids  # student → the roster's id

    def text(self, student: str, result: KataResult) -> str:
        """A result's line. It keeps what is allowed, which a regrade needs."""
        who = {"student": student, "id": self.ids.get(student, student)}
        allowed = self.allowed.get((student, result.kata))
        kept = {"allowed": allowed.cells if allowed else None}
        return json.dumps({**who, **kata_as_dict(result), **kept}, ensure_ascii=False)

    def of_version(self, one: Graded) -> str:
        """The line of a result that does not count yet. One of a version on time
        says so.
        """
        line = self.text(one.student, one.result)
        if one.version == "newest":
            return line
        return json.dumps(
            {**json.loads(line), "version": one.version}, ensure_ascii=False
        )

    def write(self, line: str) -> None:
        """Write a line without a buffer, which would fail a second time when it is
        closed on a full disk.
        """
        rest = memoryview(f"{line}\n".encode() if line else b"")
        try:
            while rest:
                rest = rest[self.stream.write(rest) :]
        except OSError as error:
            kept = "what is graded is cached: make room and run the same command again"
            raise KataError(
                f"{self.stream.name} cannot be written: {error.strerror}; {kept}"
            ) from None

    def finish(self) -> None:
        """Put the lines in the place of an earlier file."""
        if self.path and Path(self.stream.name) != self.path:
            os.fsync(self.stream.fileno())
            os.replace(self.stream.name, self.path)

    @property
    def unfinished(self) -> str:
        """One line on where the lines of an interrupted grading are."""
        if self.path is None or Path(self.stream.name) == self.path:
            return ""
        there = "is as it was" if self.path.exists() else "is not written"
        return f"{self.path} {there}; the results so far are in {self.stream.name}"


@contextmanager
def opened(
    path: Path | None,
    ids: Mapping[str, str],
    allowed: Accommodations,
    *,
    at_once: bool = False,
) -> Iterator[ResultLines]:
    """The file of result lines.

    Args:
        ids: student → the roster's id.
        allowed: what is allowed students for a kata.
        at_once: somebody reads the lines as they come. Then they go to the path itself,
            unless a file is there.
    Raises:
        KataError: the file cannot be written.
    """
    place = Path(os.devnull) if path is None else path
    if path and path.is_dir():
        raise KataError(f"{path}: is a folder")
    is_stream = report_files.is_stream(place)
    beside = not is_stream and (place.exists() or not at_once)
    try:
        if not place.parent.exists():
            place.parent.mkdir(parents=True)
        stream = open(
            f"{place}.part" if beside else place,
            "ab" if is_stream else "wb",
            buffering=0,
        )
    except OSError as error:
        raise KataError(f"{place}: {error.strerror}") from None
    with stream:
        yield ResultLines(path, stream, ids, allowed)
