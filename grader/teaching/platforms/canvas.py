"""Canvas: its downloads, its gradebook, and the list of students that this is, too."""

import re
from collections.abc import Mapping

from grader.reports import gradebooks
from grader.teaching.platform import Layout, Platform

# "lovelaceada_LATE_12345_678901_tensors-2.py": a user, a file, the second resubmission.
# Without names for an assignment that is graded anonymously:
# "LATE_anon_Xy3Zk_678901_tensors.py". An entry of text is
# "lovelaceada_12345_text.html".
UPLOADS = (
    re.compile(r"(?P<who>.+?)(?P<late>_LATE)?_(?P<number>\d+)_\d+_(?P<file>.+)"),
    re.compile(
        r"(?P<late>LATE_)?(?P<who>anon)_(?P<number>[A-Za-z0-9]{3,8})_\d+_(?P<file>.+)"
    ),
    re.compile(
        r"(?P<who>.+?)(?P<late>_LATE)?_(?P<number>\d+)_(?P<file>(?:text|link)\.html)"
    ),
)
NOT_STUDENTS = ("points possible", "student, test")  # rows of the gradebook


def is_nobody(cells: Mapping[str, str]) -> bool:
    is_empty = not (cells["student"] or cells["id"])
    return is_empty or cells["student"].casefold() in NOT_STUDENTS


CANVAS = Platform(
    name="Canvas",
    uploads=UPLOADS,
    resubmission=re.compile(r"(?P<stem>.+?)-(?P<attempt>\d{1,3})(?P<suffix>\.\w+)"),
    has_folders=False,
    last_name_first=True,
    test_student="studenttest_",  # "Student, Test" in the gradebook
    layouts=(
        Layout(
            ("student", "id", "section"),
            ("sis user id", "sis login id", "id"),
            ("student",),
            number="id",
        ),
    ),
    gradebook_columns=("id", "sis user id", "sis login id", "section"),
    is_nobody=is_nobody,
    gradebook=gradebooks.render_canvas,
)
