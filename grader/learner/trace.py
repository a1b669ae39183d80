"""A call line by line: the code that ran, what each line made of its variables, and
which axis came from which.
"""

import textwrap
from collections.abc import Iterator, Sequence

from grader.followed import Call, Move, Step, Value
from grader.learner.runs import Run

WIDTH, CODE, MADE = 80, 34, 60  # columns
LETTERS = "abcdefghij"  # name axes
LEGEND = "Axes: a2 is axis a, of size 2; ab10 was made of the axes a and b."


def chosen(run: Run, name: str) -> tuple[str, Call] | None:
    """The first failing spec that called this definition, else the first that did, and
    the call to look at.

    That is the last one of a failing spec, since it stopped there, and the first one
    of another.
    """
    named = {
        spec: [call for call in calls if call.name == name] or calls
        for spec, calls in run.calls.items()
    }
    there = [(spec, calls) for spec, calls in named.items() if calls]
    for spec, calls in there:
        if run.specs[spec].status not in ("passed", "skipped"):
            return spec, calls[-1]
    return (there[0][0], there[0][1][0]) if there else None


def lines(call: Call, source: Sequence[str]) -> Iterator[str]:
    """The call, a line per line that ran, in the order in which they first ran.

    Args:
        source: the lines of the file.
    """
    yield from textwrap.wrap(in_words(call), WIDTH, subsequent_indent="    ")
    if any(len(move.before) > 1 for step in call.steps for move in step.moves):
        yield LEGEND
    for step in call.steps:
        code = source[step.line - 1].strip() if step.line <= len(source) else ""
        found = made(step)
        row = f"{step.line:>5}  {code:<{CODE}}  {'   '.join(found)}".rstrip()
        if len(code) <= CODE and len(row) <= WIDTH:
            yield row
        else:
            yield _cut(f"{step.line:>5}  {code}", WIDTH)
            yield from (_cut(f"{'':>11}{one}", WIDTH) for one in found)
        yield from (
            _cut(f"{'':>7}{moved(move)}", WIDTH)
            for move in step.moves
            if len(move.before) > 1
        )
    if call.cut:
        yield "       … longer than is followed"
    if call.raised:
        yield f"       raised {call.raised}"
    elif call.returned is not None:
        yield f"       returned {shown(call.returned)}"


def in_words(call: Call) -> str:
    """ "split_heads(x = float32 tensor (2, 5, 8), num_heads = 2)"."""
    given = ", ".join(
        f"{name} = {value.text}"
        for name, value in call.arguments.items()
        if name != "self"
    )
    return f"{call.name}({given})"


def made(step: Step) -> list[str]:
    """The variables that a line set, and how often it ran: ["q float32
    (2, 3, 5, 4)", "×3"].
    """
    found = [f"{name} {shown(value)}" for name, value in step.first.items()]
    if step.times > 1:
        last = [
            f"{name} {shown(value)}"
            for name, value in step.last.items()
            if step.first.get(name) != value
        ]
        found.append(
            f"×{step.times}" + (f", at last {'   '.join(last)}" if last else "")
        )
    return found


def shown(value: Value) -> str:
    """ "float32 (2, 5, 12)" of a tensor, the text of anything else."""
    return _cut(value.text.replace(" tensor (", " (").replace(" array (", " ("), MADE)


def moved(move: Move) -> str:
    """ "transpose  (a2, b3, c4) → (a2, c4, b3)": a letter per axis, with its size."""
    before = ", ".join(
        f"{LETTERS[axis]}{size}"
        for axis, size in enumerate(move.before[: len(LETTERS)])
    )
    after = ", ".join(
        f"{''.join(LETTERS[axis] for axis in axes)}{size}"
        for size, axes in zip(move.after, move.axes, strict=True)
    )
    return f"{move.name}  ({before}) → ({after})"


def _cut(text: str, columns: int) -> str:
    return text if len(text) <= columns else text[: columns - 1] + "…"
