"""Reads the tables that teachers write as CSV files, in any encoding and with any separator of a spreadsheet."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from grader import printable
from grader.errors import KataError, LoadFailure
from grader.teaching import finder


def rows(path: Path, needed: tuple[str, ...], broken: type[KataError]) -> Iterator[tuple[int, dict[str, str], str]]:
    """Each row that is not empty: the number of its line, its cells by column, and the cells after the last column.

    Columns may come in any order, and others beside those that are needed.

    Raises:
        broken: the file cannot be read, or has no such columns. The message has the number of the line.
    """
    try:
        text, _ = finder.decoded(path.name, path.read_bytes())
    except OSError as error:
        raise broken(f"{path}: {error.strerror}") from None
    except LoadFailure as failure:
        raise broken(str(failure)) from None
    head = text.partition("\n")[0]
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    try:
        yield from _rows(path, table, needed, broken)
    except csv.Error as error:
        raise broken(f"{path}:{table.line_num}: {error}") from None


def _rows(
    path: Path, table: "csv.DictReader[str]", needed: tuple[str, ...], broken: type[KataError]
) -> Iterator[tuple[int, dict[str, str], str]]:
    columns = table.fieldnames = [(name or "").strip().casefold() for name in table.fieldnames or []]
    if absent := [name for name in needed if name not in columns]:
        raise broken(f"{path}:1: the header has no column {', '.join(absent)}: it needs {', '.join(needed)}")
    for row in table:
        rest = " ".join(cell.strip() for cell in row.pop(None, None) or []).strip()
        if not rest and not any(cell and cell.strip() for cell in row.values()):
            continue
        if short := [name for name in needed if row[name] is None]:
            raise broken(f"{path}:{table.line_num}: no cell for {', '.join(short)}")
        cells = {name: printable.line((cell or "").strip()) for name, cell in row.items()}
        yield table.line_num, cells, rest
