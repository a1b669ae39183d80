"""Draws a diagram from its source text: the language of sources, and the one place of
colours and sizes.

A source has one statement per line; a line that begins with # is a comment. Coordinates
are in units of 10 pixels from the top left corner, and a picture is 88 units wide:

    title "…"                                  what the picture shows
    size 24                                    its height
    box q parameters 12,4 14x5 "W_q" "(C, C)"  name, role, centre, width x height, lines
                                               of text
    round add operation 20,4 "+"               a small circle
    frame 2,1 40,12 "one head" stacked         two corners and a title; stacked: there
                                               are several
    grid 50,4 "xx." "xxx"                      top left corner and rows of cells; x
                                               is filled
    arrow q.right add.left "(B, T, C)" below   from, to, lines of a label, its side
    arrow 2,9 6, ,4 add.left gradient          points on the way: "6," keeps y, and ",4"
                                               keeps x
    text 40,20 "…"                             lines of text, centred

An arrow's place is a point, or a side of a box: `q.right`, or `q.right+2` for two units
further down or to the right. Arrows turn at right angles. After the label come, in any
order: the label's side (above, below, left, right); a role, whose colour the arrow
takes; `thick`; `headless`; `at 2`, if the label belongs to the second part of the arrow
and not to the longest.

It is an error if a text does not fit into its box, or something overlaps.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from workshop import svg
from workshop.svg import Area, Letters, Point


@dataclass(frozen=True)
class Role:
    """The meaning of a box or an arrow. Each role has one colour, in every diagram."""

    meaning: str  # in the legend
    fill: str
    line: str


ROLES = {
    "data": Role("input, target, output", "#dbeafe", "#1d5fc4"),
    "parameters": Role("parameters", "#ffe3c2", "#b75d06"),
    "operation": Role("operation", "#ebe7fb", "#6a4fc9"),
    "tensor": Role("tensor in between", "#ffffff", "#57606a"),
    "kept": Role("kept state", "#d5f2dc", "#1a7f37"),
    "gradient": Role("gradient", "#fde2e5", "#c8202f"),
}
# a light card, on dark pages too
CARD, EDGE, FRAME, FRAME_EDGE = "#ffffff", "#d0d7de", "#f5f7f9", "#c3cad1"
INK, SOFT, LINE = "#1f2328", "#4b535c", "#3d444d"  # of names, other text, arrows
# pixels; units: the picture's width, the legend's height, a grid's cell
UNIT, WIDTH, LEGEND, CELL = 10, 88, 4, 1.6
# sizes of a box's first line, other text, a frame's title; of lines
NAME, DETAIL, TITLE, SPACING = 14, 12.5, 13.5, 1.3
SIDES = ("left", "right", "top", "bottom")
BESIDE = ("above", "below", "left", "right")


@dataclass(frozen=True)
class Box:
    role: str
    area: Area

    def place(self, side: str, offset: float) -> Point:
        area = self.area
        if side in ("left", "right"):
            return getattr(area, side), (area.top + area.bottom) / 2 + offset
        return (area.left + area.right) / 2 + offset, getattr(area, side)


@dataclass
class Picture:
    """The drawing so far, in layers, and the place of each part."""

    title: str = ""
    height: float = 0
    letters: Letters = field(default_factory=Letters)
    layers: dict[str, list[str]] = field(
        default_factory=lambda: {"frames": [], "lines": [], "boxes": [], "text": []}
    )
    roles: set[str] = field(default_factory=set)
    boxes: dict[str, Box] = field(default_factory=dict)
    frames: dict[str, Area] = field(default_factory=dict)  # and grids
    # the horizontal and vertical parts of each arrow
    parts: list[tuple[str, Area]] = field(default_factory=list)
    labels: list[tuple[str, Area]] = field(default_factory=list)

    def add(self, kind: str, words: list[str], texts: list[str]) -> None:
        """Draw one statement.

        Raises:
            ValueError: it is wrong, or a text does not fit into its box.
        """
        if kind == "title":
            self.title = texts[0]
        elif kind == "size":
            self.height = float(words[0]) + LEGEND
        elif kind == "box":
            width, height = map(float, words[3].split("x"))
            self._box(words[0], words[1], _point(words[2]), width, height, 6, texts)
        elif kind == "round":
            self._box(words[0], words[1], _point(words[2]), 2.6, 2.6, 13, texts)
        elif kind == "frame":
            self._frame(
                Area(*_point(words[0]), *_point(words[1])), texts, "stacked" in words
            )
        elif kind == "grid":
            self._grid(*_point(words[0]), texts)
        elif kind == "arrow":
            ends = [word for word in words if re.search("[.,]", word)]
            self._arrow(ends, [word for word in words if word not in ends], texts)
        elif kind == "text":
            x, y = _point(words[0])
            self._lines(
                texts, x * UNIT, y * UNIT - DETAIL * SPACING * len(texts) / 2, SOFT
            )
        else:
            raise ValueError(f"there is no statement {kind}")

    def collisions(self) -> Iterator[str]:
        """The unwanted touches and crossings, each a phrase."""
        boxes = [(f"the box {name}", box.area) for name, box in self.boxes.items()]
        inside = Area(0.5, 0.5, WIDTH - 0.5, self.height - LEGEND)
        yield from (
            f"{name} is not on the card"
            for name, area in [*self.labels, *boxes]
            if not inside.holds(area)
        )
        for (name, area), (other, place) in itertools.combinations(
            [*self.labels, *boxes], 2
        ):
            if area.touches(place):
                yield f"{name} touches {other}"
        for name, area in self.labels:
            yield from (
                f"{name} is crossed by {way}"
                for way, part in self.parts
                if area.touches(part)
            )
            for frame, place in self.frames.items():
                if area.touches(place) and not place.holds(area):
                    yield f"{name} is on the edge of {frame}"
        for name, area in boxes:
            yield from (
                f"{name} is crossed by {way}"
                for way, part in self.parts
                if area.touches(part, -0.1)
            )

    def drawn(self) -> str:
        """The picture as SVG."""
        width, height = WIDTH * UNIT, self.height * UNIT
        legend = self._legend()
        size = f'width="{width}" height="{height:g}" viewBox="0 0 {width} {height:g}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
                f"<title>{escape(self.title)}</title>",
                self.letters.definitions(),
                svg.rectangle(
                    Area(0.5, 0.5, width - 0.5, height - 0.5), CARD, EDGE, 10, 1
                ),
                *itertools.chain(*self.layers.values()),
                *legend,
                "</svg>\n",
            ]
        )

    def _box(
        self,
        name: str,
        role: str,
        centre: Point,
        width: float,
        height: float,
        radius: float,
        texts: list[str],
    ) -> None:
        x, y = centre
        area = Area(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        self.boxes[name] = Box(role, area)
        self.roles.add(role)
        self.layers["boxes"].append(
            svg.rectangle(
                area.scaled(UNIT), ROLES[role].fill, ROLES[role].line, radius, 1.4
            )
        )
        sizes = [NAME, *[DETAIL] * (len(texts) - 1)]
        tall = SPACING * sum(sizes)
        top = y * UNIT - tall / 2
        for text, size in zip(texts, sizes):
            wide = self.letters.width(text, size)
            if wide + 8 > width * UNIT or tall > height * UNIT + 2:
                raise ValueError(
                    f'"{text}" does not fit: the box needs {wide + 8:.0f} by '
                    f"{tall:.0f} pixels"
                )
            base = top + size * (SPACING / 2 + 0.36)
            colour = INK if size == NAME else SOFT
            self.layers["text"].append(
                self.letters.svg(text, x * UNIT - wide / 2, base, size, colour)
            )
            top += size * SPACING

    def _frame(self, area: Area, texts: list[str], is_stacked: bool) -> None:
        self.frames[f"the frame at {area.left:g},{area.top:g}"] = area
        for shift in (0.8, 0.4, 0) if is_stacked else (0,):
            moved = Area(
                area.left + shift,
                area.top + shift,
                area.right + shift,
                area.bottom + shift,
            )
            self.layers["frames"].append(
                svg.rectangle(moved.scaled(UNIT), FRAME, FRAME_EDGE, 8, 1.2)
            )
        for text in texts:
            self._label(
                text, (area.left + 0.9) * UNIT, (area.top + 1.9) * UNIT, TITLE, INK, "b"
            )

    def _grid(self, left: float, top: float, rows: list[str]) -> None:
        self.frames["a grid"] = Area(
            left, top, left + CELL * len(rows[0]), top + CELL * len(rows)
        )
        for i, row in enumerate(rows):
            for j, cell in enumerate(row):
                area = Area(
                    left + CELL * j,
                    top + CELL * i,
                    left + CELL * (j + 1),
                    top + CELL * (i + 1),
                )
                fill = ROLES["data"].fill if cell == "x" else CARD
                self.layers["boxes"].append(
                    svg.rectangle(area.scaled(UNIT), fill, FRAME_EDGE, 0, 1.2)
                )

    def _arrow(self, ends: list[str], options: list[str], texts: list[str]) -> None:
        role = next((option for option in options if option in ROLES), None)
        self.roles |= {role} if role else set()
        colour = ROLES[role].line if role else LINE
        way = self._way(ends)
        pixels = [(x * UNIT, y * UNIT) for x, y in way]
        if any(part.touches(Area(*way[0], *way[0]), 0.01) for _, part in self.parts):
            # it begins on another arrow
            self.layers["lines"].append(svg.dot(pixels[0], colour))
        for (x1, y1), (x2, y2) in itertools.pairwise(way):
            part = Area(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
            self.parts.append((f"the arrow {' '.join(ends)}", part))
        wide = 3.2 if "thick" in options else 1.6
        self.layers["lines"] += svg.arrow(
            pixels, colour, wide, role == "gradient", "headless" not in options
        )
        if texts:
            self._beside(pixels, options, texts, colour if role else SOFT)

    def _way(self, ends: list[str]) -> list[Point]:
        """The corners of an arrow, with those that its source leaves out."""
        way: list[Point] = []
        side_before = ""
        for end in ends:
            (x, y), side = self._end(end, way[-1] if way else (0, 0))
            if way and x != way[-1][0] and y != way[-1][1]:
                before_x, before_y = way[-1]
                # sideways?
                leaves, comes = (
                    s in ("left", "right") if s else None for s in (side_before, side)
                )
                if leaves and comes:
                    way += [((before_x + x) / 2, before_y), ((before_x + x) / 2, y)]
                elif leaves is False and comes is False:
                    way += [(before_x, (before_y + y) / 2), (x, (before_y + y) / 2)]
                else:
                    way.append(
                        (before_x, y) if comes or leaves is False else (x, before_y)
                    )
            way.append((x, y))
            side_before = side
        return way

    def _end(self, word: str, before: Point) -> tuple[Point, str]:
        """The point that a word stands for, and the side of its box, empty for a
        bare point.
        """
        if found := re.fullmatch(rf"(\w+)\.({'|'.join(SIDES)})([+-][\d.]+)?", word):
            return self.boxes[found[1]].place(found[2], float(found[3] or 0)), found[2]
        x, y = word.split(",")
        return (float(x or before[0]), float(y or before[1])), ""

    def _beside(
        self, pixels: list[Point], options: list[str], texts: list[str], colour: str
    ) -> None:
        """Write the label of an arrow beside one of its parts."""
        parts = list(itertools.pairwise(pixels))
        part = max(parts, key=lambda ends: svg.distance(*ends))
        if "at" in options:
            part = parts[int(options[options.index("at") + 1]) - 1]
        (x1, y1), (x2, y2) = part
        x, y, tall = (x1 + x2) / 2, (y1 + y2) / 2, DETAIL * SPACING * len(texts)
        side = next(
            (option for option in options if option in BESIDE),
            "above" if y1 == y2 else "right",
        )
        wide = max(self.letters.width(text, DETAIL) for text in texts)
        x += {"left": -6 - wide / 2, "right": 6 + wide / 2}.get(side, 0)
        self._lines(
            texts, x, y + {"above": -tall - 3, "below": 5}.get(side, -tall / 2), colour
        )

    def _lines(self, texts: list[str], x: float, top: float, colour: str) -> None:
        """Write lines of text, centred on x, in pixels."""
        for i, text in enumerate(texts):
            base = top + DETAIL * (SPACING * i + 0.95)
            self._label(
                text, x - self.letters.width(text, DETAIL) / 2, base, DETAIL, colour
            )

    def _label(
        self,
        text: str,
        x: float,
        base: float,
        size: float,
        colour: str,
        font: str = "a",
    ) -> None:
        area = Area(
            x,
            base - size * 0.75,
            x + self.letters.width(text, size, font),
            base + size * 0.2,
        )
        self.labels.append((f'the label "{text}"', area.scaled(1 / UNIT)))
        self.layers["text"].append(self.letters.svg(text, x, base, size, colour, font))

    def _legend(self) -> list[str]:
        """One sample of each role that the picture uses, in a row at the bottom."""
        roles = [role for name, role in ROLES.items() if name in self.roles]
        widths = [26 + self.letters.width(role.meaning, DETAIL) for role in roles]
        gap = 22
        x, y = (
            (WIDTH * UNIT - sum(widths) - gap * (len(roles) - 1)) / 2,
            (self.height - LEGEND / 2) * UNIT,
        )
        drawn = []
        for role, wide in zip(roles, widths):
            drawn.append(
                svg.rectangle(
                    Area(x, y - 6, x + 19, y + 6), role.fill, role.line, 3, 1.4
                )
            )
            drawn.append(
                self.letters.svg(role.meaning, x + 26, y + DETAIL * 0.36, DETAIL, SOFT)
            )
            x += wide + gap
        return drawn


def draw(source: str) -> str:
    """The SVG of a source.

    Raises:
        ValueError: a statement is wrong, or something overlaps. The message names the
            line, or all that overlaps.
    """
    picture = Picture()
    for number, line in enumerate(source.splitlines(), start=1):
        words = [] if line.startswith("#") else re.findall(r'"[^"]*"|[^\s"]+', line)
        if words:
            texts = [word.strip('"') for word in words if word[0] == '"']
            try:
                picture.add(
                    words[0], [word for word in words[1:] if word[0] != '"'], texts
                )
            except (ValueError, KeyError, IndexError) as error:
                raise ValueError(f"line {number}: {line.strip()}: {error}") from error
    if overlaps := list(picture.collisions()):
        raise ValueError("\n".join(overlaps))
    return picture.drawn()


def _point(word: str) -> Point:
    x, y = word.split(",")
    return float(x), float(y)
