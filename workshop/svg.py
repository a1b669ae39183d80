"""Letters, boxes and lines as SVG, in pixels: what diagrams are drawn with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from fontTools.pens.svgPathPen import SVGPathPen
from fontTools.ttLib import TTFont

EM = 2048  # units of the font in one size of a letter
FONTS = {"a": "DejaVuSans.ttf", "b": "DejaVuSans-Bold.ttf"}  # matplotlib brings them
CORNER, HEAD = 6, 9  # the radius of a line's corners, and the length of an arrow's head

Point = tuple[float, float]


@dataclass(frozen=True)
class Area:
    """A rectangle by its edges, in any unit."""

    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: "Area", gap: float = 0) -> bool:
        """Tell if the two overlap, or are less than `gap` apart. A negative gap allows
        that much overlap.
        """
        across = self.left < other.right + gap and other.left < self.right + gap
        return (
            across and self.top < other.bottom + gap and other.top < self.bottom + gap
        )

    def holds(self, other: "Area") -> bool:
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom

    def scaled(self, factor: float) -> "Area":
        return Area(
            *(factor * edge for edge in (self.left, self.top, self.right, self.bottom))
        )


class Letters:
    """Text as outlines, so that it looks the same with every viewer's fonts. Each
    letter is defined once.
    """

    def __init__(self) -> None:
        folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
        fonts = {name: TTFont(folder / file) for name, file in FONTS.items()}
        self._names = {name: font.getBestCmap() for name, font in fonts.items()}
        self._glyphs = {name: font.getGlyphSet() for name, font in fonts.items()}
        self._outlines: dict[str, str] = {}

    def width(self, text: str, size: float, font: str = "a") -> float:
        return sum(self._glyph(letter, font).width for letter in text) * size / EM

    def svg(
        self, text: str, x: float, y: float, size: float, colour: str, font: str = "a"
    ) -> str:
        """The text with its left end and base line at this point."""
        scale, pen, parts = size / EM, 0, []
        for letter in text:
            if letter != " ":
                parts.append(f'<use href="#{self._define(letter, font)}" x="{pen}"/>')
            pen += self._glyph(letter, font).width
        place = f"translate({x:.1f} {y:.1f}) scale({scale:.5f} -{scale:.5f})"
        return f'<g transform="{place}" fill="{colour}">{"".join(parts)}</g>'

    def definitions(self) -> str:
        """The outlines of all letters used so far."""
        paths = (
            f'<path id="{name}" d="{outline}"/>'
            for name, outline in sorted(self._outlines.items())
        )
        return f"<defs>{''.join(paths)}</defs>"

    def _glyph(self, letter: str, font: str) -> Any:
        if ord(letter) not in self._names[font]:
            raise ValueError(f"the font has no {letter!r}")
        return self._glyphs[font][self._names[font][ord(letter)]]

    def _define(self, letter: str, font: str) -> str:
        name = f"{font}{ord(letter):x}"
        if name not in self._outlines:
            pen = SVGPathPen(self._glyphs[font])
            self._glyph(letter, font).draw(pen)
            self._outlines[name] = pen.getCommands()
        return name


def rectangle(area: Area, fill: str, line: str, radius: float, wide: float) -> str:
    size = (
        f'width="{area.right - area.left:g}" height="{area.bottom - area.top:g}" '
        f'rx="{radius:g}"'
    )
    return (
        f'<rect x="{area.left:g}" y="{area.top:g}" {size} fill="{fill}" '
        f'stroke="{line}" stroke-width="{wide}"/>'
    )


def dot(place: Point, colour: str) -> str:
    return f'<circle cx="{place[0]:g}" cy="{place[1]:g}" r="3.5" fill="{colour}"/>'


def arrow(
    points: Sequence[Point], colour: str, wide: float, is_dashed: bool, has_head: bool
) -> list[str]:
    """A line through these points with rounded corners, and its head."""
    drawn = []
    *before, last = points
    if has_head:
        (x, y), (back_x, back_y) = last, towards(last, before[-1], HEAD)
        across_x, across_y = (back_y - y) * 0.45, (x - back_x) * 0.45
        corners = (
            last,
            (back_x + across_x, back_y + across_y),
            (back_x - across_x, back_y - across_y),
        )
        drawn.append(
            f'<polygon points="{" ".join(f"{a:g},{b:g}" for a, b in corners)}" '
            f'fill="{colour}"/>'
        )
        last = towards(last, before[-1], HEAD - 2)
    dashes = ' stroke-dasharray="6 4"' if is_dashed else ""
    style = f'fill="none" stroke="{colour}" stroke-width="{wide}"{dashes}'
    return [f'<path d="{_rounded([*before, last])}" {style}/>', *drawn]


def towards(start: Point, end: Point, by: float) -> Point:
    """The point `by` from start on a horizontal or vertical way to end, and not
    beyond it.
    """
    length = distance(start, end)
    share = min(by / length, 1) if length else 0
    return start[0] + (end[0] - start[0]) * share, start[1] + (
        end[1] - start[1]
    ) * share


def distance(start: Point, end: Point) -> float:
    return abs(end[0] - start[0]) + abs(end[1] - start[1])


def _rounded(points: Sequence[Point]) -> str:
    path = f"M{points[0][0]:g} {points[0][1]:g}"
    for before, corner, after in zip(points, points[1:], points[2:]):
        enter, leave = (
            towards(corner, end, min(CORNER, distance(corner, end) / 2))
            for end in (before, after)
        )
        path += (
            f"L{enter[0]:g} {enter[1]:g}Q{corner[0]:g} {corner[1]:g} {leave[0]:g} "
            f"{leave[1]:g}"
        )
    return f"{path}L{points[-1][0]:g} {points[-1][1]:g}"
