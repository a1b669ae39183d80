"""Checks every promise of a kata in this process, one line per finding, and remembers which katas kept them all."""

import ast
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure

from grader.authoring import promises, variants, verdicts
from grader.authoring.verdicts import Promise
from grader.course.catalogue import Kata
from grader.errors import KataError
from grader.memory import Memory
from grader.workers import forkserver


def warm_up(katas: Iterable[Kata]) -> None:
    """Do once what every worker and every forked lesson would otherwise do: imports and first uses."""
    forkserver.collect(katas)
    torch.set_num_threads(1)  # before anything forks
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).zero_grad()
    figure = Figure()
    figure.subplots().plot([0, 1], label="a line")
    figure.savefig(io.BytesIO())


@dataclass(frozen=True)
class Outcome:
    """The lines that checking a kata came to, each beginning with its file."""

    findings: list[str]
    to_do: list[str]  # what would be a finding if the kata were finished
    untried: list[str]  # the promises that say nothing, because the reference fails its specs


def of_a_finished(kata: Kata) -> list[Promise]:
    """The promises that only a finished kata must keep. What they find is "to do" in another one."""
    return [*promises.FINISHED, *([promises.paper] if kata.name.startswith("papers/") else [])]


def promises_of(kata: Kata) -> list[Promise]:
    """Every promise that the kata must keep."""
    return [*promises.PROMISES, *(of_a_finished(kata) if kata.description.finished else [])]


def check(kata: Kata, advance: Callable[[], None] = lambda: None) -> Outcome:
    """Check everything about this kata. One without a finding is remembered as green.

    Args:
        advance: called after each promise.
    """
    key, found = key_of(kata), _unreadable(kata)
    to_do: list[str] = []
    untried: list[str] = []
    if not found:
        wanted, reference_passes = promises_of(kata), True
        for promise in [*promises.PROMISES, *of_a_finished(kata)]:
            if promise in promises.ON_THE_REFERENCE and not reference_passes:
                untried.append(promise.__name__)
            else:
                problems = _problems(kata, promise, is_known=bool(found))
                reference_passes = reference_passes and not (promise is promises.reference_passes and problems)
                (found if promise in wanted else to_do).extend(problems)
            advance()
    Memory(kata.root).keep("kept", kata.name, "" if found else key)
    return Outcome(_lines(kata, found), _lines(kata, to_do), untried)


def to_do(kata: Kata) -> list[str]:
    """What is left to do before the kata is finished."""
    return _lines(kata, [problem for promise in of_a_finished(kata) for problem in _problems(kata, promise)])


def changed(katas: list[Kata]) -> list[Kata]:
    """Those of these katas that have changed, or stand on something that has, since they last kept every promise."""
    memory = Memory(katas[0].root)
    keys = {kata: key_of(kata) for kata in katas}
    return [kata for kata, key in keys.items() if not key or memory.find("kept", kata.name, key) is None]


def key_of(kata: Kata) -> str:
    """A hash of everything that its promises depend on; empty if its description cannot be read."""
    beside = [variants.mistakes_file(kata), kata.textbook, *kata.accepted, promises.recipe(kata)]
    try:
        return verdicts.key(kata, beside)
    except KataError:
        return ""


def _problems(kata: Kata, promise: Promise, *, is_known: bool = False) -> list[str]:
    """What breaks this promise. A file that is missing is named, unless what `is_known` already says it."""
    try:
        return promise(kata)
    except FileNotFoundError as error:
        return [] if is_known else [f"{error.filename}: missing"]
    except (KataError, OSError) as error:
        return [str(error)]


def _lines(kata: Kata, problems: list[str]) -> list[str]:
    return list(dict.fromkeys(" ".join(one.split()).replace(f"{kata.root}/", "") for one in problems))


def _unreadable(kata: Kata) -> list[str]:
    """The fault of kata.toml, or the files of the kata that are not Python, each with its line."""
    try:
        kata.description  # noqa: B018  (it is read and checked)
    except KataError as error:
        return [str(error)]
    own = [*kata.folder.glob("*.py"), kata.reference, variants.mistakes_file(kata), *kata.accepted]
    found = []
    for path in [*own, kata.textbook]:
        try:
            ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
        except SyntaxError as error:
            found.append(f"{path}:{error.lineno}: {error.msg}")
    return found
