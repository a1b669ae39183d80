"""The ladder from GPT-2 to the record, as it was measured: tables and curves from ladder/results.json of kata 33."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from grader.course import catalogue

TARGET = 3.3  # nats per token
Curve = list[tuple[int, float, float]]  # (step, CPU seconds of all steps so far, validation loss)


@dataclass(frozen=True)
class Level:
    """A rung with all those below it.

    Attributes:
        place: its record's number and date.
        curves: one per seed.
        without: the curve of the whole ladder but for this rung; none for what has no rung.
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
        f"| and all above | validation loss | gain | CPU seconds to {TARGET} | for all steps | the ladder without it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for number, level in enumerate(levels):
        loss = f"{statistics.mean(level.losses):.3f} ± {statistics.stdev(level.losses):.3f}"
        gain = gained(levels[number - 1], level) if number else ""
        reached = [reaching(curve) for curve in level.curves]
        seconds = "–" if None in reached else f"{statistics.mean(one for one in reached if one):.1f}"
        whole = f"{statistics.mean(curve[-1][1] for curve in level.curves):.1f}"
        left_out = f"{level.without[-1][2]:.3f}, {level.without[-1][1]:.1f} s" if level.without else ""
        lines.append(f"| {level.title} | {loss} | {gain} | {seconds} | {whole} | {left_out} |")
    lines += ["", "| rung | record | published at 124M | costs there |", "| --- | --- | --- | --- |"]
    lines += [f"| {level.title} | {level.place} | {level.published} | {level.costs} |" for level in levels]
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
    for (_, seconds, loss), (_, next_seconds, next_loss) in zip(curve, curve[1:], strict=False):
        if next_loss <= TARGET:
            return seconds + (loss - TARGET) / (loss - next_loss) * (next_seconds - seconds)
    return None


def draw(levels: list[Level], path: Path) -> None:
    """The mean of each level's seeds, and a band from the best to the worst, by steps and by seconds."""
    figure = Figure(figsize=(10, 4.6), layout="constrained", dpi=150)
    colours = matplotlib.colormaps["turbo"]
    for axes, place, label in zip(figure.subplots(1, 2, sharey=True), (0, 1), ("step", "CPU seconds"), strict=True):
        for number, level in enumerate(levels):
            points = list(zip(*level.curves, strict=True))  # of all seeds at once
            across = [statistics.mean(one[place] for one in point) for point in points]
            losses = [[one[2] for one in point] for point in points]
            colour = colours(0.05 + 0.9 * number / len(levels))
            axes.plot(
                across, [statistics.mean(some) for some in losses], color=colour, label=level.title, linewidth=1.5
            )
            axes.fill_between(across, [*map(min, losses)], [*map(max, losses)], color=colour, alpha=0.15, linewidth=0)
        axes.axhline(TARGET, color="0.5", linewidth=1, linestyle="--")
        axes.set(xlabel=label, ylim=(2.2, 5.5))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set(ylabel="validation loss, nats per token")
    lines = figure.axes[0].lines[: len(levels)]
    figure.legend(handles=lines, loc="outside right center", fontsize=8, frameon=False, title="and all above")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
