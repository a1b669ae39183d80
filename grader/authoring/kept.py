"""Checks every promise of a kata in this process, one line per finding, and remembers which katas kept them all."""

import ast
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from matplotlib.figure import Figure

from grader import files
from grader.authoring import promises, variants, verdicts
from grader.authoring.verdicts import Promise
from grader.course.catalogue import Kata
from grader.errors import KataError
from grader.execution import forkserver


def warm_up(katas: Iterable[Kata]) -> None:
    """Do once what every worker and every forked lesson would otherwise do: imports and first uses."""
    forkserver.collect(katas)
    torch.set_num_threads(1)  # before anything forks
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).zero_grad()
    figure = Figure()
    figure.subplots().plot([0, 1], label="a line")
    figure.savefig(io.BytesIO())


def promises_of(kata: Kata) -> list[Promise]:
    return [*promises.PROMISES, promises.paper] if kata.name.startswith("papers/") else promises.PROMISES


def findings(kata: Kata, advance: Callable[[], None] = lambda: None) -> list[str]:
    """List this kata's findings, each a line that begins with its file. A kata without one is remembered as green.

    Args:
        advance: called after each promise.
    """
    key, found = _key(kata), _unparsed(kata)
    for promise in [] if found else promises_of(kata):
        try:
            found += promise(kata)
        except FileNotFoundError as error:  # the promise before it has said so: see promises.folder
            found = found or [f"{error.filename}: missing"]
        except (KataError, OSError) as error:
            found.append(str(error))
        advance()
    _remember(kata, "" if found else key)
    return list(dict.fromkeys(" ".join(one.split()).replace(f"{kata.root}/", "") for one in found))


def changed(katas: list[Kata]) -> list[Kata]:
    """Those of these katas that have changed, or stand on something that has, since they last kept every promise."""
    remembered = _remembered(katas[0].root)
    return [kata for kata in katas if remembered.get(kata.name, "") != _key(kata) or not _key(kata)]


def _key(kata: Kata) -> str:
    """A hash of everything that its promises depend on; empty if its description cannot be read."""
    beside = [variants.mistakes_file(kata), variants.textbook(kata), *variants.accepted(kata), promises.recipe(kata)]
    try:
        return verdicts.key(kata, beside)
    except KataError:
        return ""


def _unparsed(kata: Kata) -> list[str]:
    """The files of the kata that are not Python, each with its line."""
    own = [*kata.folder.glob("*.py"), kata.reference, variants.mistakes_file(kata), *variants.accepted(kata)]
    found = []
    for path in [*own, variants.textbook(kata)]:
        try:
            ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
        except SyntaxError as error:
            found.append(f"{path}:{error.lineno}: {error.msg}")
    return found


def _file(root: Path) -> Path:
    return root / ".kata" / "kept.json"


def _remembered(root: Path) -> dict[str, str]:
    """The hash of each kata that kept its promises, from when it did."""
    try:
        return json.loads(_file(root).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _remember(kata: Kata, key: str) -> None:
    files.write(_file(kata.root), json.dumps(_remembered(kata.root) | {kata.name: key}, indent=1) + "\n")
