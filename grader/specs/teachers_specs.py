"""Mistakes in a teacher's own specs, each told in one line that names the file."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from grader.course.catalogue import Kata


def mistake(
    kata: Kata, specs: Sequence[pytest.Item], broken: Iterable[tuple[Path, str]] = ()
) -> str:
    """The mistake in the kata's hidden specs; empty if there is none.

    Args:
        specs: what pytest has collected for the kata, its own specs and hidden ones.
        broken: the files that pytest could not collect, each with the reason.
    """
    for path, why in broken:
        if path in kata.hidden_specs:
            return f"{_shown(kata, path)}: {why}"
    known = [exercise.spec_class for exercise in kata.exercises]
    places: dict[str, Path] = {}
    for spec in sorted(specs, key=lambda spec: spec.path != kata.specs):
        _, *classes, name = spec.nodeid.partition("[")[0].split("::")
        if spec.path != kata.specs and (not classes or classes[0] not in known):
            return f"{_shown(kata, spec.path)}: {_unknown(classes, name, known)}"
        first = places.setdefault("::".join([*classes, name]), spec.path)
        if first != spec.path:
            return (
                f"{_shown(kata, spec.path)}: {first.name} has a spec "
                f"{classes[0]}::{name}, too: rename yours"
            )
    return ""


def _unknown(classes: list[str], name: str, known: list[str]) -> str:
    if not classes:
        return (
            f"{name} is in no class: put it into one that names an exercise, such as "
            f"{known[0]}"
        )
    near = difflib.get_close_matches(classes[0], known, n=1)
    meant = f"is it {near[0]}?" if near else f"the kata has {', '.join(known)}"
    return f"class {classes[0]} names no exercise: {meant}"


def _shown(kata: Kata, path: Path) -> str:
    return path.relative_to(kata.root).as_posix()
