"""The front page, made of the README and a map of the course, and the page of the core path."""

import re
from collections.abc import Callable

from grader.course.catalogue import Kata
from workshop.site import course_map

OF_THE_PATH = re.compile(r"^## The path\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"^\|.*\n(?:\|.*\n)*", re.MULTILINE)
INTRODUCTION = re.compile(r"\A# .*\n\n(?:\S.*\n)+")
DOORS = {"Start": "Start", "The path": "The map of the course"}  # by section
START = re.compile(r"^## Start\n", re.MULTILINE)
CLONED = "<this repository>"
COLUMNS = {"wide": 5, "narrow": 2}  # of the map; the style sheet shows one of both
HIDE_CONTENTS = "---\nhide-toc: true\n---\n\n"


def page(readme: str, tracks: dict[str, list[Kata]], link: Callable[[Kata], str], repository: str = "") -> str:
    """The README's text, with the map of all tracks in place of the table of one, and the ways in with their address.

    Args:
        repository: the address of the repository's files on the web.
    """
    address = repository.partition("/blob/")[0]
    if address:
        readme = START.sub(lambda match: f"{match[0]}\n{_ways_in(address)}", readme.replace(CLONED, f"{address}.git"))
    drawn = [course_map.drawn(tracks, columns, link, kind) for kind, columns in COLUMNS.items()]
    shown = "\n".join(['<div class="course-maps">', *drawn, "</div>", ""])
    text = OF_THE_PATH.sub(lambda path: TABLE.sub(lambda _: shown, path[0], count=1), readme)
    doors = [
        f"[{text}](#{title.lower().replace(' ', '-')})" for title, text in DOORS.items() if f"\n## {title}\n" in readme
    ]
    return HIDE_CONTENTS + INTRODUCTION.sub(lambda match: f"{match[0]}\n{' · '.join(doors)}\n", text)


def _ways_in(address: str) -> str:
    """A line per way in, the first with a button."""
    host, _, name = address.removeprefix("https://").partition("/")
    codespace = f'<a class="button" href="https://codespaces.new/{name}">Open in Codespaces</a>: nothing to install.'
    others = [
        "On your machine: the four lines below.",
        "From a release, without a clone: [install it](docs/installing.md).",
    ]
    ways = [*([f"In the browser: {codespace}"] if host == "github.com" else []), *others]
    return "".join(f"- {way}\n" for way in ways) + "\n"


def path_page(readme: str) -> str:
    """The README's section on the core path as a page."""
    found = OF_THE_PATH.search(readme)
    return f"# The path\n{found['text'] if found else ''}"
