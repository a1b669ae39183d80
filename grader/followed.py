"""Calls that were followed line by line: what each line made of its variables, in
words; as JSON and back.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from grader import printable

Fields = dict[str, Any]  # of a dataclass, as JSON has them


@dataclass(frozen=True)
class Value:
    """What a variable held, in words, and numbers by which it is told from others.

    Attributes:
        kind: the type's name.
        text: "float32 tensor (2, 5, 12)", "4".
        shape: of a tensor or an array; None for all else.
        numbers: a sample of its numbers, their mean and their size; of another value,
            whatever tells it from others.
    """

    kind: str
    text: str
    shape: tuple[int, ...] | None = None
    numbers: tuple[float | str, ...] = ()


@dataclass(frozen=True)
class Move:
    """A call that moves the numbers of a tensor and leaves them as they are: where each
    axis of the result comes from.

    Attributes:
        axes: per axis of the result, the axes that it was made of.
    """

    name: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    axes: tuple[tuple[int, ...], ...]


@dataclass
class Step:
    """A line that ran: how often, the variables that it changed when it ran first and
    last, and the moves on it.
    """

    line: int
    times: int = 1
    first: dict[str, Value] = field(default_factory=dict)
    last: dict[str, Value] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)


@dataclass
class Call:
    """One call of a function of the definition."""

    name: str
    line: int  # of its def
    arguments: dict[str, Value]
    steps: list[Step] = field(default_factory=list)
    returned: Value | None = None
    raised: str = ""
    cut: bool = False  # more lines ran than are kept


def same(one: Value | None, other: Value | None) -> bool:
    """Tell if two values are the same, up to what rounding does to numbers."""
    if one is None or other is None:
        return one is other
    if (one.kind, one.shape, len(one.numbers)) != (
        other.kind,
        other.shape,
        len(other.numbers),
    ):
        return False
    return all(map(_close, one.numbers, other.numbers))


def same_input(one: Call, other: Call) -> bool:
    """Tell if two calls were given the same."""
    return one.arguments.keys() == other.arguments.keys() and all(
        same(value, other.arguments[name]) for name, value in one.arguments.items()
    )


def same_outcome(one: Call, other: Call) -> bool:
    """Tell if two calls came to the same: both returned it, or raised it."""
    return same(one.returned, other.returned) and one.raised == other.raised


def written(calls: list[Call], longest: int) -> str:
    """The calls as JSON of at most so many characters: the last ones are left
    out first.
    """
    while calls and len(text := json.dumps([asdict(call) for call in calls])) > longest:
        calls = calls[: len(calls) // 2]
    return text if calls else "[]"


def read(text: str) -> list[Call]:
    """The calls that `written` wrote.

    Raises:
        ValueError: the text is something else.
    """
    try:
        return [_call(**call) for call in json.loads(text)]
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a trace: {error}") from None


def _call(
    *, arguments: Fields, steps: list[Fields], returned: Fields | None, **rest: Any
) -> Call:
    found = [
        Step(
            one["line"],
            one["times"],
            _values(one["first"]),
            _values(one["last"]),
            [_move(**m) for m in one["moves"]],
        )
        for one in steps
    ]
    call = Call(
        arguments=_values(arguments),
        steps=found,
        returned=_value(returned) if returned else None,
        **rest,
    )
    return replace(
        call, name=printable.text(call.name), raised=printable.text(call.raised)
    )


def _move(
    *, name: str, before: list[int], after: list[int], axes: list[list[int]]
) -> Move:
    return Move(name, tuple(before), tuple(after), tuple(map(tuple, axes)))


def _values(fields: Fields) -> dict[str, Value]:
    return {printable.text(name): _value(found) for name, found in fields.items()}


def _value(fields: Fields) -> Value:
    kind, text, shape, numbers = (
        fields["kind"],
        fields["text"],
        fields["shape"],
        fields["numbers"],
    )
    return Value(
        printable.text(str(kind)),
        printable.text(str(text)),
        None if shape is None else tuple(map(int, shape)),
        tuple(numbers),
    )


def _close(one: float | str, other: float | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    if one == other or (one != one and other != other):
        return True
    return abs(one - other) <= 1e-5 + 1e-4 * max(abs(one), abs(other))
