"""Checks every promise of a kata in this process, one line per finding, and remembers
which of them held.
"""

import ast
import contextlib
import functools
import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from grader.course.catalogue import Kata
from grader.errors import KataError
from grader.execution import reads
from grader.memory import Memory
from grader.workers import forkserver
from workshop import promises, variants
from workshop.promises import Promise

BROKEN: dict[tuple[str, str, str], list[str]] = {}  # what this process has found


def warm_up(katas: Iterable[Kata]) -> None:
    """Do once what every worker and every forked lesson would otherwise do: imports and
    first uses.
    """
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
    # the promises that say nothing, because the reference fails its specs
    untried: list[str]
    anew: list[str]  # the promises that were tried; the others are known


def of_a_finished(kata: Kata) -> list[Promise]:
    """The promises that only a finished kata must keep. What they find is "to do" in
    another one.
    """
    return [
        *promises.FINISHED,
        *([promises.paper] if kata.name.startswith("papers/") else []),
    ]


def promises_of(kata: Kata) -> list[Promise]:
    """Every promise that the kata must keep."""
    return [
        *promises.PROMISES,
        *(of_a_finished(kata) if kata.description.finished else []),
    ]


def check(kata: Kata, advance: Callable[[], None] = lambda: None) -> Outcome:
    """Check everything about this kata.

    Args:
        advance: called after each promise.
    """
    found = unreadable(kata)
    to_do: list[str] = []
    untried: list[str] = []
    anew: list[str] = []
    if not found:
        wanted, reference_passes = promises_of(kata), True
        for promise in [*promises.PROMISES, *of_a_finished(kata)]:
            if promise in promises.ON_THE_REFERENCE and not reference_passes:
                untried.append(promise.__name__)
            else:
                anew += [promise.__name__] if known(kata, promise) is None else []
                try:
                    problems = problems_of(kata, promise)
                except FileNotFoundError as error:
                    # what was found says it
                    problems = [] if found else [f"{error.filename}: missing"]
                except (KataError, OSError) as error:
                    problems = [str(error)]
                reference_passes = reference_passes and not (
                    promise is promises.reference_passes and problems
                )
                (found if promise in wanted else to_do).extend(problems)
            advance()
    return Outcome(_lines(kata, found), _lines(kata, to_do), untried, anew)


def changed(katas: list[Kata]) -> list[Kata]:
    """Those of these katas with a promise that is not known to hold for what it
    reads now.
    """
    return [
        kata
        for kata in katas
        if unreadable(kata) or any(known(kata, one) != [] for one in promises_of(kata))
    ]


def state(kata: Kata) -> tuple[str, ...]:
    """What changes when one of its promises must be tried anew."""
    return *unreadable(kata), *(key(kata, promise) for promise in promises.READS)


def problems_of(kata: Kata, promise: Promise) -> list[str]:
    """What breaks this promise. One that is known to hold is not tried."""
    problems = known(kata, promise)
    if problems is None:
        entry = entry_of(kata, promise)
        problems = promise(kata)
        if problems:
            BROKEN[entry] = problems
        else:
            _memory(kata.root).keep(*entry)
    return problems


def known(kata: Kata, promise: Promise) -> list[str] | None:
    """What breaks this promise, if that is known. What is broken is known only to the
    process that found it out.
    """
    entry = entry_of(kata, promise)
    if not entry[-1]:
        return None
    return BROKEN.get(entry) if _memory(kata.root).find(*entry) is None else []


def entry_of(kata: Kata, promise: Promise) -> tuple[str, str, str]:
    return "promise", f"{promise.__name__} {kata.name}", key(kata, promise)


def key(kata: Kata, promise: Promise) -> str:
    """A hash of what the promise reads of this kata and is tried with; empty where
    something cannot be read.
    """
    with contextlib.suppress(KataError, OSError):
        of_kata = reads.digest(kata.root, promises.READS[promise].files(kata))
        told = [of_kata, _workshop(), *reads.surroundings()]
        return hashlib.sha256(repr(told).encode()).hexdigest()[:32]
    return ""


@functools.cache
def _workshop() -> str:
    folder = Path(__file__).parent
    return reads.digest(folder, folder.rglob("*.py"))


@functools.cache
def _memory(root: Path) -> Memory:
    return Memory(root)


def _lines(kata: Kata, problems: list[str]) -> list[str]:
    return list(
        dict.fromkeys(
            " ".join(one.split()).replace(f"{kata.root}/", "") for one in problems
        )
    )


def unreadable(kata: Kata) -> list[str]:
    """The fault of kata.toml, or the files of the kata that are not Python, each with
    its line.
    """
    try:
        kata.description  # noqa: B018  (it is read and checked)
    except KataError as error:
        return [str(error)]
    own = [
        *kata.folder.glob("*.py"),
        kata.reference,
        variants.mistakes_file(kata),
        *kata.accepted,
    ]
    found = []
    for path in [*own, kata.textbook]:
        try:
            ast.parse(
                path.read_text(encoding="utf-8") if path.is_file() else "",
                feature_version=promises.LOWEST,
            )
        except SyntaxError as error:
            found.append(f"{path}:{error.lineno}: {error.msg}")
    return found
