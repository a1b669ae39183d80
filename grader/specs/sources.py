"""Who says why a spec failed: all sources of a cause, in the order in which they are
asked, and what silences each.

A cause names the bug ("looks like") or is a fact that leads to it ("means"). A later
source speaks only where the ones before it leave something to say. `Cause.by` is the
name of its source.

Beside a reference nobody is asked: its code could be in any of their words
(see `grader.lock.withheld`).
"""

import ast
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from grader.failure import LIKE, MEANS, Cause, Row
from grader.isolation import refused
from grader.specs import causes, check, habits, likeness, meanings
from grader.specs.causes import Case

GRAPHLESS = re.compile(
    r"autograd graph|detached|gradient of \w+ is None|no gradient|requires_grad"
)


@dataclass(frozen=True)
class Source:
    name: str
    ask: Callable[[Case], Iterable[Row]]
    # by a cause of these labels, or of these sources
    silenced_by: tuple[str, ...] = (LIKE, MEANS)


def asked(case: Case) -> tuple[list[Row], tuple[Cause, ...]]:
    """What is seen at the line, such as shapes, and the causes."""
    rows: list[Row] = []
    found: list[Cause] = []
    for source in SOURCES:
        if any({one.label, one.by} & {*source.silenced_by} for one in found):
            continue
        # objects of the code under test may break whoever looks at them
        with contextlib.suppress(Exception):
            for label, text in source.ask(case):
                if label not in (LIKE, MEANS):
                    rows.append((label, text))
                else:
                    found.append(Cause(label, text, source.name))
    return rows, tuple(found)


def _spec(case: Case) -> list[Row]:
    return (
        [row for row in case.error.rows if row[0] in (LIKE, MEANS)]
        if isinstance(case.error, check.Mismatch)
        else []
    )


def _refused(case: Case) -> list[Row]:
    words = (
        ""
        if isinstance(case.error, check.Mismatch)
        else refused.told(case.error, case.kata.number)
    )
    return [(MEANS, words)] if words else []


def _meaning(case: Case) -> Iterator[Row]:
    for place in (
        [] if isinstance(case.error, check.Mismatch) else (case.own or case.specs)[-1:]
    ):
        node = place.expression() or ast.Module([], [])
        if not isinstance(node, ast.Raise) and (
            words := meanings.meaning(case.error, node, place.scope)
        ):
            yield MEANS, words


def _likeness(case: Case) -> list[Row]:
    return likeness.rows(*case.sides) if case.sides else []


def _slip(case: Case) -> list[Row]:
    return _at_sight(case, habits.slips)


def _cut(case: Case) -> list[Row]:
    names = [
        getattr(one, "__module__", getattr(one, "__name__", ""))
        for one in vars(case.module).values()
    ]
    # an engine of one's own, which computes with `.data`
    if not any(str(name).startswith("torch") for name in names):
        return []
    return (
        _at_sight(case, habits.cuts)
        if GRAPHLESS.search(str(case.error)) and not _is_of_an_error(case)
        else []
    )


def _habit(case: Case) -> list[Row]:
    return (
        []
        if _is_of_an_error(case)
        else _at_sight(case, lambda code: habits.facts(code, case.asks))
    )


def _at_sight(case: Case, facts: Callable[[ast.AST], Iterable[str]]) -> list[Row]:
    """The first of these facts on the exercise's code, where an answer is wrong."""
    apart = {one.name for one in case.kata.exercises} - {case.exercise.name}
    code = habits.definition(case.module, case.exercise.name, apart)
    if code is None or not isinstance(case.error, check.Mismatch):
        return []
    return [(MEANS, fact) for fact in facts(code)][:1]


def _is_of_an_error(case: Case) -> bool:
    """Tell if the spec asks for an error: then habits of code that computes are not
    the reason.
    """
    return isinstance(case.error, check.Mismatch) and any(
        label == "raised" for label, _ in case.error.rows
    )


SOURCES = (
    # The spec was written for this exercise: its `unlike` is the answer at every place,
    # its checks know what they ask.
    Source("spec", _spec),
    # The sandbox's doing, whatever the line is about.
    Source("refused", _refused),
    # An error of one kind, with one reason. A module's comes first: all that it raises
    # before its init is of that.
    Source("init", causes.before_init),
    # In a comparison, too, and before what None may be said to look like.
    Source("return", causes.nothing_returned),
    # A lookup by an operation's name is this lesson's own, and says more than that a
    # dict lacks the key.
    Source("rule", causes.no_rule),
    Source("key", causes.no_key),
    Source("graph", causes.second_backward),
    Source("results", causes.taken_apart),
    Source("counter", causes.counter),
    # Before "arguments": of a method that is not called, no argument is wrong.
    Source("brackets", causes.not_called),
    Source("arguments", causes.arguments),
    # Before "meaning": they know the line's values, and it knows the message.
    Source("operands", causes.operands),
    Source("meaning", _meaning),
    # A wrong answer. An argument as it came in is told as that, whatever it is of the
    # right answer.
    Source("handed back", causes.handed_back),
    # What it is of the right one, at every place.
    Source("likeness", _likeness),
    # At sight of the code, which no line has proved to be the reason: last. A slip is
    # wrong whatever is asked for, and shows the line of a bug that has its name; the
    # others are for a failure that nothing names.
    Source("slip", _slip, ()),
    Source("cut", _cut, (LIKE, "slip")),
    Source("habit", _habit, (LIKE, "slip", "cut")),
)
