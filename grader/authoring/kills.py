"""Finds for every spec of a point one small change of right code that it notices, and no other spec of that point.

`kata kills 16` finds them: recorded mistakes, mutants of the reference and of the textbook solution, then changes of
what an exercise takes and returns. They are kept in `.kata/kills`, or what the fewest others notice; committed is only
the list of specs without a change of their own, `author/kills.toml`, each with its reason. A spec that later no longer
notices its change was hollowed out, and `kata promises` says so.
"""

import ast
import itertools
import json
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grader import files
from grader.authoring import mutants, variants
from grader.course import cells
from grader.course.catalogue import Kata
from grader.execution import scheduler
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.workers import forkserver
from grader.workers.jobs import Job

LIST = "kills.toml"
RAISED = "\nraised  "  # in the message of a spec in which the code raised an error
CALLED = ("forward", "step", "__call__")  # the methods of a class that is one exercise

# Code behind a right solution, which changes what a function or method, {0}, takes or returns by {1}.
AROUND = """

import torch as _torch
_was = {0}

def _tensors(values, change):
    return tuple(change(v) if isinstance(v, _torch.Tensor) else v for v in values)

def _all(value, change):
    if isinstance(value, _torch.Tensor):
        return change(value)
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(_all(v, change) for v in value)
    return {{k: _all(v, change) for k, v in value.items()}} if type(value) is dict else value

def _changed(*args, **kwargs):
    {1}

{0} = _changed
"""
BEHAVIOURS = {
    "the result without its graph": "return _all(_was(*args, **kwargs), lambda x: x.detach())",
    "the result a little off": "return _all(_was(*args, **kwargs), lambda x: x * 1.01 if x.is_floating_point() else x)",
    "the result in float32": (
        "return _all(_was(*args, **kwargs), lambda x: x.float().to(x.dtype) if x.is_floating_point() else x)"
    ),
    "the result as a copy": "return _all(_was(*args, **kwargs), lambda x: x.clone())",
    "arguments without their graph": "return _was(*_tensors(args, lambda x: x.detach()), **kwargs)",
    "the first row for all": (
        "return _was(*_tensors(args, lambda x: x[:1].expand_as(x) if x.ndim > 1 else x), **kwargs)"
    ),
    "the arguments written to": (
        "r = _was(*args, **kwargs); _tensors(args, lambda x: x.data.add_(1) if x.is_floating_point() else x); return r"
    ),
    "a number drawn on the way": "_torch.rand(1); return _was(*args, **kwargs)",
    "keywords left out": "return _was(*args)",
    "negative numbers as positive": (
        "return _was(*_tensors(args, lambda x: x.abs() if x.is_floating_point() else x), **kwargs)"
    ),
    "large numbers cut off": (
        "return _was(*_tensors(args, lambda x: x.clamp(-3, 3) if x.is_floating_point() else x), **kwargs)"
    ),
}


@dataclass(frozen=True)
class Change:
    """A small change of right code: what it is, in a line, and the whole text."""

    said: str
    source: str


@dataclass
class Noticed:
    """What a spec notices: the change that the fewest other specs of the point notice, too, and how they compare.

    Attributes:
        beside: the others that notice this change.
        crashed: whether the code raised an error, which shows without any comparison.
        always: the others that notice every change that this spec notices.
    """

    change: Change
    beside: set[str]
    crashed: bool
    always: set[str]


def report(katas: list[Kata]) -> int:
    """Find the changes of these katas anew. 1 if a spec has none of its own and no reason, or a reason is stale."""
    forkserver.prepare(katas)
    code = 0
    for kata in katas:
        found, specs = find(kata)
        for name in _passing(kata, {name: one.change for name, one in found.items()}):
            del found[name]  # it notices by chance, such as an address in memory
        _keep(kata, found)
        for line in (lines := list(_unneeded(kata, found, specs))):
            print(line, flush=True)
        code = max(code, int(bool(lines)))
        alone, listed = sum(not one.beside for one in found.values()), len(_listed(kata))
        print(
            f"{kata.name}: of {len(specs)} specs of points {alone} alone notice some change, {len(found)} any, "
            f"{listed} have a reason",
            flush=True,
        )
    return code


def find(kata: Kata) -> tuple[dict[str, Noticed], dict[str, int]]:
    """What each spec of a point notices, and the lines of all of them that run on this machine."""
    right = _of(kata, kata.reference.read_text(encoding="utf-8"), RunOptions(ideas=True))
    by_exercise: dict[str, set[str]] = defaultdict(set)
    lines: dict[str, int] = {}
    for exercise in right.exercises:
        for spec in exercise.specs:
            if spec.status == "passed":
                by_exercise[exercise.name].add(_bare(spec.name))
                lines.setdefault(_bare(spec.name), spec.line)
    limit = max(mutants.SPEC_SECONDS, *(5 * spec.seconds for spec in variants.specs(right)))
    classes = {exercise.name: exercise.spec_class for exercise in kata.exercises}
    found: dict[str, Noticed] = {}
    asked: dict[Job, Change] = {}

    def jobs() -> Iterator[Job]:
        for change, exercises in _changes(kata):
            alone = {name for name, one in found.items() if not one.beside and not one.crashed}
            wanting = [name for name in exercises if not by_exercise[name] <= alone]
            if wanting:
                only = tuple(classes[name] for name in wanting)
                job = variants.job(kata, change.source, RunOptions(ideas=True, only=only, spec_seconds=limit))
                asked[job] = change
                yield job

    for job, result in scheduler.run(jobs()):
        for exercise in result.exercises:
            failed = {_bare(s.name): RAISED in s.message for s in exercise.specs if s.status in ("failed", "error")}
            for name, crashed in failed.items():
                others = failed.keys() - {name}
                known = found.setdefault(name, Noticed(asked[job], others, crashed, others))
                known.always = known.always & others
                if (len(others), crashed) < (len(known.beside), known.crashed):
                    known.change, known.beside, known.crashed = asked[job], others, crashed
    return found, lines


def hollowed(kata: Kata) -> list[str]:
    """The specs that no longer notice the change that they, and hardly any other, noticed, each with its line."""
    kept = _kept(kata)
    if not kept or kept["specs"] == kata.specs.read_text(encoding="utf-8"):
        return []
    right = _of(kata, kata.reference.read_text(encoding="utf-8"), RunOptions(ideas=True))
    there = {_bare(spec.name): spec.line for spec in variants.specs(right)}
    kept_changes = {name: Change(**change) for name, change in kept["changes"].items() if name in there}
    file = kata.specs.relative_to(kata.root).as_posix()
    return [
        f"{file}:{there[name]}: {name} no longer notices this change, as it did: {kept_changes[name].said}"
        for name in _passing(kata, kept_changes)
    ]


def _passing(kata: Kata, changes: dict[str, Change]) -> list[str]:
    """The specs that pass, run alone, on their change."""
    options = {name: RunOptions(ideas=True, only=(name,)) for name in changes}
    jobs = {variants.job(kata, change.source, options[name]): name for name, change in changes.items()}
    return [jobs[job] for job, result in variants.results(jobs).items() if not variants.failing(result)]


def _changes(kata: Kata) -> Iterator[tuple[Change, list[str]]]:
    """Changes of right code, and the exercises that each may concern."""
    reference = kata.reference.read_text(encoding="utf-8")
    for mistake in variants.mistakes(kata):
        if reference.count(mistake.was) == 1:
            source = reference.replace(mistake.was, mistake.now)
            yield Change(f"mistake '{mistake.name}'", source), _reached(kata, reference, source)
    for text_of, textbook in ((reference, False), (kata.textbook.read_text(encoding="utf-8"), True)):
        for mutant in mutants.generate(kata, textbook):
            said = f"{'textbook, ' if textbook else ''}- {mutant.was}   + {mutant.now}"
            yield Change(said, mutant.source), _reached(kata, text_of, mutant.source)
    defined = cells.definitions(ast.parse(reference))
    for exercise in kata.exercises:
        name, is_class = exercise.name, isinstance(defined[exercise.name], ast.ClassDef)
        places = [f"{name}.{method}" for method in CALLED if f"{name}.{method}" in defined] if is_class else [name]
        for place, (said, body) in itertools.product(places, BEHAVIOURS.items()):
            yield Change(f"{place}: {said}", reference + AROUND.format(place, body)), [name]


def _reached(kata: Kata, before: str, after: str) -> list[str]:
    """The exercises that a changed definition may concern."""
    was, now = variants.statements(before), variants.statements(after)
    classes = variants.exercises_with(kata, before, {name for name in was if now.get(name) != was[name]})
    return [exercise.name for exercise in kata.exercises if exercise.spec_class in classes]


def _of(kata: Kata, source: str, options: RunOptions) -> KataResult:
    [result] = variants.results([variants.job(kata, source, options)]).values()
    return result


def _bare(name: str) -> str:
    """A spec with all its parameters."""
    return name.partition("[")[0]


def _unneeded(kata: Kata, found: dict[str, Noticed], specs: dict[str, int]) -> Iterator[str]:
    """Specs that have neither a change of their own nor a reason, and reasons that are stale."""
    listed, file = _listed(kata), kata.specs.relative_to(kata.root).as_posix()
    own = {name for name, one in found.items() if not one.beside}
    for name, line in specs.items():
        if name not in own and name not in listed:
            seen = "it notices no change"
            if name in found:
                others = " and ".join(sorted(other.partition("::")[2] for other in found[name].always))
                seen = f"all that it notices, {others or 'others'} notice, too"
            yield f"{file}:{line}: {name}: {seen}: sharpen, merge or drop it, or give the reason in {LIST}"
    for name in listed:
        if name in own or name not in specs:
            yield f"{kata.author.name}/{LIST}: {name} needs no reason: it has a change of its own, or is not there"


def _listed(kata: Kata) -> dict[str, str]:
    path = kata.author / LIST
    return tomllib.loads(path.read_text(encoding="utf-8")).get("reasons", {}) if path.is_file() else {}


def store(kata: Kata) -> Path:
    """Where its changes are kept."""
    return kata.root / ".kata" / "kills" / f"{kata.name.replace('/', '-')}.json"


def _keep(kata: Kata, found: dict[str, Noticed]) -> None:
    reference, specs = (path.read_text(encoding="utf-8") for path in (kata.reference, kata.specs))
    changes = {name: {"said": one.change.said, "source": one.change.source} for name, one in found.items()}
    files.write(store(kata), json.dumps({"reference": reference, "specs": specs, "changes": changes}))


def _kept(kata: Kata) -> dict:
    """What `kata kills` found for this very reference; empty if it has not looked."""
    try:
        kept = json.loads(store(kata).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if kept["reference"] == kata.reference.read_text(encoding="utf-8") else {}
