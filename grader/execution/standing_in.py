"""Decides which code stands in for earlier katas: the learner's own if its core works,
otherwise the reference.
"""

from pathlib import Path

from grader.course import stubs
from grader.course.catalogue import Kata, with_prerequisites
from grader.course.kata_modules import Choice
from grader.execution.cores import (
    CORE_WORKS,
    not_started,
    references,
    why_core_fails,
)
from grader.failure import NOT_WRITTEN, Failure
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.workers import jobs


def choose(kata: Kata, code: Path, *, itself: bool = False) -> Choice:
    """Choose a code folder for every kata that `kata` builds on, and with `itself` for
    the kata too.

    Core specs run where no cached result exists.

    Raises:
        LoadFailure: an earlier kata does not work and has no reference. The message
            names the kata to finish first.
    """
    choice, said = Choice(), dict[str, list[str]]()
    solutions = kata.solutions
    order = with_prerequisites([kata])
    for earlier in order if itself else order[:-1]:
        if solutions.is_dir() and code.resolve() == solutions.resolve():
            choice.sources[earlier.name] = solutions
            continue
        reason = why_not(earlier, code)
        if reason is None:
            choice.sources[earlier.name] = code
            said.setdefault("your own code, its core specs pass", []).append(
                earlier.name
            )
        else:
            choice.sources[earlier.name] = references(earlier, reason)
            # one line says it of many katas
            why = NOT_WRITTEN if reason.kind == "unwritten" else reason.line
            said.setdefault(f"the reference stands in for yours ({why})", []).append(
                earlier.name
            )
    choice.notes += [f"{', '.join(names)}: {what}" for what, names in said.items()]
    return choice


def why_each_fails(kata: Kata, code: Path) -> dict[str, str]:
    """The reason why the learner's code for each exercise does not work, in a few
    words; empty where it works.
    """
    names = [exercise.name for exercise in kata.exercises]
    source = jobs.read(kata, code)
    if source.problem or stubs.is_untouched(kata, source.text):
        return dict.fromkeys(
            names, source.problem.line if source.problem else NOT_WRITTEN
        )
    result = _judged(kata, code, RunOptions(ideas=True))
    reasons = dict.fromkeys(names, result.message or "not run")
    for exercise in result.exercises:
        first = exercise.first_failure
        found = first.failure if first else None
        line = (
            found.beside(exercise.name)
            if found and (found == result.file or not found.rows)
            else "a spec fails"
        )
        reasons[exercise.name] = "" if exercise.so_far.point else line
    return reasons


def why_not(kata: Kata, code: Path) -> Failure | None:
    """Why the kata's core does not work in this code folder, in one line; None if it
    works. Uses the result cache.
    """
    source = jobs.read(kata, code)
    if source.problem:
        return source.problem
    if stubs.is_untouched(kata, source.text):
        return why_core_fails(not_started(kata, CORE_WORKS))
    return why_core_fails(_judged(kata, code, CORE_WORKS))


def _judged(kata: Kata, code: Path, options: RunOptions) -> KataResult:
    # Scheduler, servers and sandbox are imported only where a kata has to be judged:
    # under plain pytest that is seldom.
    from grader.execution.grading import grade_folder
    from grader.execution.result_cache import ResultCache

    [result] = grade_folder([kata], code, options=options, cache=ResultCache(kata.root))
    return result
