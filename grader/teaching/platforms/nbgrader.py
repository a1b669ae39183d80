"""nbgrader: how it lays out a class, and its note of the time of an assignment."""

import re
from contextlib import suppress
from datetime import datetime

from grader.teaching.platform import Platform

NOTE = "timestamp.txt"  # submitted/STUDENT/ASSIGNMENT/timestamp.txt
SUBMITTED = "submitted"  # what it calls the folder of a class
NO_NOTE = "gives no time, since nbgrader did not lay out this class"
TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? (UTC|[+-]\d{4})\s*")


def noted(text: str) -> datetime | None:
    """The time in a note; None if this is none."""
    match = TIME.fullmatch(text)
    if match is None:
        return None
    zone = match[2].replace("UTC", "+0000")
    with suppress(ValueError):
        return datetime.strptime(match[1] + zone, "%Y-%m-%d %H:%M:%S%z")
    return None


NBGRADER = Platform(name="nbgrader")
