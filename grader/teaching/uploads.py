"""Reads the names that platforms give to what students hand in: whose it is, and what
it was called before.
"""

from dataclasses import dataclass
from pathlib import Path

from grader.teaching import platforms
from grader.teaching.platform import Platform


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
    def platform(self) -> Platform:
        return platforms.named(self.number.partition(" ")[0])


def parsed(name: str) -> Upload | None:
    """The parts of a name that a platform has given; None for every other name."""
    for platform in reversed(platforms.PLATFORMS):
        for form in platform.uploads:
            if match := form.fullmatch(name):
                return _upload(platform, match.groupdict())
    return None


def _upload(platform: Platform, parts: dict[str, str | None]) -> Upload:
    """The upload of these parts, which the platform's form has named."""
    file, attempt = parts.get("file") or "", 0
    again = platform.resubmission and platform.resubmission.fullmatch(file)
    if again:
        file, attempt = again["stem"] + again["suffix"], int(again["attempt"])
    number = f"{platform.name} {parts['number']}"
    is_late = bool(parts.get("late"))
    return Upload(parts["who"] or "", number, file, attempt, is_late)


def of(place: Path) -> Upload | None:
    """The parts of an entry's name in a download. Some platforms' hold no folders."""
    upload = parsed(place.name)
    if upload and place.is_dir() and not upload.platform.has_folders:
        return None
    return upload


def own_name(name: str) -> str:
    """The name of a file as its student called it."""
    upload = parsed(name)
    return upload.file or name if upload else name
