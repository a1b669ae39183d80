"""Rerun: a spec that fails through another exercise's mistake runs once more, with the
reference's code for that one.

The runner does the same for its workers, after their run: see
`grader.execution.follow_up`.
"""

from types import ModuleType
from typing import Protocol

import pytest

from grader.course import grafts, packages
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.errors import LoadFailure
from grader.failure import Failure
from grader.isolation import state
from grader.specs import device, failures


class Session(Protocol):
    """The part of a pytest session's state that a second run needs."""

    specs: dict[str, tuple[Kata, Exercise]]  # by node id
    broken: set[tuple[Kata, str]]  # exercises of which a spec of the idea failed
    asked: set[tuple[Kata, str]]  # exercises of which a spec has run

    def module_with_graft(
        self, kata: Kata, names: tuple[str, ...]
    ) -> ModuleType | None:
        """The module under test with the reference's code for these names. None without
        a reference.
        """


def again(katas: Session, spec: pytest.Function, error: Exception) -> str:
    """Run a failed spec once more, in a fresh module with the reference's code for used
    exercises that do not work.

    One whose specs have not been asked, because others were chosen, may not work.

    Returns:
        The note for a pass: "with the reference's prepare_mask".
    Raises:
        Exception: the second run's error, which is the exercise's own, if the spec
            fails again. The first error, if all that the exercise uses works.
        NotRun: a used exercise does not work, and there is no reference to replace it.
    """
    kata, exercise = katas.specs[spec.nodeid]
    broken = [name for name in kata.used_by(exercise) if (kata, name) in katas.broken]
    unknown = [
        name for name in kata.used_by(exercise) if (kata, name) not in katas.asked
    ]
    names = grafts.needed(kata, exercise, broken + unknown)
    if (
        not names
        or isinstance(error, (LoadFailure, failures.NotRun))
        or failures.is_unwritten(error, exercise)
    ):
        raise error
    module = katas.module_with_graft(kata, names)
    if module is None:
        raise _waits(broken, error) if broken else error
    state.reset(spec.config.option.seed)
    packages.enter(module)
    own = spec.funcargs["kata"]
    spec.funcargs["kata"] = device.module_of(kata, module)
    try:
        spec.runtest()
    except Exception as own_error:
        raise own_error from None
    finally:
        spec.funcargs["kata"] = own
    return grafts.note(names)


def _waits(broken: list[str], error: Exception) -> failures.NotRun:
    names = ", ".join(broken)
    waiting = failures.NotRun(Failure("waits for", f"waits for {names}", names))
    waiting.__cause__ = error
    return waiting
