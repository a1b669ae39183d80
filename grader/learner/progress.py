"""The learner's progress: the result of each kata that they have started."""

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from grader.course import cells, kata_modules, stubs
from grader.course.catalogue import Kata, with_prerequisites
from grader.execution import grading
from grader.execution.result_cache import ResultCache
from grader.memory import Memory
from grader.reports import words
from grader.reports.words import STAR
from grader.results import ExerciseResult, KataResult
from grader.workers import jobs
from grader.workers.jobs import Job

FIRST_LOOK = "00"


def so_far(
    katas: Iterable[Kata],
    code: Path,
    on_start: Callable[[list[Kata]], None] = lambda katas: None,
    on_result: Callable[[KataResult], None] = lambda result: None,
) -> dict[Kata, KataResult | None]:
    """Each kata's result, or None while its file is an untouched stub. Specs run only
    where no result is cached.

    Args:
        on_start: called once, with the katas that the learner has started.
        on_result: called with each of their results.
    """
    katas = list(katas)
    begun = [kata for kata in katas if is_begun(kata, code)]
    on_start(begun)
    results: dict[Kata, KataResult | None] = dict.fromkeys(katas)
    if begun:
        by_name = {kata.name: kata for kata in begun}
        for result in grading.grade_folder(
            begun, code, cache=ResultCache(begun[0].root)
        ):
            results[by_name[result.kata]] = result
            on_result(result)
    return results


def is_begun(kata: Kata, code: Path) -> bool:
    """Tell if there is a file of the kata, in any state but its stub's."""
    source = jobs.read(kata, code)
    if source.problem or not kata.reference.is_file():
        return (code / kata.file).exists() and not stubs.is_untouched(kata, source.text)
    read = [
        (kata.folder / "kata.toml").read_bytes(),
        kata.reference.read_bytes(),
        source.text.encode(),
    ]
    key = hashlib.sha256(repr([_how_stubs_are_made(), *read]).encode()).hexdigest()
    known = _memory(kata.root).find("begun", kata.name, key)
    if known is None:
        known = "" if stubs.is_untouched(kata, source.text) else "begun"
        _memory(kata.root).keep("begun", kata.name, key, known)
    return bool(known)


@cache
def _memory(root: Path) -> Memory:
    return Memory(root)


@cache
def _how_stubs_are_made() -> list[bytes]:
    return [Path(module.__file__ or "").read_bytes() for module in (stubs, cells)]


def led(path: list[Kata], begun: Callable[[Kata], bool]) -> list[Kata]:
    """The katas that a learner is led through, from the one begun whose file was saved
    last; then the earlier ones.

    The first look, which is optional, is left out once a later kata is begun.
    """
    started = [kata for kata in path if begun(kata)]
    if not started:
        return path
    at = path.index(
        max(
            started,
            key=lambda kata: kata.code.stat().st_mtime if kata.code.is_file() else 0.0,
        )
    )
    first_is_optional = path[0].number == FIRST_LOOK and started != path[:1]
    return path[at:] + path[first_is_optional:at]


def current(kata: Kata, result: KataResult | None) -> str:
    """The exercise that is next: the first that does not work, core before stretch, or
    else whose star is open.
    """
    by_name = (
        {exercise.name: exercise for exercise in result.exercises} if result else {}
    )
    in_turn = sorted(kata.exercises, key=lambda exercise: exercise.stretch)
    undone = [
        e.name
        for e in in_turn
        if e.name not in by_name or not by_name[e.name].so_far.point
    ]
    open_ = [
        e.name for e in in_turn if e.name in by_name and not by_name[e.name].so_far.star
    ]
    return [*undone, *open_, in_turn[-1].name][0]


def is_working(result: KataResult | None, exercise: str) -> bool:
    """Tell if the exercise of this name works."""
    return result is not None and any(
        e.so_far.point for e in result.exercises if e.name == exercise
    )


def in_words(result: KataResult | None) -> str:
    """ "3 of 5 core · ★ 2 of 8": what works, and the stars."""
    return " · ".join(part for part in (points(result), stars(result)) if part)


def points(result: KataResult | None) -> str:
    """ "not started", "3 of 5 core", "core works, 1 of 3 stretch", "done"."""
    if result is None or not result.exercises:
        return "not started"
    if result.state == "works":
        return "done"
    core = [e for e in result.exercises if not e.stretch]
    stretch = [e for e in result.exercises if e.stretch]
    if result.core_works:
        working = sum(e.so_far.point for e in stretch)
        return f"core works, {working} of {len(stretch)} stretch"
    return f"{sum(e.so_far.point for e in core)} of {len(core)} core"


def stars(result: KataResult | None) -> str:
    """ "★ 6 of 8"; empty while no exercise works."""
    return (
        f"{STAR} {result.so_far.stars} of {result.max_points}"
        if result and result.so_far.points
        else ""
    )


def open_stars(result: KataResult) -> list[str]:
    """The exercises that work, but not at their edges, each with what is open: "f (1
    numerics, 2 guards)".
    """
    return [
        f"{e.name} ({_kinds(e)})"
        for e in result.exercises
        if e.so_far.point and not e.so_far.star
    ]


def _kinds(exercise: ExerciseResult) -> str:
    guards = sum(spec.guard for spec in exercise.open_edges)
    numerics = len(exercise.open_edges) - guards
    named = [f"{numerics} numerics"] if numerics else []
    return ", ".join(named + ([words.counted(guards, "guard")] if guards else []))


def job(kata: Kata, text: str | None = None) -> Job:
    """The learner's code of this kata, on that of the earlier ones: theirs where it
    works, else the reference.

    Args:
        text: the kata's code, if it is not that of the file.
    """
    earlier = with_prerequisites([kata])[:-1]
    own = so_far(earlier, kata.root / "katas")
    files = {kata.file: kata_modules.read_source(kata.code) if text is None else text}
    for one in earlier:
        result = own[one]
        is_own = (result and result.core_works) or not one.reference.is_file()
        files[one.file] = kata_modules.read_source(
            one.code if is_own else one.reference
        )
    return Job(kata, files)
