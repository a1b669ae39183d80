"""Reads the names that platforms give to what students hand in: whose it is, and what
it was called before.
"""

import re
from dataclasses import dataclass
from pathlib import Path

# "lovelaceada_LATE_12345_678901_tensors-2.py": a user, a file, the second resubmission.
# Without names for an assignment that is graded anonymously:
# "LATE_anon_Xy3Zk_678901_tensors.py". An entry of text is
# "lovelaceada_12345_text.html".
CANVAS = (
    re.compile(r"(?P<who>.+?)(?P<late>_LATE)?_(?P<number>\d+)_\d+_(?P<file>.+)"),
    re.compile(
        r"(?P<late>LATE_)?(?P<who>anon)_(?P<number>[A-Za-z0-9]{3,8})_\d+_(?P<file>.+)"
    ),
    re.compile(
        r"(?P<who>.+?)(?P<late>_LATE)?_(?P<number>\d+)_(?P<file>(?:text|link)\.html)"
    ),
)
ATTEMPT = re.compile(r"(?P<stem>.+?)-(?P<attempt>\d{1,3})(?P<suffix>\.\w+)")
# "Ada Lovelace_12345_assignsubmission_file_" is a folder; with the name of a file
# behind it, a file.
GRADESCOPE = re.compile(r"submission_(?P<number>\d+)")  # a folder
MOODLE = re.compile(
    r"(?P<who>[^_]+)_(?P<number>\d+)_assignsubmission_[a-z]+(?:_(?P<file>.*))?"
)


@dataclass(frozen=True)
class Upload:
    """A file or folder as a platform's download names it.

    Attributes:
        number: the platform's own number for the student, such as "Canvas 12345".
        file: the name of the file as its student called it; empty for a folder.
        attempt: the number of the resubmission.
        late: the platform marks it as handed in late.
    """

    who: str
    number: str
    file: str = ""
    attempt: int = 0
    late: bool = False

    @property
    def student(self) -> str:
        """The student's name where no roster says another one."""
        return f"{self.who}_{self.number.partition(' ')[2]}"

    @property
    def platform(self) -> str:
        return self.number.partition(" ")[0]


def parsed(name: str) -> Upload | None:
    """The parts of a name that a platform has given; None for every other name."""
    if match := MOODLE.fullmatch(name):
        return Upload(match["who"], f"Moodle {match['number']}", match["file"] or "")
    if match := GRADESCOPE.fullmatch(name):
        return Upload("submission", f"Gradescope {match['number']}")
    match = next(filter(None, (form.fullmatch(name) for form in CANVAS)), None)
    if match is None:
        return None
    again = ATTEMPT.fullmatch(match["file"])
    file, attempt = (
        (again["stem"] + again["suffix"], int(again["attempt"]))
        if again
        else (match["file"], 0)
    )
    return Upload(
        match["who"], f"Canvas {match['number']}", file, attempt, bool(match["late"])
    )


def of(place: Path) -> Upload | None:
    """The parts of an entry's name in a download. Canvas's holds no folders."""
    upload = parsed(place.name)
    return None if upload and upload.platform == "Canvas" and place.is_dir() else upload


def own_name(name: str) -> str:
    """The name of a file as its student called it."""
    upload = parsed(name)
    return upload.file or name if upload else name
