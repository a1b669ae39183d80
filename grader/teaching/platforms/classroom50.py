"""Classroom 50: its lists of students. Its downloads are repositories, whose names end
with a student's id.
"""

from collections.abc import Mapping

from grader.teaching.platform import Layout, Platform


def is_nobody(cells: Mapping[str, str]) -> bool:
    return cells.get("role", "").casefold() not in ("", "student")


CLASSROOM50 = Platform(
    name="Classroom 50",
    layouts=(
        Layout(
            ("username", "first name", "last name"),
            ("username", "email"),
            ("first name", "last name"),
        ),
        Layout(("username",), ("username", "email"), ("name",)),
    ),
    is_nobody=is_nobody,
)
