"""The learner's own GPT as a picture of its parts, its loss, and its texts: in a terminal, and as a page."""

import math
import textwrap
from collections.abc import Iterator
from html import escape

from rich.console import Console
from rich.text import Text

from grader.course.parts import PLACES
from grader.learner.mine import Mine, Standing
from grader.mine import budget
from grader.reports import page

PAGE = "mine.html"
INSIDE = ("output", "block 3", "block 2", "block 1", "input")  # of the model, from top to bottom
OUTSIDE = [place for place in PLACES if place not in INSIDE]
OWN, REPLACED, COURSES = "█", "▒", "░"
STYLES = {OWN: "bold green", REPLACED: "yellow", COURSES: "dim"}
WIDTH, HEIGHT = 60, 6  # of the curve, in characters
EIGHTHS = " ▁▂▃▄▅▆▇█"
COLUMN = 37  # characters of a text beside another


def show(mine: Mine, console: Console) -> None:
    """Print all of it."""
    for line in lines(mine):
        console.print(line, soft_wrap=True, highlight=False)


def lines(mine: Mine) -> Iterator[Text]:
    """All of it, line by line."""
    yield Text(mine.share, "bold")
    yield Text()
    yield from _rows(mine, OUTSIDE[-1:])
    yield Text(f"{'':10}┌{'─' * 62}")
    yield from _rows(mine, INSIDE, "│ ")
    yield Text(f"{'':10}└{'─' * 62}")
    yield from _rows(mine, [*OUTSIDE[1:-1], OUTSIDE[0]])
    yield Text(f"\n{OWN} yours   {REPLACED} yours, and the course's runs   {COURSES} the course's", "dim")
    yield from (Text(f"{_label(one)}: {one.note}") for one in mine.standings if one.note)
    yield Text()
    yield Text(reading(mine))
    yield from map(Text, digits(mine))
    yield Text()
    yield from (Text(line, "cyan") for line in curve(mine.told["gpt"]["losses"]))
    yield Text(learning(mine))
    yield Text()
    yield from texts(mine)


def reading(mine: Mine) -> str:
    told = mine.told["reader"]
    worst = ", ".join(f"{said} for {meant}" for _, said, meant in told["worst"])
    return f"The reader reads {100 * told['accuracy']:.0f} % of 500 digits right. Its worst mistakes: {worst}."


def digits(mine: Mine) -> list[str]:
    """The pictures of the worst mistakes side by side, two rows of pixels in a line."""
    pictures = [[[value > 0.4 for value in row] for row in picture] for picture, *_ in mine.told["reader"]["worst"]]
    return [
        "      ".join("".join(" ▄▀█"[2 * a + b] for a, b in zip(rows[y], rows[y + 1])) for rows in pictures).rstrip()
        for y in range(0, 8, 2)
    ]


def learning(mine: Mine) -> str:
    told = mine.told["gpt"]
    return (
        f"The GPT learned for {mine.steps} steps, {budget.STEPS} for each exercise of yours. "
        f"Its loss is {told['whole']:.2f}; "
        f"knowing only how often each character occurs costs {told['frequencies']:.2f}."
    )


def curve(losses: list[float]) -> list[str]:
    """The losses as columns of characters; nothing before there are any."""
    if not losses:
        return []
    width = min(WIDTH, len(losses))
    cut = [losses[len(losses) * at // width : len(losses) * (at + 1) // width] for at in range(width)]
    means = [sum(part) / len(part) for part in cut]
    top = max([mean for mean in means if math.isfinite(mean)], default=0.0)
    heights = [mean / max(top, 0.1) * HEIGHT * 8 if math.isfinite(mean) else 0.0 for mean in means]
    rows = []
    for row in reversed(range(HEIGHT)):
        label = f"{top:4.1f} " if row == HEIGHT - 1 else " 0.0 " if not row else "     "
        rows.append(label + "".join(EIGHTHS[round(min(8, max(0, height - 8 * row)))] for height in heights).rstrip())
    return rows


def texts(mine: Mine) -> Iterator[Text]:
    """What it writes, beside what it wrote before the last kata."""
    now = _wrapped(mine.told["gpt"]["text"])
    if mine.before is None or mine.last is None:
        yield Text("It writes:", "bold")
        yield from (Text(f"  {line}", "bold cyan") for line in now)
        return
    yield Text(f"{f'Before {_number(mine.last.kata)}:':{COLUMN}}  Now:", "bold")
    was = _wrapped(mine.before["gpt"]["text"])
    for at in range(max(len(was), len(now))):
        one, other = (part[at] if at < len(part) else "" for part in (was, now))
        yield Text.assemble((f"{one:{COLUMN}}", "dim"), "  ", (other, "bold cyan"))


def html(mine: Mine) -> str:
    """All of it as a page that needs nothing else."""
    return page.page("your own GPT", body(mine))


def body(mine: Mine) -> str:
    """What is on the page."""
    rows = "".join(
        f"<tr><td>{escape(place)}</td><td>"
        + "<br>".join(
            f"<span class='{'passed' if one.is_own else 'unconfirmed' if one.is_begun else 'dim'}'>{_sign(one)} "
            f"{escape(_label(one))}</span>{f' <small>{escape(one.note)}</small>' if one.note else ''}"
            for one in mine.standings
            if one.part.place == place
        )
        + "</td></tr>"
        for place in ("writing", *INSIDE, *OUTSIDE[1:-1], "reader")
    )
    now, before = mine.told["gpt"]["text"], mine.before
    written = f"<h2>It writes</h2><pre>{escape(now)}</pre>"
    if before and mine.last:
        written += f"<h2>Before {_number(mine.last.kata)}</h2><pre>{escape(before['gpt']['text'])}</pre>"
    pictures = "\n".join(digits(mine))
    drawn = "\n".join(curve(mine.told["gpt"]["losses"]))
    return (
        f"<h1>Your own GPT</h1><p>{escape(mine.share)}</p>{page.bar(mine.exercises, _all(mine))}{written}"
        f"<h2>Its loss</h2><pre>{escape(drawn)}</pre><p>{escape(learning(mine))}</p>"
        f"<h2>Its parts</h2><table>{rows}</table>"
        f"<h2>Its reader</h2><p>{escape(reading(mine))}</p><pre>{escape(pictures)}</pre>"
    )


def _all(mine: Mine) -> int:
    return sum(len(one.part.exercises) for one in mine.standings)


def _rows(mine: Mine, places: "list[str] | tuple[str, ...]", edge: str = "") -> Iterator[Text]:
    for place in places:
        row = Text(f"{place:10}{edge}")
        for one in mine.standings:
            if one.part.place == place:
                row.append(f"{_sign(one)} {_label(one)}   ", STYLES[_sign(one)])
        row.rstrip()
        yield row


def _sign(one: Standing) -> str:
    return OWN if one.is_own else REPLACED if one.is_begun else COURSES


def _label(one: Standing) -> str:
    return f"{_number(one.part.kata)} {one.part.name}"


def _number(kata: str) -> str:
    return kata.partition("_")[0]


def _wrapped(text: str) -> list[str]:
    return [part for line in text.splitlines() for part in textwrap.wrap(line, COLUMN) or [""]]
