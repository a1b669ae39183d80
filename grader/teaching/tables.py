"""Reads the tables that teachers write as CSV files, in any encoding and with any
separator of a spreadsheet.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from grader import printable
from grader.course import kata_modules
from grader.errors import KataError, LoadFailure

# how .xlsx and .ods, and how .xls begin
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
SEPARATOR = re.compile(r"sep=([,;\t])\r?\n")


def rows(
    path: Path,
    needed: tuple[str, ...] | Callable[[list[str]], tuple[str, ...]],
    broken: type[KataError],
) -> Iterator[tuple[int, dict[str, str], str]]:
    """Each row that is not empty: the number of its line, its cells by column, and the
    cells after the last column.

    Columns may come in any order, and others beside those that are needed.

    Args:
        needed: columns, or what names them where that depends on the header.
    Raises:
        broken: the file cannot be read, or has no such columns. The message has the
            number of the line.
    """
    text = text_of(path, broken)
    said = SEPARATOR.match(text)  # Excel's own line, in front of the header
    text = text[said.end() :] if said else text
    head = text.partition("\n")[0]
    mark = said[1] if said else max(",;\t", key=head.count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark)
    try:
        yield from _rows(path, table, 1 if said else 0, needed, broken)
    except csv.Error as error:
        raise broken(f"{path}:{table.line_num + bool(said)}: {error}") from None


def refuse(rest: str) -> None:
    """Raise ValueError if a row has cells after its last column."""
    if rest:
        raise ValueError(
            f"'{rest}' is after the last column: put a reason with commas between "
            "double quotes"
        )


def text_of(path: Path, broken: type[KataError]) -> str:
    """The text of a file in whatever encoding it has.

    Raises:
        broken: the file cannot be read.
    """
    try:
        data = path.read_bytes()
        if data.startswith(SPREADSHEETS):
            raise broken(f"{path}: is a spreadsheet: save it as CSV")
        text, _ = kata_modules.converted(data)
    except OSError as error:
        raise broken(f"{path}: {error.strerror}") from None
    except LoadFailure as failure:
        raise broken(f"{path.name}: {failure}") from None
    return text


def _rows(
    path: Path,
    table: "csv.DictReader[str]",
    before: int,
    needed: tuple[str, ...] | Callable[[list[str]], tuple[str, ...]],
    broken: type[KataError],
) -> Iterator[tuple[int, dict[str, str], str]]:
    columns = table.fieldnames = [
        (name or "").strip().casefold() for name in table.fieldnames or []
    ]
    needed = needed if isinstance(needed, tuple) else needed(columns)
    if absent := [name for name in needed if name not in columns]:
        raise broken(
            f"{path}:{1 + before}: the header has no column {', '.join(absent)}: it "
            f"needs {', '.join(needed)}"
        )
    for row in table:
        rest = " ".join(cell.strip() for cell in row.pop(None, None) or []).strip()
        if not rest and not any(cell and cell.strip() for cell in row.values()):
            continue
        if short := [name for name in needed if row[name] is None]:
            raise broken(
                f"{path}:{table.line_num + before}: no cell for {', '.join(short)}"
            )
        cells = {
            name: printable.line((cell or "").strip()) for name, cell in row.items()
        }
        yield table.line_num + before, cells, rest
