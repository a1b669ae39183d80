"""A call as a picture: a row per line that ran, and tensors as rows of blocks, one per
axis, as long as it is large.

HTML with its styles inside, for a cell of a notebook. After a move, blocks have the
colours of the axes they came from.
"""

import math
from collections.abc import Sequence
from html import escape

from grader.followed import Call, Move, Step, Value
from grader.learner import trace

COLOURS = ("#8ecae6", "#ffb703", "#95d5b2", "#f4978e", "#cdb4db", "#e9d8a6")  # of axes
PLAIN = "#d9d9d9"  # an axis of size 1, and axes outside moves
CELL = "style='text-align:left;vertical-align:top;padding:2px 10px'"


def html(call: Call, source: Sequence[str]) -> str:
    """The picture of a call.

    Args:
        source: the lines of the file.
    """
    rows = [_row(step, source) for step in call.steps]
    end = f"raised {call.raised}" if call.raised else ""
    if call.returned and not call.raised:
        end = f"returned {_value(call.returned)}"
    return (
        f"<div><code>{escape(trace.in_words(call))}</code>"
        f"<table style='border-collapse:collapse'>{''.join(rows)}</table>{end}</div>"
    )


def _row(step: Step, source: Sequence[str]) -> str:
    code = source[step.line - 1].strip() if step.line <= len(source) else ""
    made = [f"{escape(name)} {_value(value)}" for name, value in step.first.items()]
    made += [f"×{step.times}"] if step.times > 1 else []
    made += [_move(move) for move in step.moves if len(move.before) > 1]
    return (
        f"<tr><td {CELL}>{step.line}</td><td {CELL}><code>{escape(code)}</code></td>"
        f"<td {CELL}>{'<br>'.join(made)}</td></tr>"
    )


def _value(value: Value) -> str:
    if not value.shape:
        return escape(trace.shown(value))
    dtype = value.text.partition(" ")[0]
    return (
        "".join(_block(str(size), size, PLAIN) for size in value.shape)
        + f" {escape(dtype)}"
    )


def _move(move: Move) -> str:
    """The axes before and after, each with its letters and colours."""
    before = [
        _axis((axis,) if size > 1 else (), size)
        for axis, size in enumerate(move.before)
    ]
    after = [
        _axis(axes, size) for axes, size in zip(move.axes, move.after, strict=True)
    ]
    return f"{escape(move.name)}: {''.join(before)} → {''.join(after)}"


def _axis(axes: Sequence[int], size: int) -> str:
    colours = [COLOURS[axis % len(COLOURS)] for axis in axes] or [PLAIN]
    fill = (
        colours[0]
        if len(colours) == 1
        else f"linear-gradient(135deg,{','.join(colours)})"
    )
    return _block("".join(trace.LETTERS[axis] for axis in axes) + str(size), size, fill)


def _block(label: str, size: int, fill: str) -> str:
    width = 18 + round(9 * math.log2(max(size, 1)))
    return (
        "<span "
        f"style='display:inline-block;min-width:{width}px;margin:1px;text-align:center;"
        f"border:1px solid #888;background:{fill};color:#111'>{label}</span>"
    )
