"""Tells whether the core of an earlier kata works, and which code stands in for it."""

from pathlib import Path

from grader.course.catalogue import Kata
from grader.errors import LoadFailure
from grader.failure import Failure, unwritten
from grader.protocol import RunOptions
from grader.results import ExerciseResult, KataResult, SpecResult

# what decides whether a kata's own code is used by later katas
CORE_WORKS = RunOptions(core=True, ideas=True)


def not_started(
    kata: Kata, options: RunOptions, problem: Failure | None = None
) -> KataResult:
    """The result of an untouched stub, or of this problem. It holds one failure per
    exercise, and names no spec.
    """
    asked = [
        exercise
        for exercise in kata.exercises
        if not (options.core and exercise.stretch)
    ]
    failed = {
        e.name: SpecResult("", "failed", failure=problem or unwritten(e.name))
        for e in asked
    }
    exercises = tuple(
        ExerciseResult(e.name, (failed[e.name],), e.stretch) for e in asked
    )
    return KataResult(kata.name, exercises, file=problem)


def why_core_fails(result: KataResult) -> Failure | None:
    """What is wrong with the first core exercise that does not work, in one line; None
    if all of them do.
    """
    for exercise in result.exercises:
        if not exercise.stretch and not exercise.so_far.point:
            if exercise.gap:
                return Failure("not run", "not graded")
            found = exercise.first_failure.failure if exercise.first_failure else None
            if found and found.kind in ("unwritten", "not handed in"):
                return found
            return Failure("not run", f"a spec of {exercise.name} fails")
    return None


def references(earlier: Kata, reason: Failure) -> Path:
    """The code folder that counts for an earlier kata instead of the learner's, whose
    core fails for this reason.

    Raises:
        LoadFailure: there is no reference.
    """
    if not earlier.reference.is_file():
        raise LoadFailure(f"finish {earlier.name} first: {reason.line}", "not run")
    return earlier.solutions
