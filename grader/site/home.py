"""The front page, made of the README and a map of the course, and the page of the core path."""

import re
from collections.abc import Callable

from grader.course.catalogue import Kata
from grader.site import course_map

OF_THE_PATH = re.compile(r"^## The path\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"^\|.*\n(?:\|.*\n)*", re.MULTILINE)
INTRODUCTION = re.compile(r"\A# .*\n\n(?:\S.*\n)+")
DOORS = {"The first ten minutes": "The first ten minutes", "The path": "The map of the course"}  # by section
COLUMNS = {"wide": 5, "narrow": 2}  # of the map; the style sheet shows one of both
HIDE_CONTENTS = "---\nhide-toc: true\n---\n\n"


def page(readme: str, tracks: dict[str, list[Kata]], link: Callable[[Kata], str]) -> str:
    """The README's text, with the map of all tracks in place of the table of one."""
    drawn = [course_map.drawn(tracks, columns, link, kind) for kind, columns in COLUMNS.items()]
    shown = "\n".join(['<div class="course-maps">', *drawn, "</div>", ""])
    text = OF_THE_PATH.sub(lambda path: TABLE.sub(lambda _: shown, path[0], count=1), readme)
    doors = [
        f"[{text}](#{title.lower().replace(' ', '-')})" for title, text in DOORS.items() if f"\n## {title}\n" in readme
    ]
    return HIDE_CONTENTS + INTRODUCTION.sub(lambda match: f"{match[0]}\n{' · '.join(doors)}\n", text)


def path_page(readme: str) -> str:
    """The README's section on the core path as a page."""
    found = OF_THE_PATH.search(readme)
    return f"# The path\n{found['text'] if found else ''}"
