"""Follow-up: failing specs of an exercise run once more with the reference of the
exercises that it uses.

A mistake costs its own exercise, not those that use it. One that is not written has no
point to keep, and no run.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from grader.course import grafts
from grader.course.catalogue import Kata
from grader.protocol import SpecInfo
from grader.results import DONE, SpecResult


@dataclass(frozen=True)
class FollowUp:
    """One more run: the specs of one exercise, with the reference's code for the
    exercises that it uses.
    """

    exercise: str
    specs: frozenset[str]
    names: tuple[str, ...]  # whose code is the reference's


def following(
    kata: Kata,
    specs: Mapping[str, SpecInfo],
    results: Mapping[str, SpecResult],
    tried: Collection[str],
) -> FollowUp | None:
    """The run for the first exercise not yet `tried` that fails while an exercise that
    it uses does not work.

    Exercises come in order: one that passes its follow-up counts as working for those
    after it.
    """
    failing: dict[str, list[SpecResult]] = {}
    for name, spec in specs.items():
        if results[name].status not in DONE:
            failing.setdefault(spec.exercise, []).append(results[name])
    broken = {
        name.partition(".")[0]
        for name, found in failing.items()
        if not all(spec.edge for spec in found)
    }
    for exercise in kata.exercises:
        own = failing.get(exercise.name, [])
        if any(not spec.edge and _is_unwritten(spec, exercise.owner) for spec in own):
            continue
        may_be_anothers = [
            spec
            for spec in own
            if spec.status == "failed" and not _is_unwritten(spec, exercise.owner)
        ]
        names = grafts.needed(kata, exercise, broken)
        if may_be_anothers and names and exercise.name not in tried:
            return FollowUp(
                exercise.name, frozenset(spec.name for spec in may_be_anothers), names
            )
    return None


def _is_unwritten(spec: SpecResult, owner: str) -> bool:
    """Tell if the spec failed because its exercise, or another one of that class, is
    not written.
    """
    return spec.kind == "unwritten" and bool(
        spec.failure and spec.failure.of.partition(".")[0] == owner
    )
