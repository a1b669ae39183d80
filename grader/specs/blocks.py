"""A small tensor that differs, as blocks of colour: what was returned, what was expected, and how far they are apart.

A picture travels as text: a line that says where in the tensor it is, then a line per row with three groups of digits,
a digit per number. 0 is the smallest of both, 9 the largest; in the third group 9 is the largest difference. "x" is NaN
or infinite.
"""

import re

import torch
from torch import Tensor

ROWS, COLUMNS = 12, 16  # of the largest tensor that is shown
HEADS = ("got", "expected", "difference")
VALUES = (17, 18, 24, 30, 36, 71, 107, 143, 184, 227)  # of the 256 colours of terminals, dark to bright
DIFFERENCES = (235, 52, 52, 88, 88, 124, 124, 160, 160, 196)
BROKEN = 201
KNOWN = re.compile(rf"[\[\]\d, ]*(\n[\dx]{{1,{COLUMNS}}}( [\dx]{{1,{COLUMNS}}}){{2}}){{1,{ROWS}}}")


def drawn(got: Tensor, expected: Tensor, first: list[int]) -> str:
    """The picture of the last two dimensions around the first place that differs; "" where there is none.

    None is drawn of large tensors, of single numbers and of complex ones.
    """
    if got.ndim == 0 or got.is_complex() or expected.is_complex():
        return ""
    leading = tuple(first[:-2])
    mine, right = (torch.atleast_2d(x.detach().cpu().double()[leading]) for x in (got, expected))
    if not (mine.numel() > 1 and mine.size(0) <= ROWS and mine.size(1) <= COLUMNS):
        return ""
    groups = (_digits(mine, right, mine), _digits(mine, right, right), _digits((mine - right).abs()))
    where = str(list(leading)) if leading else ""
    return "\n".join([where, *map(" ".join, zip(*groups, strict=True))])


def _digits(*tensors: Tensor) -> list[str]:
    """The last tensor's rows, a digit per number: 0 for the smallest finite number of them all, 9 for the largest."""
    every = torch.cat([tensor.flatten() for tensor in tensors])
    known = every[every.isfinite()]
    low = 0.0 if len(tensors) == 1 or not len(known) else known.min().item()
    reach = (known.max().item() if len(known) else 0.0) - low or 1.0
    return ["".join(_digit((number - low) / reach) for number in row) for row in tensors[-1].tolist()]


def _digit(share: float) -> str:
    return str(round(9 * share)) if 0 <= share <= 1 else "x"


def coloured(picture: str) -> str:
    """The picture for a terminal that has 256 colours: two columns per number. "" if it is no picture."""
    if not KNOWN.fullmatch(picture):
        return ""
    where, *rows = picture.split("\n")
    groups = [row.split(" ") for row in rows]
    widths = [max(2 * len(group), len(head)) for group, head in zip(groups[0], HEADS, strict=True)]
    lines = ["   ".join(f"{head:<{width}}" for head, width in zip(HEADS, widths, strict=True)) + f"   {where}".rstrip()]
    for row in groups:
        painted = [
            "".join(_cell(digit, DIFFERENCES if head == HEADS[2] else VALUES) for digit in group)
            + " " * (width - 2 * len(group))
            for head, group, width in zip(HEADS, row, widths, strict=True)
        ]
        lines.append("   ".join(painted))
    return "\n".join(f"           {line.rstrip()}" for line in lines)


def _cell(digit: str, colours: tuple[int, ...]) -> str:
    return f"\x1b[48;5;{BROKEN if digit == 'x' else colours[int(digit)]}m  \x1b[0m"
