"""Writes CSV files whose texts no spreadsheet takes for formulas."""

import csv
import io
import unicodedata
from collections.abc import Iterable

FORMULA = "=+-@"  # how a formula begins
SEPARATORS = ",;\t\r\n"  # where some spreadsheet begins a new cell
SKIPPED = ' "'  # what some programs drop at the start of a cell


def render(rows: Iterable[Iterable[str | float]]) -> str:
    """The rows as CSV. Numbers stay numbers."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for row in rows:
        writer.writerow(_as_cell(one) for one in row)
    return file.getvalue()


def as_text(cell: str) -> str:
    """The cell, with a ' before each sign that may begin a formula.

    A spreadsheet that splits at semicolons begins a cell in the middle of this one.
    Some programs read a wide ＝ as =.
    """
    written: list[str] = []
    is_start = True
    for character in cell:
        plain = unicodedata.normalize("NFKC", character)[0]
        if is_start and plain in FORMULA:
            written.append("'")
        written.append(character)
        is_start = plain in SEPARATORS or (is_start and plain in SKIPPED)
    return "".join(written)


def _as_cell(value: str | float) -> str | float:
    return as_text(value) if isinstance(value, str) else value
