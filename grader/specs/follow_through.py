"""Follow-through: a mistake costs its own exercise, not those that use it."""

from types import ModuleType
from typing import Protocol

import pytest

from grader.course import packages
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.errors import LoadFailure
from grader.isolation import state
from grader.specs import failures


class Session(Protocol):
    """The part of a pytest session's state that a second run needs."""

    specs: dict[str, tuple[Kata, Exercise]]  # by node id
    broken: set[tuple[Kata, str]]  # exercises of which a spec of the idea failed

    def module_with_reference(self, kata: Kata, names: tuple[str, ...]) -> ModuleType | None:
        """The module under test with the reference's definitions of these names. None without a reference."""


def again(katas: Session, spec: pytest.Function, error: Exception) -> str:
    """Run a failed spec once more, in a fresh module with the reference's code for the exercises that are used.

    Returns:
        The note for a pass: "with the reference's prepare_mask".
    Raises:
        Exception: the second run's error, which is the exercise's own, if the spec fails again. The first error, if the
            spec does not depend on another exercise.
        NotRun: a used exercise does not work, and there is no reference to replace it.
    """
    kata, exercise = katas.specs[spec.nodeid]
    used = kata.used_by(exercise)
    broken = tuple(name for name in used if (kata, name) in katas.broken)
    if not used or isinstance(error, (LoadFailure, failures.NotRun)) or failures.is_unwritten(error, exercise):
        raise error
    module = katas.module_with_reference(kata, broken or used)
    if module is None:
        raise _waits(broken, error) if broken else error
    state.reset(spec.config.option.seed)
    packages.enter(module)
    own = spec.funcargs["kata"]
    spec.funcargs["kata"] = module
    try:
        spec.runtest()
    except Exception as own_error:
        raise own_error from None
    finally:
        spec.funcargs["kata"] = own
    return f"with the reference's {', '.join(broken or used)}"


def _waits(broken: tuple[str, ...], error: Exception) -> failures.NotRun:
    waiting = failures.NotRun(f"waits for {', '.join(broken)}")
    waiting.__cause__ = error
    return waiting
