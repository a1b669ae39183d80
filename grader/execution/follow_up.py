"""Follow-up: failing specs of an exercise run once more with the reference of the exercises that it uses.

A mistake costs its own exercise, not those that use it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.protocol import SpecInfo
from grader.results import DONE, NOT_WRITTEN, SpecResult


@dataclass(frozen=True)
class FollowUp:
    """One more run: the specs of one exercise, with these used exercises replaced by the reference's."""

    exercise: str
    specs: frozenset[str]
    replaced: tuple[str, ...]
    reference: str  # in which only the replaced exercises are written; empty where there is no reference

    @property
    def note(self) -> str:
        return f"with the reference's {', '.join(self.replaced)}"


def following(
    kata: Kata, specs: Mapping[str, SpecInfo], results: Mapping[str, SpecResult], tried: Collection[str]
) -> FollowUp | None:
    """The run for the first exercise not yet `tried` that fails while an exercise that it uses does not work.

    Exercises come in order: one that passes its follow-up counts as working for those after it.
    """
    failing: dict[str, list[SpecResult]] = {}
    for name, spec in specs.items():
        if results[name].status not in DONE:
            failing.setdefault(spec.exercise, []).append(results[name])
    broken = {name.partition(".")[0] for name, found in failing.items() if not all(spec.edge for spec in found)}
    for exercise in kata.exercises:
        found = [spec for spec in failing.get(exercise.name, []) if _may_be_anothers(spec, exercise.owner)]
        replaced = tuple(name for name in kata.used_by(exercise) if name in broken)
        if found and replaced and exercise.name not in tried:
            names = frozenset(spec.name for spec in found)
            return FollowUp(exercise.name, names, replaced, _reference(kata, replaced))
    return None


def beside(kata: Kata, exercise: Exercise, broken: Collection[str]) -> FollowUp | None:
    """A run of a working exercise with the reference of the exercises that it uses and that do not work."""
    replaced = tuple(name for name in kata.used_by(exercise) if name in broken)
    reference = _reference(kata, replaced) if replaced else ""
    return FollowUp(exercise.name, frozenset(), replaced, reference) if reference else None


def _may_be_anothers(spec: SpecResult, owner: str) -> bool:
    """Tell if the failure may come from another exercise: the spec ran, and this exercise is written."""
    if spec.status != "failed":
        return False
    line = spec.message.strip().partition("\n")[0]
    return not line.endswith(NOT_WRITTEN) or not line.startswith((f"{owner}:", f"{owner}."))


def _reference(kata: Kata, replaced: tuple[str, ...]) -> str:
    """The reference's code of these exercises and of those that they use.

    The other exercises are not written in it: code under test shares the process, and might read it.
    """
    if not kata.reference.is_file():
        return ""
    kept = set(replaced)
    for exercise in kata.exercises:
        if exercise.owner in replaced:
            kept.update(kata.used_by(exercise))
    others = {exercise.owner for exercise in kata.exercises} - kept
    return stubs.generate(kata.reference.read_text(encoding="utf-8"), tuple(sorted(others)))
