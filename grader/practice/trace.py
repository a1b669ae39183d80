"""A call line by line: the code that ran, what each line made of its variables, and which axis came from which."""

from collections.abc import Iterator, Sequence

from grader.practice.debugging import in_words
from grader.specs.tracing import Call, Move, Value

WIDTH = 60  # columns of the code
LETTERS = "abcdefghij"  # name axes


def lines(call: Call, source: Sequence[str]) -> Iterator[str]:
    """The call, one line per line that ran, in the order in which they first ran.

    Args:
        source: the lines of the file.
    """
    yield in_words(call)
    for step in call.steps:
        code = source[step.line - 1].strip() if step.line <= len(source) else ""
        made = [f"{name} {_value(value)}" for name, value in step.first.items()]
        made += [f"×{step.times}"] if step.times > 1 else []
        if step is call.steps[-1] and call.returned is not None and not call.raised:
            made.append(f"→ {_value(call.returned)}")
        text = f"{step.line:>5}  {code[:WIDTH]:<{WIDTH}}  {'   '.join(made)}"
        yield text.rstrip()
        yield from (f"{'':>9}{_move(move)}" for move in step.moves if len(move.before) > 1)
    if call.raised:
        yield f"       raised {call.raised}"
    if call.cut:
        yield "       …"


def _value(value: Value) -> str:
    """ "(2, 5, 12)" of a tensor, the text of anything else."""
    return str(value.shape) if value.shape is not None else value.text[:40]


def _move(move: Move) -> str:
    """ "transpose  (a2, b3, c4) → (a2, c4, b3)": a letter per axis, with its size."""
    before = ", ".join(f"{LETTERS[axis]}{size}" for axis, size in enumerate(move.before[: len(LETTERS)]))
    after = ", ".join(
        f"{''.join(LETTERS[axis] for axis in axes) or '·'}{size}"
        for size, axes in zip(move.after, move.axes, strict=True)
    )
    return f"{move.name}  ({before}) → ({after})"
