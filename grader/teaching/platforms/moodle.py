"""Moodle: its downloads, its lists of students, its grades, and the archive with which
it takes feedback back.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from grader.reports import gradebooks
from grader.teaching.platform import Layout, Platform

# "Download all submissions" has a folder per student, "Ada
# Lovelace_12345_assignsubmission_file_", or without folders a file whose name begins
# so. "Upload multiple feedback files in a zip" finds the student by the number.
UPLOAD = re.compile(
    r"(?P<folder>(?P<who>[^_]+)_(?P<number>\d+)_assignsubmission_(?P<kind>[a-z]+))"
    r"(?:_(?P<file>.*))?"
)
TAKEN_BACK = ("file", "onlinetext")
PAGE = "feedback.html"
TIME = "last modified (submission)"  # a column of the grading worksheet


def returned(upload: str) -> str:
    """ "Ada Lovelace_12345_assignsubmission_file_/feedback.html"."""
    match = UPLOAD.fullmatch(upload)
    if match is None or match["kind"] not in TAKEN_BACK:
        return ""
    return f"{match['folder']}_/{PAGE}"


def handed_in(cells: Mapping[str, str]) -> datetime | None:
    """The time in the grading worksheet, "Thursday, 3 December 2026, 10:00 AM". It is
    not known in other languages than English.
    """
    with suppress(ValueError):
        return datetime.strptime(cells.get(TIME, ""), "%A, %d %B %Y, %I:%M %p")
    return None


WORKSHEET = Layout(
    ("identifier", "full name"),
    ("id number", "username", "email address", "identifier"),
    ("full name",),
    "email address",
    "identifier",
)
# the grades and the participants; "surname" is that of older versions
OTHER_LISTS = tuple(
    Layout(
        needed,
        ("id number", "username", "email address"),
        ("first name", last),
        "email address",
    )
    for last in ("last name", "surname")
    for needed in (
        ("first name", last, "email address"),
        ("first name", last, "id number"),
    )
)
MOODLE = Platform(
    name="Moodle",
    uploads=(UPLOAD,),
    names_have_ids=False,
    layouts=(WORKSHEET, *OTHER_LISTS),
    handed_in=handed_in,
    returned=returned,
    gradebook=gradebooks.render_moodle,
)
