"""Draws the distribution of a class's scores as a picture in a page, and says it in words."""

from html import escape

from grader.reports import words
from grader.reports.statistics import Bar

WIDE, HIGH, FOOT, GAP = 30, 120, 20, 8  # of a bar with its margin, of the highest bar, of the labels, before the scores


def render(bars: list[Bar], unit: str) -> str:
    """The picture: a bar per score, after those who handed in nothing. Its text is for who cannot see it, and below it.

    Args:
        unit: what the numbers below the bars are.
    """
    told = "; ".join(f"{bar.about}: {words.counted(bar.students, 'student')}" for bar in bars if bar.students)
    highest = max(bar.students for bar in bars) or 1
    shapes = [_bar(bar, at, HIGH * bar.students / highest) for at, bar in enumerate(bars)]
    width, base = len(bars) * WIDE + GAP, HIGH + FOOT
    line = f"<line x1='0' x2='{width}' y1='{base}' y2='{base}'/>"
    picture = (
        f"<svg class='chart' viewBox='0 0 {width} {base + FOOT}' role='img' aria-label='{escape(told)}'>"
        f"{''.join(shapes)}{line}</svg>"
    )
    words_ = f"<details><summary>the picture in words</summary>{escape(told)}</details>"
    return f"<figure><figcaption>students per score; below the bars: {unit}</figcaption>{picture}{words_}</figure>"


def _bar(bar: Bar, at: int, height: float) -> str:
    left = at * WIDE + (GAP if at else 0)
    middle, top, base = left + WIDE / 2, FOOT + HIGH - height, FOOT + HIGH
    kind = "" if at else " class='aside'"
    count = f"<text x='{middle:g}' y='{top - 4:.0f}'>{bar.students}</text>" if bar.students else ""
    shape = f"<rect{kind} x='{left + 2}' y='{top:.1f}' width='{WIDE - 4}' height='{height:.1f}'/>" if height else ""
    return f"{shape}{count}<text x='{middle:g}' y='{base + 15}'>{escape(bar.label)}</text>"
