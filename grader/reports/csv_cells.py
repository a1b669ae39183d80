"""Cells of CSV files that a spreadsheet takes for text."""

import unicodedata

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a formula begins


def as_text(cell: str) -> str:
    """The cell, quoted if a spreadsheet would take it for a formula. Some read a wide ＝ as = and skip spaces."""
    first = unicodedata.normalize("NFKC", cell).lstrip(" ")[:1]
    return f"'{cell}" if first in FORMULA else cell
