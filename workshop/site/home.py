"""The front page, which begins with the ways in and goes on with the README, and the
page of the core path.
"""

import re
from collections.abc import Callable

from grader.course.catalogue import Kata
from workshop.site import course_map

OF_THE_PATH = re.compile(
    r"^## The path\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)
TABLE = re.compile(r"^\|.*\n(?:\|.*\n)*", re.MULTILINE)
INTRODUCTION = re.compile(r"\A# .*\n\n(?:\S.*\n)+")
DOORS = {"Start": "Start", "The path": "See the course"}  # by section
# the list of pages has it
ELSEWHERE = re.compile(r"^## For maintainers\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
START = re.compile(r"^## Start\n", re.MULTILINE)
WAYS_IN = """- On your machine: the lines below.
- From a release, without a clone: [install it](docs/installing.md).
"""
CLONED = "In a clone of this repository, or"
COLUMNS = {"wide": 5, "narrow": 2}  # of the map; the style sheet shows one of both
HIDE_CONTENTS = "---\nhide-toc: true\n---\n\n"


def page(
    readme: str,
    tracks: dict[str, list[Kata]],
    link: Callable[[Kata], str],
    repository: str = "",
) -> str:
    """What the course is, buttons that lead into it, and the README's text with the map
    of all tracks.

    Args:
        repository: the address of the repository's files on the web.
    """
    address = repository.partition("/blob/")[0]
    if address:
        readme = readme.replace(CLONED, f"After `git clone {address}.git`, or in")
        readme = START.sub(lambda match: f"{match[0]}\n{WAYS_IN}\n", readme)
    drawn = [
        course_map.drawn(tracks, columns, link, kind)
        for kind, columns in COLUMNS.items()
    ]
    shown = "\n".join(['<div class="course-maps">', *drawn, "</div>", ""])
    text = OF_THE_PATH.sub(
        lambda path: TABLE.sub(lambda _: shown, path[0], count=1),
        ELSEWHERE.sub("", readme),
    )
    opening = f"{_buttons(readme, address)}\n\n{_amounts(tracks)}\n"
    return HIDE_CONTENTS + INTRODUCTION.sub(
        lambda match: f"{match[0]}\n{opening}", text
    )


def _buttons(readme: str, address: str) -> str:
    """The ways in: to the sections that the README has, and to a machine in
    the browser.
    """
    doors = {
        f"#{title.lower().replace(' ', '-')}": text
        for title, text in DOORS.items()
        if f"\n## {title}\n" in readme
    }
    host, _, name = address.removeprefix("https://").partition("/")
    if host == "github.com":
        doors[f"https://codespaces.new/{name}"] = "Open in Codespaces"
    return "\n".join(
        f'<a class="button" href="{to}">{text}</a>' for to, text in doors.items()
    )


def _amounts(tracks: dict[str, list[Kata]]) -> str:
    """How much there is, in a line."""
    katas = [kata for members in tracks.values() for kata in members]
    hours = sum(kata.description.minutes_core for kata in katas) // 60
    exercises = sum(len(kata.exercises) for kata in katas)
    return (
        f"{len(katas)} katas · {exercises} exercises · {hours} hours, without the "
        "stretch exercises · no GPU needed"
    )


def path_page(readme: str) -> str:
    """The README's section on the core path as a page."""
    found = OF_THE_PATH.search(readme)
    return f"# The path\n{found['text'] if found else ''}"
