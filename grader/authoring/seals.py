"""Finds the specs that also judge from another process: `kata seals 16 31` writes their lists."""

import hashlib
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grader.authoring import variants
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.execution import forkserver, orphans, scheduler
from grader.execution.second_lock import SecondLock
from grader.execution.supervisor import Supervisor
from grader.protocol import RunOptions, SpecInfo
from grader.results import ExerciseResult, KataResult, SpecResult
from grader.sealed import lists
from grader.sealed.lists import Sealed

AT_A_TIME = 2
POINTS = RunOptions(ideas=True)
TIMES = 3  # so often a spec must pass on the reference, each time with another seed
MISTAKES_REFUSED = 0.8


@dataclass(frozen=True)
class Asked:
    """The verdicts of specs on one text of a kata's file, from another process."""

    passed: set[str]
    failed: dict[str, SpecResult]


def infos(kata: Kata) -> dict[str, SpecInfo]:
    """The kata's specs of the point that run here and may be asked from another process, by name."""
    with tempfile.TemporaryDirectory() as scratch, orphans.ended():
        job = variants.job(kata, kata.reference.read_text(encoding="utf-8"), POINTS)
        first = Supervisor(job, Path(scratch))
        while not first.specs:
            first.read()
        first.kill()
    specs = {name: spec for name, spec in first.specs.items() if not (spec.skip_reason or spec.edge or spec.hidden)}
    return {name: spec for name, spec in specs.items() if spec.exercise not in kata.description.unsealed}


def ask(kata: Kata, specs: dict[str, SpecInfo], questions: Iterable[tuple[str, Sealed]]) -> list[Asked]:
    """Ask these specs about each text of the kata's file, whatever the first lock says."""
    names: dict[str, tuple[SpecResult, ...]] = {}
    for name, spec in specs.items():
        names[spec.exercise] = (*names.get(spec.exercise, ()), SpecResult(name, "passed"))
    works = KataResult(kata.name, tuple(ExerciseResult(name, found) for name, found in names.items()))
    open_ = [(place, text, sealed) for place, (text, sealed) in enumerate(questions)]
    answers = {place: Asked(set(), {}) for place, _, _ in open_}
    running: list[tuple[int, SecondLock]] = []
    with tempfile.TemporaryDirectory() as scratch, orphans.ended() as end_orphans:
        while open_ or running:
            while open_ and len(running) < AT_A_TIME:
                place, text, sealed = open_.pop(0)
                job = variants.job(kata, text, POINTS)
                forkserver.prepare([kata])
                running.append((place, SecondLock(job, Path(scratch), works, specs, {}, sealed, attempts=1)))
            if not any(one.finished for _, one in running):
                scheduler.wait([one for _, one in running], ())
            for place, one in [(place, one) for place, one in running if one.finished]:
                running.remove((place, one))
                answers[place].passed.update(one.passed)
                answers[place].failed.update(one.failed)
        end_orphans()
    return [answers[place] for place in sorted(answers)]


def found(kata: Kata, specs: dict[str, SpecInfo]) -> Sealed:
    """The specs that pass from another process on the reference and on every accepted solution, whatever the seed.

    The code may not write to what it gets from them, except where the reference must.
    """
    reference, *others = right_texts(kata)
    sealed = _passing(kata, specs, [reference], set(specs), set())
    rest = specs.keys() - sealed
    writing = _passing(kata, specs, [reference], rest, rest)
    sealed = _passing(kata, specs, [reference] * (TIMES - 1) + others, sealed | writing, writing)
    return Sealed(frozenset(sealed), frozenset(sealed & writing))


def right(kata: Kata) -> list[Path]:
    """Right solutions, to be appended to the reference."""
    return [path for path in (variants.textbook(kata), *variants.accepted(kata)) if path.is_file()]


def right_texts(kata: Kata) -> list[str]:
    """The reference, and the reference with each other right solution behind it."""
    reference = kata.reference.read_text(encoding="utf-8")
    return [reference, *(reference + "\n\n" + path.read_text(encoding="utf-8") for path in right(kata))]


def _passing(kata: Kata, specs: dict[str, SpecInfo], texts: list[str], names: set[str], writing: set[str]) -> set[str]:
    """Those of these specs that pass on all of these texts. What one that ends the code leaves over is asked again."""
    while names:
        sealed = Sealed(frozenset(names), frozenset(writing))
        answers = ask(kata, specs, [(text, sealed) for text in texts])
        failed = set().union(*(answer.failed for answer in answers))
        if all(answer.passed | answer.failed.keys() >= names for answer in answers):
            return names - failed
        names = names - failed
    return names


def broken(kata: Kata, specs: dict[str, SpecInfo], sealed: Sealed) -> list[str]:
    """Mistakes that the list fails to refuse, each a sentence."""
    reference = kata.reference.read_text(encoding="utf-8")
    by_exercise: dict[str, set[str]] = {name: {lists.probe_name(name)} for name in lists.probed(kata)}
    for name in specs:
        if name in sealed:
            by_exercise.setdefault(specs[name].exercise, set()).add(name)
    [stub] = ask(kata, specs, [(kata.code.read_text(encoding="utf-8"), sealed)])
    problems, asked, questions = [], [], []
    for mistake in variants.mistakes(kata):
        exercise = _of(kata, specs, mistake.caught_by)
        if not mistake.edge and exercise:
            names = frozenset(by_exercise.get(exercise.name, set()))
            asked.append((mistake, exercise))
            questions.append((reference.replace(mistake.was, mistake.now), Sealed(names, names & sealed.writing)))
    answers = ask(kata, specs, questions)
    own = [answer.failed.keys() & by_exercise.get(e.name, set()) for (_, e), answer in zip(asked, answers)]
    caught = {exercise.name for (_, exercise), failed in zip(asked, own) if failed}
    missed = [mistake.name for (mistake, _), failed in zip(asked, own) if not failed]
    for name in [exercise.name for exercise in kata.exercises]:
        if name in kata.description.unsealed:
            continue
        if not by_exercise.get(name):
            problems.append(f"{name}: no spec of it judges from another process")
        elif not any(spec in stub.failed for spec in by_exercise[name]):
            problems.append(f"{name}: no sealed spec refuses its stub")
        elif name in {exercise.name for _, exercise in asked} and name not in caught:
            problems.append(f"{name}: no sealed spec refuses one of its mistakes")
    if asked and 1 - len(missed) / len(asked) < MISTAKES_REFUSED:
        problems.append(f"sealed specs refuse {len(asked) - len(missed)} of {len(asked)} mistakes; not {missed}")
    return problems


def _of(kata: Kata, specs: dict[str, SpecInfo], caught_by: str) -> Exercise | None:
    """The exercise that a mistake belongs to: that of the spec which catches it."""
    for name, spec in specs.items():
        bare = name.partition("[")[0]
        if caught_by in (bare, bare.partition("::")[2], name):
            return next(exercise for exercise in kata.exercises if exercise.name == spec.exercise)
    return None


def listed(specs: dict[str, SpecInfo], names: Iterable[str]) -> list[str]:
    """The names in order; a spec whose parameters are all among them is named once, without."""
    names, found = set(names), []
    for name in specs:
        bare = name.partition("[")[0]
        siblings = {other for other in specs if other.partition("[")[0] == bare}
        told = bare if siblings <= names else name
        if name in names and told not in found:
            found.append(told)
    return found


def fingerprint(kata: Kata) -> str:
    """A hash of the files that a list was found with."""
    files = [kata.specs, kata.reference, variants.mistakes_file(kata), kata.folder / "probes.py", *right(kata)]
    text = "".join(path.read_text(encoding="utf-8") for path in files if path.is_file())
    text = text.replace("from grader.authoring.variants import", "from tests.course.variants import")  # as once hashed
    return hashlib.sha256((text + repr(kata.description.unsealed)).encode()).hexdigest()[:16]


def stale(kata: Kata) -> str:
    """Say why the kata's list does not fit its files; empty if it does."""
    path = kata.folder / "sealed.toml"
    known = path.is_file() and tomllib.loads(path.read_text(encoding="utf-8")).get("of") == fingerprint(kata)
    return "" if known else f"not found with these files: kata seals {kata.number} writes it anew"


def checked(kata: Kata) -> list[str]:
    """The faults of the kata's list: specs and probes that fail on right code, and code that it does not refuse."""
    specs, sealed = infos(kata), lists.read(kata)
    unfair = {name for answer in ask(kata, specs, [(t, sealed) for t in right_texts(kata)]) for name in answer.failed}
    return [f"{name} fails on right code" for name in sorted(unfair)] + broken(kata, specs, sealed)


def write(kata: Kata) -> None:
    """Find the kata's list and write it."""
    specs = infos(kata)
    sealed = found(kata, specs)
    text = lists.rendered(fingerprint(kata), listed(specs, sealed.specs), listed(specs, sealed.writing))
    (kata.folder / "sealed.toml").write_text(text, encoding="utf-8")
    print(f"{kata.name}: {len(sealed.specs)} of {len(specs)} specs, {len(sealed.writing)} may write", flush=True)


def report(katas: list[Kata], *, check: bool) -> bool:
    """Write the lists of these katas, unless they are only checked, and print what is wrong with them.

    Returns whether something is.
    """
    if not check:
        for kata in katas:
            write(kata)
    is_wrong = False
    for kata in katas:
        for problem in checked(kata):
            print(f"{kata.name}: {problem}", flush=True)
            is_wrong = True
    return is_wrong
