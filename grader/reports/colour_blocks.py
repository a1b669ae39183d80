"""Small tensors that differ, as blocks of colour in a terminal: got, expected, and how
far they are apart.
"""

import re

ROWS, COLUMNS = 12, 16  # of the largest tensor that is shown
HEADS = ("got", "expected", "difference")
# of the 256 colours of terminals, dark to bright
VALUES = (17, 18, 24, 30, 36, 71, 107, 143, 184, 227)
DIFFERENCES = (235, 52, 52, 88, 88, 124, 124, 160, 160, 196)
BROKEN = 201
KNOWN = re.compile(
    rf"[\[\]\d, ]*(\n[\dx]{{1,{COLUMNS}}}( [\dx]{{1,{COLUMNS}}}){{2}}){{1,{ROWS}}}"
)


def coloured(picture: str) -> str:
    """A picture for a 256-colour terminal, two columns per number; "" if
    `specs.tensor_picture` draws none such.
    """
    if not KNOWN.fullmatch(picture):
        return ""
    where, *rows = picture.split("\n")
    groups = [row.split(" ") for row in rows]
    widths = [
        max(2 * len(group), len(head))
        for group, head in zip(groups[0], HEADS, strict=True)
    ]
    lines = [
        "   ".join(
            f"{head:<{width}}" for head, width in zip(HEADS, widths, strict=True)
        )
        + f"   {where}".rstrip()
    ]
    for row in groups:
        painted = [
            "".join(
                _cell(digit, DIFFERENCES if head == HEADS[2] else VALUES)
                for digit in group
            )
            + " " * (width - 2 * len(group))
            for head, group, width in zip(HEADS, row, widths, strict=True)
        ]
        lines.append("   ".join(painted))
    return "\n".join(f"           {line.rstrip()}" for line in lines)


def _cell(digit: str, colours: tuple[int, ...]) -> str:
    return f"\x1b[48;5;{BROKEN if digit == 'x' else colours[int(digit)]}m  \x1b[0m"
