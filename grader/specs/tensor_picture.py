"""The picture of a small tensor that differs, as `grader.reports.colour_blocks`
paints it.

A picture travels as text: a line that says where in the tensor it is, then a line per
row with three groups of digits, a digit per number: what was returned, what was
expected, and how far they are apart. 0 is the smallest of both, 9 the largest; in the
third group 9 is the largest difference. "x" is NaN or infinite.
"""

import torch
from torch import Tensor

from grader.reports.colour_blocks import COLUMNS, ROWS


def drawn(got: Tensor, expected: Tensor, first: list[int]) -> str:
    """The picture of the last two dimensions around the first place that differs; ""
    where there is none.

    None is drawn of large tensors, of single numbers and of complex ones.
    """
    if got.ndim == 0 or got.is_complex() or expected.is_complex():
        return ""
    leading = tuple(first[:-2])
    mine, right = (
        torch.atleast_2d(x.detach().cpu().double()[leading]) for x in (got, expected)
    )
    if not (mine.numel() > 1 and mine.size(0) <= ROWS and mine.size(1) <= COLUMNS):
        return ""
    groups = (
        _digits(mine, right, mine),
        _digits(mine, right, right),
        _digits((mine - right).abs()),
    )
    where = str(list(leading)) if leading else ""
    return "\n".join([where, *map(" ".join, zip(*groups, strict=True))])


def _digits(*tensors: Tensor) -> list[str]:
    """The last tensor's rows, a digit per number: 0 for the smallest finite number of
    them all, 9 for the largest.
    """
    every = torch.cat([tensor.flatten() for tensor in tensors])
    known = every[every.isfinite()]
    low = 0.0 if len(tensors) == 1 or not len(known) else known.min().item()
    reach = (known.max().item() if len(known) else 0.0) - low or 1.0
    return [
        "".join(_digit((number - low) / reach) for number in row)
        for row in tensors[-1].tolist()
    ]


def _digit(share: float) -> str:
    return str(round(9 * share)) if 0 <= share <= 1 else "x"
