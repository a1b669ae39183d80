"""Finds for every spec of a point one small change of right code that it notices, and no other spec of that point.

`kata kills 16` finds them: recorded mistakes, then changes of what an exercise takes and returns, some only where a
fact or two hold that hold in no other spec (a size of 1, a keyword given), then mutants of the reference and of the
textbook solution. They are kept in `.kata/kills`, or what the fewest others notice; committed is only the list of specs
without a change of their own, `author/kills.toml`, each with its reason. A spec that later no longer notices its change
was hollowed out, and `kata promises` says so.
"""

import ast
import itertools
import json
import tomllib
from collections import Counter, defaultdict
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

# Code behind a right solution: {1} takes the place of a call of the functions or methods that {0} names. Facts are what
# may hold for the arguments; only calls from outside count, not those of one exercise by another.
AROUND = """

import functools as _functools
import itertools as _itertools
import os as _os

import torch as _torch

_FACTS = {{
    "a tensor has a size of 1": lambda ts, vs: any(1 in t.shape for t in ts),
    "no tensor has a size of 1": lambda ts, vs: ts and not any(1 in t.shape for t in ts),
    "the batch is one": lambda ts, vs: any(t.shape[:1] == (1,) for t in ts),
    "a matrix is square": lambda ts, vs: any(t.ndim > 1 and t.shape[-1] == t.shape[-2] for t in ts),
    "a tensor is empty": lambda ts, vs: any(t.numel() == 0 for t in ts),
    "a tensor is a single number": lambda ts, vs: any(t.ndim == 0 for t in ts),
    "a tensor is a vector": lambda ts, vs: any(t.ndim == 1 for t in ts),
    "a tensor is a matrix": lambda ts, vs: any(t.ndim == 2 for t in ts),
    "a tensor has 3 dimensions": lambda ts, vs: any(t.ndim == 3 for t in ts),
    "a tensor has 4 dimensions": lambda ts, vs: any(t.ndim == 4 for t in ts),
    "tensors differ in their dimensions": lambda ts, vs: len({{t.ndim for t in ts}}) > 1,
    "tensors agree in their shape": lambda ts, vs: len(ts) > 1 and len({{t.shape for t in ts}}) == 1,
    "one tensor comes twice": lambda ts, vs: len({{id(t) for t in ts}}) < len(ts),
    "numbers are whole by type": lambda ts, vs: any(not t.is_floating_point() for t in ts),
    "floats are whole numbers": lambda ts, vs: any(t.is_floating_point() and bool((t == t.round()).all()) for t in ts),
    "floats are in float64": lambda ts, vs: any(t.dtype == _torch.float64 for t in ts),
    "gradients are asked for": lambda ts, vs: any(t.requires_grad for t in ts),
    "no gradients are asked for": lambda ts, vs: ts and not any(t.requires_grad for t in ts),
    "a number is negative": lambda ts, vs: any(bool((t < 0).any()) for t in ts),
    "no number is negative": lambda ts, vs: ts and not any(bool((t < 0).any()) for t in ts),
    "a number is 0": lambda ts, vs: any(bool((t == 0).any()) for t in ts),
    "a number is above 10": lambda ts, vs: any(bool((t > 10).any()) for t in ts),
    "a number is not finite": lambda ts, vs: any(not bool(t.isfinite().all()) for t in ts),
    "all numbers are equal": lambda ts, vs: any(t.numel() > 1 and bool((t == t.flatten()[0]).all()) for t in ts),
    "memory is in another order": lambda ts, vs: any(not t.is_contiguous() for t in ts),
    "a size is above 9": lambda ts, vs: any(max(t.shape, default=0) > 9 for t in ts),
    "True is given": lambda ts, vs: any(v is True for v in vs),
    "False is given": lambda ts, vs: any(v is False for v in vs),
    "None is given": lambda ts, vs: any(v is None for v in vs),
    "0 is given": lambda ts, vs: any(type(v) in (int, float) and v == 0 for v in vs),
    "1 is given": lambda ts, vs: any(type(v) in (int, float) and v == 1 for v in vs),
    "a number above 1 is given": lambda ts, vs: any(type(v) in (int, float) and v > 1 for v in vs),
    "a number below 0 is given": lambda ts, vs: any(type(v) in (int, float) and v < 0 for v in vs),
    "a fraction is given": lambda ts, vs: any(type(v) is float and 0 < v < 1 for v in vs),
    "something is empty": lambda ts, vs: any(isinstance(v, (str, bytes, list, tuple, dict)) and not v for v in vs),
    "a text is long": lambda ts, vs: any(isinstance(v, (str, bytes)) and len(v) > 12 for v in vs),
    "a text is not ASCII": lambda ts, vs: any(isinstance(v, str) and not v.isascii() for v in vs),
    "a module trains": lambda ts, vs: any(getattr(v, "training", None) is True for v in vs),
    "a module does not train": lambda ts, vs: any(getattr(v, "training", None) is False for v in vs),
}}
_seen, _within = {{}}, []

def _flat(value):
    if isinstance(value, (tuple, list)):
        if not value:
            yield value
        for v in value:
            yield from _flat(v)
    elif type(value) is dict:
        yield from _flat(list(value.values()))
    else:
        yield value

def _facts(args, kwargs):
    flat = [*_flat(args), *_flat(list(kwargs.values()))]
    ts = [v for v in flat if isinstance(v, _torch.Tensor) and not v.is_complex()]
    facts = {{name for name, holds in _FACTS.items() if holds(ts, flat)}} | {{"%s is given" % name for name in kwargs}}
    spec = _os.environ.get("PYTEST_CURRENT_TEST", "")
    if args and hasattr(args[0], "__dict__"):
        calls = _seen.setdefault((spec, id(args[0])), [args[0], 0])
        calls[1] += 1
        facts |= {{"it is not the first call"}} if calls[1] > 1 else set()
    return facts | {{"%s and %s" % two for two in _itertools.combinations(sorted(facts), 2)}}, spec

def _tensors(values, change):
    return tuple(change(v) if isinstance(v, _torch.Tensor) else v for v in values)

def _all(value, change):
    if isinstance(value, _torch.Tensor):
        return change(value)
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(_all(v, change) for v in value)
    return {{k: _all(v, change) for k, v in value.items()}} if type(value) is dict else value

def _off(value):
    if isinstance(value, _torch.Tensor):
        if value.is_floating_point():
            return value * 1.01 + 0.01
        return ~value if value.dtype == _torch.bool else value + 1
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(_off(v) for v in value)
    if type(value) is dict:
        return {{k: _off(v) for k, v in value.items()}}
    if type(value) is bool:
        return not value
    if type(value) in (int, float):
        return value + 1 if type(value) is int else value * 1.01 + 0.01
    return value + value[:1] if type(value) in (str, bytes) else value

def _around(_was):
    @_functools.wraps(_was)
    def changed(*args, **kwargs):
        {1}
    return changed

{0}
"""
TRIED = 2  # facts of a spec alone
FACT = "fact: "  # stands before what a run tells beside a failure's suspects
WHERE = """if _within:
            return _was(*args, **kwargs)
        facts, spec = _facts(args, kwargs)
        _within.append(spec)
        try:
            result = _was(*args, **kwargs)
        finally:
            _within.pop()
        {}"""
RECORD = WHERE.format(
    "from grader.specs import check; check.tried.update({FACT + fact: [] for fact in facts}); return result"
).replace("FACT", repr(FACT))
OFF = WHERE.format("return _off(result) if {0!r} in facts else result")
BEHAVIOURS = {
    "the result without its graph": "return _all(_was(*args, **kwargs), lambda x: x.detach())",
    "the result a little off": "return _off(_was(*args, **kwargs))",
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
    "the arguments in another shape afterwards": (
        "r = _was(*args, **kwargs); _tensors(args, lambda x: x if x.requires_grad else x.unsqueeze_(0)); return r"
    ),
    "the last of several results a little off": (
        "r = _was(*args, **kwargs); return (*r[:-1], _off(r[-1])) if type(r) is tuple and r else r"
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
    places, found = dict(_places(kata)), dict[str, Noticed]()
    facts = _facts_of_one(kata, places)
    asked: dict[Job, Change] = {}

    def jobs() -> Iterator[Job]:
        for change, exercises in _changes(kata, places, facts):
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


def _changes(
    kata: Kata, places: dict[str, list[str]], facts: dict[str, list[str]]
) -> Iterator[tuple[Change, list[str]]]:
    """Changes of right code, and the exercises that each may concern."""
    reference = kata.reference.read_text(encoding="utf-8")
    for mistake in variants.mistakes(kata):
        if reference.count(mistake.was) == 1:
            source = reference.replace(mistake.was, mistake.now)
            yield Change(f"mistake '{mistake.name}'", source), _reached(kata, reference, source)
    for fact, exercises in facts.items():
        source = reference + _around([place for name in exercises for place in places[name]], OFF.format(fact))
        yield Change(f"the result a little off where {fact}", source), exercises
    for name, own in places.items():
        for place, (said, body) in itertools.product(own, BEHAVIOURS.items()):
            yield Change(f"{place}: {said}", reference + _around([place], body)), [name]
    for textbook in (False, True):
        text = kata.textbook.read_text(encoding="utf-8") if textbook else reference
        reached = {name: _exercises(kata, text, {name}) for name in ["", *variants.statements(text)]}
        for mutant in mutants.generate(kata, textbook):
            said = f"{'textbook, ' if textbook else ''}- {mutant.was}   + {mutant.now}"
            yield Change(said, mutant.source), reached[mutant.definition]


def _places(kata: Kata) -> Iterator[tuple[str, list[str]]]:
    """Each exercise, and its functions or methods that others call."""
    defined = cells.definitions(ast.parse(kata.reference.read_text(encoding="utf-8")))
    for exercise in kata.exercises:
        name, is_class = exercise.name, isinstance(defined[exercise.name], ast.ClassDef)
        yield name, [f"{name}.{m}" for m in CALLED if f"{name}.{m}" in defined] if is_class else [name]


def _around(places: list[str], body: str) -> str:
    return AROUND.format("\n".join(f"{place} = _around({place})" for place in places), body)


def _facts_of_one(kata: Kata, places: dict[str, list[str]]) -> dict[str, list[str]]:
    """Facts of what exercises are called with in one of their specs alone, and these exercises."""
    source = kata.reference.read_text(encoding="utf-8") + _around(list(itertools.chain(*places.values())), RECORD)
    found: dict[str, list[str]] = defaultdict(list)
    for exercise in _of(kata, source, RunOptions(ideas=True, tries_suspects=True)).exercises:
        told: dict[str, set[str]] = defaultdict(set)
        for spec in exercise.specs:
            if spec.status == "failed":  # what surrounds the code disturbs it
                break
            told[_bare(spec.name)] |= {fact for fact in json.loads(spec.printed or "{}") if fact.startswith(FACT)}
        else:
            times = Counter(itertools.chain(*told.values()))
            for facts in told.values():
                own = sorted(fact.removeprefix(FACT) for fact in facts if times[fact] == 1)
                for fact in ([fact for fact in own if " and " not in fact] or own)[:TRIED]:
                    found[fact].append(exercise.name)
    return found


def _reached(kata: Kata, before: str, after: str) -> list[str]:
    """The exercises that a changed definition may concern."""
    was, now = variants.statements(before), variants.statements(after)
    return _exercises(kata, before, {name for name in was if now.get(name) != was[name]})


def _exercises(kata: Kata, text: str, changed: set[str]) -> list[str]:
    classes = variants.exercises_with(kata, text, changed)
    return [exercise.name for exercise in kata.exercises if exercise.spec_class in classes or not changed - {""}]


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
