"""Finds the specs that also judge from another process: `kata seals 16 31` writes
their lists.
"""

import ast
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from grader import files
from grader.course import cells
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.course.handouts import SEALED
from grader.course.mistakes import Mistake
from grader.execution import scheduler
from grader.execution.supervisor import Supervisor
from grader.lock import lists
from grader.lock.lists import Sealed
from grader.lock.second_lock import First, SecondLock, once
from grader.protocol import SpecInfo
from grader.results import SpecResult
from grader.workers import forkserver, orphans
from workshop import probe_answers, replays, variants
from workshop.hollow import NAN, ZERO
from workshop.variants import POINTS

AT_A_TIME = 2
TIMES = 3  # so often a spec must pass on the reference, each time with another seed
TRIES = 2  # of each mistake, where none was refused at first
MISTAKES_REFUSED = 0.8


@dataclass(frozen=True)
class Asked:
    """The verdicts of specs on one text of a kata's file, from another process."""

    passed: set[str]
    failed: dict[str, SpecResult]


def infos(kata: Kata) -> dict[str, SpecInfo]:
    """The kata's specs of the point that run here and may be asked from another
    process, by name.
    """
    with tempfile.TemporaryDirectory() as scratch, orphans.ended():
        job = variants.job(kata, kata.reference.read_text(encoding="utf-8"), POINTS)
        first = Supervisor(job, Path(scratch))
        while not first.specs:
            first.read(first.worker.channel)
        first.kill()
    specs = {
        name: spec
        for name, spec in first.specs.items()
        if not (spec.skip_reason or spec.edge or spec.hidden)
    }
    return {
        name: spec
        for name, spec in specs.items()
        if spec.exercise not in kata.description.unsealed
    }


def ask(
    kata: Kata, questions: Iterable[tuple[str, dict[str, SpecInfo], Sealed]]
) -> list[Asked]:
    """Ask about each text of the kata's file, whatever the first lock says, those of
    its specs that are sealed and the probes of their exercises.
    """
    open_ = list(enumerate(questions))
    answers = {place: Asked(set(), {}) for place, _ in open_}
    running: list[tuple[int, SecondLock]] = []
    with tempfile.TemporaryDirectory() as scratch, orphans.ended() as end_orphans:
        while open_ or running:
            while open_ and len(running) < AT_A_TIME:
                place, (text, specs, sealed) = open_.pop(0)
                job = variants.job(kata, text, POINTS)
                forkserver.prepare([kata])
                first = First(variants.all_work(kata, specs), specs, job.files)
                running.append(
                    (place, SecondLock(job, Path(scratch), first, sealed, once(kata)))
                )
            if not any(one.finished for _, one in running):
                scheduler.wait([one for _, one in running], ())
            for place, one in [(place, one) for place, one in running if one.finished]:
                running.remove((place, one))
                answers[place].passed.update(one.passed)
                answers[place].failed.update(one.failed)
        end_orphans()
    return [answers[place] for place in sorted(answers)]


def found(kata: Kata, specs: dict[str, SpecInfo]) -> Sealed:
    """The specs that pass from another process on the reference and on every accepted
    solution, whatever the seed.

    None expects what it makes of the code's own answers. The code may not write to what
    it gets from them, except where the reference must.
    """
    reference, *others = right_texts(kata)
    sealed = _passing(kata, specs, [reference], set(specs), set())
    rest = specs.keys() - sealed
    writing = _passing(kata, specs, [reference], rest, rest)
    sealed = _passing(
        kata, specs, [reference] * (TIMES - 1) + others, sealed | writing, writing
    )
    passing = Sealed(frozenset(sealed), frozenset(writing))
    tape, _ = replays.recorded(kata, reference, specs, passing)
    sealed -= replays.believing(kata, reference, specs, passing, tape)
    return Sealed(frozenset(sealed), frozenset(sealed & writing))


def right(kata: Kata) -> list[Path]:
    """Right solutions, to be appended to the reference."""
    return [path for path in (kata.textbook, *kata.accepted) if path.is_file()]


def right_texts(kata: Kata) -> Iterator[str]:
    """The reference, the reference with each other right solution behind it, and those
    made of equivalent mutants.
    """
    reference = kata.reference.read_text(encoding="utf-8")
    yield reference
    yield from (
        f"{reference}\n\n{path.read_text(encoding='utf-8')}" for path in right(kata)
    )
    yield from _mutated(kata)


def _mutated(kata: Kata) -> Iterator[str]:
    """The reference with its equivalent mutants, each once, and in no text two of
    one definition.

    Each is equivalent for a reason, and one may be the other's reason.
    """
    reference = kata.reference.read_text(encoding="utf-8")
    places = cells.definitions(ast.parse(reference)).items()
    left = [one for one in variants.equivalents(kata) if reference.count(one.was) == 1]
    while left:
        text, changed, rest = reference, set(), []
        for one in left:
            line = reference[: reference.index(one.was)].count("\n") + 1
            name = next(
                (
                    name
                    for name, node in reversed(places)
                    if node.lineno <= line <= (node.end_lineno or 0)
                ),
                "",
            )
            if name in changed:
                rest.append(one)
            else:
                changed.add(name)
                text = text.replace(one.was, one.now)
        yield text
        left = rest


def _passing(
    kata: Kata,
    specs: dict[str, SpecInfo],
    texts: list[str],
    names: set[str],
    writing: set[str],
) -> set[str]:
    """Those of these specs that pass on all of these texts. What one that ends the code
    leaves over is asked again.
    """
    while names:
        sealed = Sealed(frozenset(names), frozenset(writing))
        answers = ask(kata, [(text, specs, sealed) for text in texts])
        failed = set().union(*(answer.failed for answer in answers))
        if all(answer.passed | answer.failed.keys() >= names for answer in answers):
            return names - failed
        names = names - failed
    return names


def unrefused(kata: Kata, specs: dict[str, SpecInfo], sealed: Sealed) -> list[str]:
    """The exercises without a sealed spec, or with none that refuses one of their
    mistakes; each a sentence.

    What a sealed spec refuses in the first lock needs no question: the stub fails all,
    and the promise `mistakes` asks.
    """
    own, mistakes = _sealed_of(kata, specs, sealed), _mistakes(kata, specs)
    problems = []
    for name in [
        exercise.name
        for exercise in kata.exercises
        if exercise.name not in kata.description.unsealed
    ]:
        its_own = [mistake for mistake, exercise in mistakes if exercise == name]
        if not own.get(name):
            problems.append(f"{name}: no spec of it judges from another process")
        elif its_own and not any(
            _named(specs, mistake.caught_by) & own[name] for mistake in its_own
        ):
            # until one is refused: what a seed draws may by chance not tell it from
            # right code
            asked = its_own * TRIES
            answers = (
                _ask_about(kata, specs, sealed, [mistake])[0] for mistake in asked
            )
            if not any(answer.failed.keys() & own[name] for answer in answers):
                problems.append(f"{name}: no sealed spec refuses one of its mistakes")
    return problems


def refused_too_few(
    kata: Kata, specs: dict[str, SpecInfo], sealed: Sealed
) -> list[str]:
    """A sentence, if the sealed specs refuse too small a part of all mistakes."""
    own, asked = _sealed_of(kata, specs, sealed), _mistakes(kata, specs)
    answers = _ask_about(kata, specs, sealed, [mistake for mistake, _ in asked])
    missed = [
        one.name
        for (one, name), a in zip(asked, answers)
        if not a.failed.keys() & own.get(name, set())
    ]
    refused = len(asked) - len(missed)
    if refused >= MISTAKES_REFUSED * len(asked):
        return []
    return [f"sealed specs refuse {refused} of {len(asked)} mistakes; not {missed}"]


def _sealed_of(
    kata: Kata, specs: dict[str, SpecInfo], sealed: Sealed
) -> dict[str, set[str]]:
    """Exercise → its sealed specs and its probe."""
    found: dict[str, set[str]] = {
        name: {lists.probe_name(name)} for name in lists.probed(kata)
    }
    for name in specs:
        if name in sealed:
            found.setdefault(specs[name].exercise, set()).add(name)
    return found


def _mistakes(kata: Kata, specs: dict[str, SpecInfo]) -> list[tuple[Mistake, str]]:
    """The mistakes that cost a point, each with its exercise."""
    found = [
        (one, _of(kata, specs, one.caught_by))
        for one in variants.mistakes(kata)
        if not one.edge
    ]
    return [(one, exercise.name) for one, exercise in found if exercise]


def _ask_about(
    kata: Kata, specs: dict[str, SpecInfo], sealed: Sealed, mistakes: list[Mistake]
) -> list[Asked]:
    """Ask each mistake's own exercise about it."""
    own, of = _sealed_of(kata, specs, sealed), dict(_mistakes(kata, specs))
    reference = kata.reference.read_text(encoding="utf-8")
    questions = []
    for mistake in mistakes:
        names = frozenset(own.get(of[mistake], ()))
        its_own = {
            name: spec for name, spec in specs.items() if spec.exercise == of[mistake]
        }
        text = reference.replace(mistake.was, mistake.now)
        questions.append((text, its_own, Sealed(names, names & sealed.writing)))
    return ask(kata, questions)


def _of(kata: Kata, specs: dict[str, SpecInfo], caught_by: str) -> Exercise | None:
    """The exercise that a mistake belongs to: that of the spec which catches it."""
    names = {specs[name].exercise for name in _named(specs, caught_by)}
    return next(
        (exercise for exercise in kata.exercises if exercise.name in names), None
    )


def _named(specs: dict[str, SpecInfo], caught_by: str) -> set[str]:
    """The specs that a mistake's `caught_by` names."""
    return {name for name in specs if caught_by in variants.names(name)}


def listed(specs: dict[str, SpecInfo], names: Iterable[str]) -> list[str]:
    """The names in order; a spec whose parameters are all among them is named
    once, without.
    """
    names, found = set(names), []
    for name in specs:
        bare = name.partition("[")[0]
        siblings = {other for other in specs if other.partition("[")[0] == bare}
        told = bare if siblings <= names else name
        if name in names and told not in found:
            found.append(told)
    return found


def checked(kata: Kata, *, thoroughly: bool) -> list[str]:
    """The faults of the kata's list: specs and probes that fail on right code, and
    wrong code that they do not refuse.

    Args:
        thoroughly: ask about every right solution, each with a seed of its own, and
            about every mistake, instead of the textbook solution under one seed; of
            kernels, the probes about accepted solutions, too. And give hollow answers
            to all exercises, instead of those that others' code is lent and no probe
            asks about.
    """
    specs, sealed = infos(kata), lists.read(kata)
    texts = right_texts(kata)
    first = next(texts)
    taped = next(texts, first)
    tape, unfair = replays.recorded(kata, taped, specs, sealed)
    if thoroughly:
        others = [(text, specs, sealed) for text in (first, taped, *texts)]
    elif "triton" in kata.description.needs:
        # probes count what kernels move, and other right code may move more
        others = [
            _probes_of(kata, specs, path.read_text(encoding="utf-8"))
            for path in kata.accepted
        ]
    else:
        others = []
    for one in ask(kata, others):
        unfair |= one.failed
    problems = [
        f"{name} fails on right code: {_why(unfair[name])}" for name in sorted(unfair)
    ]
    problems += probe_answers.faults(kata)
    problems += unrefused(kata, specs, sealed)
    problems += replays.by_heart(kata, taped, specs, sealed, tape)
    if not thoroughly:
        lent = {e.name for e in kata.exercises if kata.used_by(e)}.difference(
            lists.probed(kata)
        )
        asked = {name: spec for name, spec in specs.items() if spec.exercise in lent}
        theirs = {
            name: frames for name, frames in tape.items() if not name or name in asked
        }
        return problems + (
            replays.trusting(kata, taped, asked, sealed, theirs, NAN) if lent else []
        )
    for name in sorted(replays.believing(kata, taped, specs, sealed, tape)):
        problems.append(f"{name} expects what it makes of the code's own answers")
    for fill in (NAN, ZERO):
        problems += replays.trusting(kata, taped, specs, sealed, tape, fill)
    return problems + refused_too_few(kata, specs, sealed)


def _probes_of(
    kata: Kata, specs: dict[str, SpecInfo], source: str
) -> tuple[str, dict[str, SpecInfo], Sealed]:
    """To ask: the probes of the exercises that this text changes when it is appended to
    the reference.
    """
    reference = kata.reference.read_text(encoding="utf-8")
    touched = variants.touched(kata, reference, source)
    its_own = {
        name: spec for name, spec in specs.items() if name.partition("::")[0] in touched
    }
    return f"{reference}\n\n{source}", its_own, Sealed()


def _why(failed: SpecResult) -> str:
    """The failure in one line."""
    return " ".join(
        replace(failed.failure, head="").text.split() if failed.failure else failed.said
    )


def write(kata: Kata) -> None:
    """Find the kata's list and write it."""
    specs = infos(kata)
    sealed = found(kata, specs)
    text = lists.rendered(listed(specs, sealed.specs), listed(specs, sealed.writing))
    files.write(kata.author / SEALED, text)
    print(
        f"{kata.name}: {len(sealed.specs)} of {len(specs)} specs, "
        f"{len(sealed.writing)} may write",
        flush=True,
    )


def report(katas: list[Kata], *, check: bool) -> bool:
    """Write the lists of these katas, unless they are only checked, and print what is
    wrong with them.

    Returns whether something is.
    """
    if not check:
        for kata in katas:
            write(kata)
    is_wrong = False
    for kata in katas:
        for problem in checked(kata, thoroughly=True):
            print(f"{kata.name}: {problem}", flush=True)
            is_wrong = True
    return is_wrong
