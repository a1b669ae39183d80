"""Draws the course as a map: a box per kata, which links to its page, and lines from
what it builds on.
"""

import itertools
import textwrap
from collections.abc import Callable
from html import escape

from grader.course import pages
from grader.course.catalogue import Kata

WIDTH, HEIGHT = 138, 70  # of a box
GAP, ROW_GAP = 11, 30  # a chapter's name is above its first box
HEADING = 52  # above a track
CHARACTERS = 20  # of a title in one line

Point = tuple[int, int]


def drawn(
    tracks: dict[str, list[Kata]], columns: int, link: Callable[[Kata], str], kind: str
) -> str:
    """An SVG with the tracks below each other, as wide as `columns` boxes.

    Args:
        tracks: the katas of each track, by the track's name.
        link: the address of a kata's page.
        kind: a class of the picture, and the start of its ids.
    """
    places: dict[str, Point] = {}
    headings, chapters, boxes = [], [], []
    top = 0
    for track, katas in tracks.items():
        top += HEADING
        headings.append(
            f'<text class="track" x="0" y="{top - 30}">{escape(track)}</text>'
        )
        chapter = ""
        for index, kata in enumerate(katas):
            x = index % columns * (WIDTH + GAP)
            y = top + index // columns * (HEIGHT + ROW_GAP)
            places[kata.name] = (x, y)
            if kata.description.chapter != chapter:
                chapter = kata.description.chapter
                chapters.append(
                    f'<text class="chapter" x="{x}" '
                    f'y="{y - 7}">{escape(chapter)}</text>'
                )
            boxes.append(_box(kata, x, y, link(kata)))
        top += -(-len(katas) // columns) * (HEIGHT + ROW_GAP)
    lines = [
        _line(name, kata.name, places[name], places[kata.name])
        for kata in itertools.chain(*tracks.values())
        for name in direct(kata)
        if name in places
    ]
    wide = columns * (WIDTH + GAP) - GAP
    return "\n".join(
        [
            f'<svg class="course-map {kind}" role="group" '
            'aria-label="Map of the course" '
            f'width="{wide + 4}" viewBox="-2 0 {wide + 4} {top}" '
            'xmlns="http://www.w3.org/2000/svg">',
            *lines,
            *headings,
            *chapters,
            *boxes,
            "</svg>",
        ]
    )


def before(kata: Kata) -> list[str]:
    """The katas that this one builds on, by their code or by their ideas."""
    return [*kata.description.builds_on, *kata.description.ideas_of]


def direct(kata: Kata) -> list[str]:
    """The katas that this one builds on, without those that another one of them builds
    on already.
    """
    every = before(kata)
    indirect = {name for one in every for name in _below(Kata(kata.root, one))}
    return [name for name in every if name not in indirect]


def _below(kata: Kata) -> set[str]:
    return {
        name for one in before(kata) for name in (one, *_below(Kata(kata.root, one)))
    }


def _box(kata: Kata, x: int, y: int, address: str) -> str:
    about = kata.description
    number, title = pages.label(kata).rpartition("/")[2], kata.title
    lines = textwrap.wrap(title, CHARACTERS, max_lines=3, placeholder=" …")
    spans = "".join(
        f'<tspan x="{x + 9}" dy="{15 if n else 17}">{escape(line)}</tspan>'
        for n, line in enumerate(lines)
    )
    said = (
        f"{pages.label(kata)} {title}: {about.difficulty}, {about.minutes_core} minutes"
    )
    return (
        f'<a href="{escape(address)}" '
        f'data-kata="{kata.name}"><title>{escape(said)}</title>'
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
        f'<text x="{x + 9}" y="{y + 17}"><tspan '
        f'class="number">{number}</tspan>{spans}</text></a>'
    )


def _line(before: str, after: str, start: Point, end: Point) -> str:
    """A curve from the middle of one box to the middle of another; boxes hide its ends.
    A far one shows when marked.
    """
    (x, y), (to_x, to_y) = (
        (left + WIDTH // 2, top + HEIGHT // 2) for left, top in (start, end)
    )
    if y != to_y:
        bend = (to_y - y) // 2
        curve = f"C{x},{y + bend} {to_x},{to_y - bend} {to_x},{to_y}"
    elif abs(to_x - x) > WIDTH + GAP:
        curve = f"C{x},{y - HEIGHT} {to_x},{y - HEIGHT} {to_x},{y}"
    else:
        curve = f"H{to_x}"
    far = ' class="far"' if abs(to_y - y) > HEIGHT + ROW_GAP else ""
    return f'<path{far} data-from="{before}" data-to="{after}" d="M{x},{y}{curve}"/>'
