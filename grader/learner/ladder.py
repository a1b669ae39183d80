"""The ladder from GPT-2 to the record, as it was measured: tables and figure from
ladder/results.json of kata 33.
"""

import json
import statistics
import textwrap
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from grader import figures
from grader.course import catalogue

TARGET = 3.3  # nats per token
# (step, CPU seconds of all steps so far, validation loss)
Curve = list[tuple[int, float, float]]


@dataclass(frozen=True)
class Level:
    """A rung with all those below it.

    Attributes:
        place: its record's number and date.
        curves: one per seed.
        without: the curve of the whole ladder but for this rung; none for what has
            no rung.
    """

    title: str
    place: str
    published: str
    costs: str
    curves: list[Curve]
    without: Curve

    @property
    def losses(self) -> list[float]:
        return [curve[-1][2] for curve in self.curves]


def results() -> Path:
    return catalogue.find("33_gpt_capstone").folder / "ladder" / "results.json"


def measured(path: Path) -> list[Level]:
    """The levels, from the lowest one up."""
    return [Level(**level) for level in json.loads(path.read_text(encoding="utf-8"))]


def tables(levels: list[Level]) -> str:
    """What each rung brings at the tiny preset, and what is published of it at 124M."""
    lines = [
        (
            f"| and all above | validation loss | gain | CPU seconds to {TARGET} | "
            "for all steps | the ladder without it |"
        ),
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for number, level in enumerate(levels):
        loss = (
            f"{statistics.mean(level.losses):.3f} ± "
            f"{statistics.stdev(level.losses):.3f}"
        )
        gain = gained(levels[number - 1], level) if number else ""
        reached = [reaching(curve) for curve in level.curves]
        seconds = (
            "–"
            if None in reached
            else f"{statistics.mean(one for one in reached if one):.1f}"
        )
        whole = f"{statistics.mean(curve[-1][1] for curve in level.curves):.1f}"
        left_out = (
            f"{level.without[-1][2]:.3f}, {level.without[-1][1]:.1f} s"
            if level.without
            else ""
        )
        lines.append(
            f"| {level.title} | {loss} | {gain} | {seconds} | {whole} | {left_out} |"
        )
    lines += [
        "",
        "| rung | record | published at 124M | costs there |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {level.title} | {level.place} | {level.published} | {level.costs} |"
        for level in levels
    ]
    return "\n".join(lines)


def gained(below: Level, level: Level) -> str:
    """By how much the mean loss falls, and a word where seeds differ by more."""
    gain = statistics.mean(below.losses) - statistics.mean(level.losses)
    spread = max(statistics.stdev(below.losses), statistics.stdev(level.losses))
    said = f"{gain:+.3f}".replace("-", "−")
    if abs(gain) <= spread:
        return f"{said}, within the spread"
    return said if gain > 0 else f"{said}, a loss"


def reaching(curve: Curve) -> float | None:
    """The CPU seconds at which a line between the points comes down to the target."""
    for (_, seconds, loss), (_, next_seconds, next_loss) in zip(
        curve, curve[1:], strict=False
    ):
        if next_loss <= TARGET:
            return seconds + (loss - TARGET) / (loss - next_loss) * (
                next_seconds - seconds
            )
    return None


def draw(levels: list[Level], path: Path) -> None:
    """A bar per rung, from the mean loss below it to its own, with the spread over
    seeds at its end.
    """
    figure = Figure(figsize=(6.6, 7.2))
    axes = figure.subplots()
    for place, (below, level) in enumerate(
        zip([levels[0], *levels], levels, strict=False)
    ):
        start, end = statistics.mean(below.losses), statistics.mean(level.losses)
        colour = figures.COLOURS[0 if end < start else 1]
        axes.barh(place, end - start, left=start, color=colour)
        axes.errorbar(
            end,
            place,
            xerr=statistics.stdev(level.losses),
            color="black",
            capsize=4,
            linewidth=1.5,
        )
        axes.vlines(
            end,
            place,
            min(place + 1, len(levels) - 1),
            color="0.6",
            linewidth=1,
            zorder=0,
        )
    axes.set_yticks(
        range(len(levels)), [textwrap.fill(level.title, 24) for level in levels]
    )
    axes.set(xlabel="validation loss, nats per token", ylim=(len(levels) - 0.5, -0.5))
    names = ("less loss", "more loss", "± standard deviation over five seeds")
    marks = [
        *(Patch(color=colour) for colour in figures.COLOURS[:2]),
        Line2D([], [], color="black", linewidth=1.5),
    ]
    axes.legend(marks, names, loc="lower right")
    figures.write_figure(figure, path)
