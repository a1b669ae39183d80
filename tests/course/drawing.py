"""Draws a diagram from its source text as SVG: the one place of its colours, sizes and arrows.

A source has one statement per line. Coordinates are in units of 10 pixels, from the top left; a picture is 88 wide.

    size 24                                        height
    box q parameters 12,4 14x5 "W_q" "(C, C)"      name, role, centre, width x height, lines of text
    round add operation 20,4 "+"                   a small circle
    frame 2,1 40,12 "one head" stacked             two corners and a title; stacked: there are several
    grid 50,4 "xx." "xxx"                          top left corner and rows of cells: x is filled
    arrow q.right add.left "(B, T, C)" below       from, to, label, side of the label
    arrow 2,9 6, ,4 add.left gradient              points on the way; "6," keeps y and ",4" keeps x
    text 40,20 "…" left                            centred, unless it says left

A place is a point, or a box and its side: `q.right`, or `q.right+2` for two units further down or right. An arrow
turns at right angles. Beside a side (above, below, left, right) its words may be a role, whose colour it takes,
`thick`, `headless`, and `at N`, the number of the segment that has the label. Text that does not fit into its box, and
labels that touch boxes, lines or one another, are errors.
"""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import matplotlib
from fontTools.pens.svgPathPen import SVGPathPen
from fontTools.ttLib import TTFont

# Role: fill, line. One colour per role, in every diagram.
ROLES = {
    "data": ("#dbeafe", "#1d5fc4"),
    "parameters": ("#ffe3c2", "#b75d06"),
    "operation": ("#ebe7fb", "#6a4fc9"),
    "tensor": ("#ffffff", "#57606a"),
    "kept": ("#d5f2dc", "#1a7f37"),
    "gradient": ("#fde2e5", "#c8202f"),
}
LEGEND = {
    "data": "input, target, output",
    "parameters": "parameters",
    "operation": "operation",
    "tensor": "tensor in between",
    "kept": "kept state",
    "gradient": "gradient",
}
CARD, EDGE, FRAME, FRAME_EDGE = "#ffffff", "#d0d7de", "#f5f7f9", "#c3cad1"
INK, SOFT, LINE = "#1f2328", "#4b535c", "#3d444d"
UNIT, WIDTH, LEGEND_HEIGHT, CELL = 10, 88, 4, 1.6
NAME, DETAIL, TITLE = 14.0, 12.5, 13.5  # sizes of letters: a box's first line and its others, and a frame's title
SPACING, RADIUS, HEAD = 1.3, 6, 9
SIDES = ("above", "below", "left", "right")

Point = tuple[float, float]


@dataclass(frozen=True)
class Rectangle:
    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: "Rectangle", gap: float = 0) -> bool:
        across = self.left < other.right + gap and other.left < self.right + gap
        return across and self.top < other.bottom + gap and other.top < self.bottom + gap

    def cuts(self, other: "Rectangle") -> bool:
        """Whether the other one is partly inside and partly outside."""
        across = self.left <= other.left and other.right <= self.right
        return self.touches(other) and not (across and self.top <= other.top and other.bottom <= self.bottom)


@dataclass(frozen=True)
class Box:
    role: str
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    is_round: bool = False

    @property
    def area(self) -> Rectangle:
        half_width, half_height = self.width / 2, self.height / 2
        return Rectangle(self.x - half_width, self.y - half_height, self.x + half_width, self.y + half_height)

    def place(self, side: str, offset: float) -> Point:
        area = self.area
        if side in ("left", "right"):
            return getattr(area, side), self.y + offset
        return self.x + offset, getattr(area, side)


class Letters:
    """Text as outlines, so that it looks the same with every viewer's fonts. Each letter is defined once."""

    def __init__(self) -> None:
        folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
        self.fonts = {"a": TTFont(folder / "DejaVuSans.ttf"), "b": TTFont(folder / "DejaVuSans-Bold.ttf")}
        self.used: dict[str, str] = {}

    def width(self, text: str, size: float, font: str = "a") -> float:
        return sum(self._advance(letter, font) for letter in text) * size / 2048

    def svg(self, text: str, x: float, y: float, size: float, colour: str, font: str = "a") -> str:
        """The text with its left end and base line at this point."""
        scale, pen, parts = size / 2048, 0, []
        for letter in text:
            if letter != " ":
                parts.append(f'<use href="#{self._define(letter, font)}" x="{pen}"/>')
            pen += self._advance(letter, font)
        place = f"translate({x:.1f} {y:.1f}) scale({scale:.5f} -{scale:.5f})"
        return f'<g transform="{place}" fill="{colour}">{"".join(parts)}</g>'

    def definitions(self) -> str:
        return "<defs>" + "".join(f'<path id="{name}" d="{d}"/>' for name, d in sorted(self.used.items())) + "</defs>"

    def _advance(self, letter: str, font: str) -> int:
        cmap = self.fonts[font].getBestCmap()
        if ord(letter) not in cmap:
            raise ValueError(f"the font has no {letter!r}")
        return self.fonts[font]["hmtx"][cmap[ord(letter)]][0]

    def _define(self, letter: str, font: str) -> str:
        name = f"{font}{ord(letter):x}"
        if name not in self.used:
            glyphs = self.fonts[font].getGlyphSet()
            pen = SVGPathPen(glyphs)
            glyphs[self.fonts[font].getBestCmap()[ord(letter)]].draw(pen)
            self.used[name] = pen.getCommands()
        return name


@dataclass
class Picture:
    """What has been drawn so far, layer by layer, and which places are taken."""

    height: float = 0
    title: str = ""
    boxes: dict[str, Box] = field(default_factory=dict)
    roles: set[str] = field(default_factory=set)
    layers: dict[str, list[str]] = field(default_factory=lambda: {"frames": [], "lines": [], "boxes": [], "text": []})
    labels: dict[str, Rectangle] = field(default_factory=dict)
    frames: dict[str, Rectangle] = field(default_factory=dict)  # and grids: labels are inside or outside
    segments: list[tuple[str, Rectangle]] = field(default_factory=list)
    letters: Letters = field(default_factory=Letters)

    def add(self, kind: str, words: list[str], texts: list[str]) -> None:
        """Draw one statement."""
        if kind == "size":
            self.height = float(words[0]) + LEGEND_HEIGHT
        elif kind == "title":
            self.title = texts[0]
        elif kind in ("box", "round"):
            self._box(kind, words, texts)
        elif kind == "frame":
            self._frame(words, texts)
        elif kind == "grid":
            self._grid(words, texts)
        elif kind == "arrow":
            self._arrow(words, texts)
        elif kind == "text":
            self._text(words, texts)
        else:
            raise ValueError(f"there is no statement {kind}")

    def _box(self, kind: str, words: list[str], texts: list[str]) -> None:
        name, role, place, *size = words
        x, y = map(float, place.split(","))
        width, height = map(float, size[0].split("x")) if size else (2.6, 2.6)
        box = self.boxes[name] = Box(role, x, y, width, height, tuple(texts), kind == "round")
        self.roles.add(role)
        fill, line = ROLES[role]
        radius = min(width, height) * UNIT / 2 if box.is_round else RADIUS
        area = box.area
        self.layers["boxes"].append(_rectangle(area, fill, line, radius, 1.4))
        heights = [(NAME if i == 0 else DETAIL) * SPACING for i in range(len(texts))]
        top = y * UNIT - sum(heights) / 2
        for i, (text, tall) in enumerate(zip(texts, heights)):
            size_, colour = (NAME, INK) if i == 0 else (DETAIL, SOFT)
            wide = self.letters.width(text, size_)
            if wide + 8 > width * UNIT or sum(heights) > height * UNIT + 2:
                raise ValueError(f'"{text}" does not fit into the box {name}: {wide + 8:.0f} x {sum(heights):.0f}')
            self.layers["text"].append(
                self.letters.svg(text, x * UNIT - wide / 2, top + tall * 0.5 + size_ * 0.36, size_, colour)
            )
            top += tall

    def _frame(self, words: list[str], texts: list[str]) -> None:
        (left, top), (right, bottom) = (map(float, word.split(",")) for word in words[:2])
        self.frames[f"frame {words[0]}"] = Rectangle(left, top, right, bottom)
        for shift in (0.8, 0.4, 0) if "stacked" in words else (0,):
            area = Rectangle(left + shift, top + shift, right + shift, bottom + shift)
            self.layers["frames"].append(_rectangle(area, FRAME, FRAME_EDGE, 8, 1.2))
        for text in texts:
            self._label(text, (left + 0.9) * UNIT, (top + 1.9) * UNIT, TITLE, INK, "b")

    def _grid(self, words: list[str], rows: list[str]) -> None:
        left, top = map(float, words[0].split(","))
        self.frames[f"grid {words[0]}"] = Rectangle(left, top, left + CELL * len(rows[0]), top + CELL * len(rows))
        for i, row in enumerate(rows):
            for j, cell in enumerate(row):
                area = Rectangle(left + CELL * j, top + CELL * i, left + CELL * (j + 1), top + CELL * (i + 1))
                fill = ROLES["data"][0] if cell == "x" else CARD
                self.layers["boxes"].append(_rectangle(area, fill, FRAME_EDGE, 0, 1.2))

    def _arrow(self, words: list[str], texts: list[str]) -> None:
        ends = [word for word in words if re.search(r"[.,]", word)]
        options = [word for word in words if word not in ends]
        points = self._way(ends)
        role = _role(options)
        colour = ROLES[role][1] if role else LINE
        self.roles |= {role} - {""}
        dashes = ' stroke-dasharray="6 4"' if role == "gradient" else ""
        wide = 3.2 if "thick" in options else 1.6
        name = " ".join(["arrow", *ends])
        start = Rectangle(*points[0], *points[0])
        if any(start.touches(part, 0.01) for _, part in self.segments):
            x, y = points[0]
            self.layers["lines"].append(f'<circle cx="{x * UNIT:g}" cy="{y * UNIT:g}" r="3.5" fill="{colour}"/>')
        for (x1, y1), (x2, y2) in itertools.pairwise(points):
            self.segments.append((name, Rectangle(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))))
        pixels = [(x * UNIT, y * UNIT) for x, y in points]
        if "headless" not in options:
            self.layers["lines"].append(_head(pixels[-2], pixels[-1], colour))
            pixels[-1] = _towards(pixels[-1], pixels[-2], HEAD - 2)
        line = f'<path d="{_rounded(pixels)}" fill="none" stroke="{colour}" stroke-width="{wide}"{dashes}/>'
        self.layers["lines"].insert(0, line)
        if texts:
            self._beside(points, options, texts, colour if role else SOFT)

    def _way(self, ends: list[str]) -> list[Point]:
        """The corners of an arrow, so that each part is horizontal or vertical."""
        points: list[Point] = []
        sides: list[str] = []
        for end in ends:
            place, side = self._place(end, points[-1] if points else (0, 0))
            if points and place[0] != points[-1][0] and place[1] != points[-1][1]:
                before, across = points[-1], ("left", "right")
                if sides[-1] in across and side in across:
                    middle = (before[0] + place[0]) / 2
                    points += [(middle, before[1]), (middle, place[1])]
                elif sides[-1] in ("top", "bottom") and side in ("top", "bottom"):
                    middle = (before[1] + place[1]) / 2
                    points += [(before[0], middle), (place[0], middle)]
                elif side in across or sides[-1] in ("top", "bottom"):
                    points.append((before[0], place[1]))
                else:
                    points.append((place[0], before[1]))
            points.append(place)
            sides.append(side)
        return points

    def _place(self, word: str, before: Point) -> tuple[Point, str]:
        if found := re.fullmatch(r"(\w+)\.(left|right|top|bottom)([+-][\d.]+)?", word):
            return self.boxes[found[1]].place(found[2], float(found[3] or 0)), found[2]
        x, y = word.split(",")
        return (float(x) if x else before[0], float(y) if y else before[1]), ""

    def _beside(self, points: list[Point], options: list[str], texts: list[str], colour: str) -> None:
        """Write the label beside the longest part of an arrow, or beside the one that it names."""
        parts = list(itertools.pairwise(points))
        longest = max(
            range(len(parts)), key=lambda i: abs(parts[i][0][0] - parts[i][1][0]) + abs(parts[i][0][1] - parts[i][1][1])
        )
        at = int(options[options.index("at") + 1]) - 1 if "at" in options else longest
        (x1, y1), (x2, y2) = parts[at]
        side = next((option for option in options if option in SIDES), "above" if y1 == y2 else "right")
        x, y = (x1 + x2) / 2 * UNIT, (y1 + y2) / 2 * UNIT
        tall = DETAIL * SPACING * len(texts)
        for i, text in enumerate(texts):
            wide = self.letters.width(text, DETAIL)
            down = DETAIL * SPACING * i + DETAIL * 0.95
            places = {
                "above": (x - wide / 2, y - tall - 3 + down),
                "below": (x - wide / 2, y + 5 + down),
                "left": (x - wide - 6, y - tall / 2 + down),
                "right": (x + 6, y - tall / 2 + down),
            }
            self._label(text, *places[side], DETAIL, colour)

    def _text(self, words: list[str], texts: list[str]) -> None:
        x, y = (UNIT * float(number) for number in words[0].split(","))
        for i, text in enumerate(texts):
            start = x if "left" in words else x - self.letters.width(text, DETAIL) / 2
            down = DETAIL * (SPACING * (i - len(texts) / 2) + 0.95)
            self._label(text, start, y + down, DETAIL, ROLES[_role(words)][1] if _role(words) else SOFT)

    def _label(self, text: str, x: float, y: float, size: float, colour: str, font: str = "a") -> None:
        wide = self.letters.width(text, size, font)
        name, number = text, 1
        while name in self.labels:
            name, number = f"{text} ({number + 1})", number + 1
        taken = (x, y - size * 0.75, x + wide, y + size * 0.2)
        self.labels[name] = Rectangle(*(value / UNIT for value in taken))
        self.layers["text"].append(self.letters.svg(text, x, y, size, colour, font))

    def collisions(self) -> Iterable[str]:
        """The labels and lines that touch what they should not."""
        card = Rectangle(0.5, 0.5, WIDTH - 0.5, self.height - LEGEND_HEIGHT)
        for name, area in [*self.labels.items(), *((n, box.area) for n, box in self.boxes.items())]:
            if area.left < card.left or area.top < card.top or area.right > card.right or area.bottom > card.bottom:
                yield f"{name} leaves the card"
        for (name, area), (other, place) in itertools.combinations(self.labels.items(), 2):
            if area.touches(place):
                yield f'the labels "{name}" and "{other}" overlap'
        for name, area in self.labels.items():
            yield from (
                f'the label "{name}" touches the box {b}' for b, box in self.boxes.items() if area.touches(box.area)
            )
            yield from (
                f'the label "{name}" is crossed by {line}' for line, part in self.segments if area.touches(part)
            )
            yield from (
                f'the label "{name}" is on the edge of {f}' for f, frame in self.frames.items() if frame.cuts(area)
            )
        for (name, box), (other, place) in itertools.combinations(self.boxes.items(), 2):
            if box.area.touches(place.area):
                yield f"the boxes {name} and {other} overlap"
        for name, box in self.boxes.items():
            yield from (
                f"{line} crosses the box {name}" for line, part in self.segments if box.area.touches(part, -0.1)
            )

    def drawn(self) -> str:
        wide, tall = WIDTH * UNIT, self.height * UNIT
        legend = self._legend()
        layers = [line for layer in self.layers.values() for line in layer]
        card = f'<rect x=".5" y=".5" width="{wide - 1}" height="{tall - 1:g}" rx="10" fill="{CARD}" stroke="{EDGE}"/>'
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{tall:g}" viewBox="0 0 {wide} {tall:g}">'
        )
        about = [head, f"<title>{escape(self.title)}</title>"]
        return "\n".join([*about, self.letters.definitions(), card, *layers, *legend, "</svg>\n"])

    def _legend(self) -> list[str]:
        """One sample per role that the picture uses, in a row at the bottom."""
        roles = [role for role in ROLES if role in self.roles]
        widths = [self.letters.width(LEGEND[role], DETAIL) + 26 + 22 for role in roles]
        x, y = (WIDTH * UNIT - sum(widths) + 22) / 2, (self.height - 2.1) * UNIT
        parts = []
        for role, wide in zip(roles, widths):
            fill, line = ROLES[role]
            parts.append(_rectangle(Rectangle(x / 10, y / 10 - 0.6, x / 10 + 1.9, y / 10 + 0.6), fill, line, 3, 1.4))
            parts.append(self.letters.svg(LEGEND[role], x + 26, y + DETAIL * 0.36, DETAIL, SOFT))
            x += wide
        return parts


def draw(source: str) -> str:
    """The SVG of a source.

    Raises:
        ValueError: a statement is wrong, or something overlaps.
    """
    picture = Picture()
    for number, line in enumerate(source.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        kind, *words = re.findall(r'"[^"]*"|[^\s"]+', line)
        try:
            picture.add(kind, [w for w in words if w[0] != '"'], [w.strip('"') for w in words if w[0] == '"'])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ValueError(f"line {number}, {line.strip()}: {error!r}") from error
    if problems := list(picture.collisions()):
        raise ValueError("\n".join(problems))
    return picture.drawn()


def _role(words: list[str]) -> str:
    return next((word for word in words if word in ROLES), "")


def _rectangle(area: Rectangle, fill: str, line: str, radius: float, wide: float) -> str:
    x, y, width, height = (
        value * UNIT for value in (area.left, area.top, area.right - area.left, area.bottom - area.top)
    )
    shape = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"'
    return f'<rect {shape} fill="{fill}" stroke="{line}" stroke-width="{wide}"/>'


def _head(before: Point, tip: Point, colour: str) -> str:
    (x, y), (back_x, back_y) = tip, _towards(tip, before, HEAD)
    across_x, across_y = (back_y - y) * 0.45, (x - back_x) * 0.45
    left, right = (back_x + across_x, back_y + across_y), (back_x - across_x, back_y - across_y)
    corners = " ".join(f"{a:g},{b:g}" for a, b in (tip, left, right))
    return f'<polygon points="{corners}" fill="{colour}"/>'


def _towards(start: Point, end: Point, by: float) -> Point:
    """The point `by` pixels from start on the way to end, and not beyond it."""
    x, y = end[0] - start[0], end[1] - start[1]
    length = abs(x) + abs(y)
    share = min(by / length, 1) if length else 0
    return start[0] + x * share, start[1] + y * share


def _rounded(points: list[Point]) -> str:
    """The path through these points with rounded corners."""
    path = f"M{points[0][0]:g} {points[0][1]:g}"
    for before, corner, after in zip(points, points[1:], points[2:]):
        enter, leave = (_towards(corner, end, min(RADIUS, _length(corner, end) / 2)) for end in (before, after))
        path += f"L{enter[0]:g} {enter[1]:g}Q{corner[0]:g} {corner[1]:g} {leave[0]:g} {leave[1]:g}"
    return path + f"L{points[-1][0]:g} {points[-1][1]:g}"


def _length(start: Point, end: Point) -> float:
    return abs(end[0] - start[0]) + abs(end[1] - start[1])
