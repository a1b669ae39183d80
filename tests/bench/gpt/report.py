"""Reports of a run: lines while it goes on, a Markdown table, JSON, and a figure."""

import json
import statistics
from pathlib import Path
from typing import Any

from grader.lesson import COLOURS, Figure

GIB = 2**30
Row = dict[str, Any]

HEADINGS = (
    "rung",
    "B",
    "ms/step",
    "tokens/s",
    "× first",
    "× nanoGPT",
    "of data sheet",
    "of reachable",
    "memory",
    "loss",
    "Δ loss",
)
WIDTHS = (20, 4, 8, 10, 8, 10, 14, 13, 10, 8, 8)


def cells(row: Row, rows: list[Row]) -> list[str]:
    """A row as text, compared with the first row and with nanoGPT's, where there
    is one.
    """
    theirs = next((r["tokens_per_s"] for r in rows if r["name"] == "nanoGPT"), None)
    return [
        row["name"],
        str(row["batch"]),
        f"{row['ms']:.1f}",
        f"{row['tokens_per_s']:,.0f}",
        f"{row['tokens_per_s'] / rows[0]['tokens_per_s']:.2f}",
        "–" if theirs is None else f"{row['tokens_per_s'] / theirs:.3f}",
        "–" if row["of_data_sheet"] is None else f"{row['of_data_sheet']:.1%}",
        f"{row['of_reachable']:.1%}",
        "–" if row["bytes"] is None else f"{row['bytes'] / GIB:.2f} GiB",
        f"{row['losses'][-1]:.4f}",
        f"{gap(row, rows):.1e}",
    ]


def gap(row: Row, rows: list[Row]) -> float:
    """The largest distance of a row's losses from the first row's; NaN if a loss
    is NaN.
    """
    gaps = [abs(a - b) for a, b in zip(row["losses"], rows[0]["losses"], strict=True)]
    return next((g for g in gaps if g != g), max(gaps))


def line(texts: list[str] | tuple[str, ...]) -> str:
    """A line of the table as it goes on: the name to the left, all else to
    the right.
    """
    return "".join(
        f"{text:<{WIDTHS[0]}}" if i == 0 else f"{text:>{WIDTHS[i]}}"
        for i, text in enumerate(texts)
    )


def markdown(found: dict[str, Any]) -> str:
    """All rows and what was left out, as a Markdown table."""
    rows = found["rows"]
    texts = [
        HEADINGS,
        ["---", *["---:"] * (len(HEADINGS) - 1)],
        *(cells(row, rows) for row in rows),
    ]
    lines = [f"{found['device']}, torch {found['torch']}; {found['model']}", ""]
    lines += ["| " + " | ".join(text) + " |" for text in texts] + [""]
    lines += (
        [
            (
                "Not carried on, because it is not faster: "
                f"{', '.join(found['not_kept'])}."
            ),
            "",
        ]
        if found["not_kept"]
        else []
    )
    lines += [
        f"Left out: {name}: {reason}" for name, reason in found["left_out"].items()
    ]
    if found["pairs"]:
        ours, theirs = (
            statistics.median(found["pairs"][of]) for of in ("ours_ms", "nanogpt_ms")
        )
        lines += [
            "",
            (
                f"In turns, B = {found['pairs']['batch']}: {found['pairs']['ours']} "
                f"{ours:.1f} ms, nanoGPT {theirs:.1f} ms"
            ),
        ]
        lines += [f"× nanoGPT, the median of the turns: {found['pairs']['ratio']:.3f}"]
    if both := found["accumulated"]:
        lines += [
            "",
            (
                f"{both['micro_batches']} micro-batches per update, "
                f"{found['pairs']['ours']} and nanoGPT in turns:"
            ),
        ]
        lines += ["{:,.0f} and {:,.0f} tokens/s".format(*both["tokens_per_s"])]
        lines += [
            "{:.2f} and {:.2f} s to a loss of {:.4f}".format(
                *both["seconds_to_loss"], both["loss"]
            )
        ]
    return "\n".join(lines)


def save(found: dict[str, Any], path: Path | None) -> None:
    """Write what there is so far, whole or not at all."""
    if path:
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(found, indent=1) + "\n")
        part.replace(path)


def draw(found: dict[str, Any], path: Path) -> None:
    """A bar of tokens per second per rung, with milliseconds and the distance of
    the losses.
    """
    rows = found["rows"]
    figure = Figure(figsize=(9, 0.8 + 0.32 * len(rows)))
    axes = figure.subplots()
    names = [f"{row['name']}, B = {row['batch']}" for row in rows]
    colours = [COLOURS[1] if row["name"] == "nanoGPT" else COLOURS[0] for row in rows]
    bars = axes.barh(names, [row["tokens_per_s"] for row in rows], color=colours)
    axes.bar_label(
        bars,
        [f"{row['ms']:.1f} ms, Δ loss {gap(row, rows):.1g}" for row in rows],
        fontsize=8,
        padding=3,
    )
    axes.invert_yaxis()
    axes.margins(x=0.3)
    axes.set(xlabel="tokens per second", title=found["model"])
    figure.suptitle(found["device"], fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
