"""The boundary around the work for one submission: whatever is raised inside costs that
submission alone.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from grader import printable
from grader.course.catalogue import Kata
from grader.errors import KataError
from grader.protocol import RunOptions
from grader.results import ExerciseResult, KataResult, Reason, SpecResult

GRADER = Path(__file__).parents[1]
LONGEST = 200  # characters of what an exception says


@contextmanager
def costs_only(lose: Callable[[str], object] = lambda why: None) -> Iterator[None]:
    """Hand the reason to `lose` if the block raises. Ctrl-C still ends everything."""
    try:
        yield
    except (Exception, SystemExit) as error:
        lose(reason(error))


@contextmanager
def one_line() -> Iterator[None]:
    """Around the work for a single submission: whatever is raised becomes an error of
    one line.

    Raises:
        KataError: the block raised something. What the command line knows how to tell
            is raised as it is.
    """
    try:
        yield
    except (KataError, OSError):
        raise
    except (Exception, SystemExit) as error:
        # for which rich ends the program
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from None
        raise KataError(
            f"not graded: {reason(error)}: this is an error of the grader, not of the "
            "graded code"
        ) from None


def reason(error: BaseException) -> str:
    """One line on what was raised, and where in the grader: "MemoryError
    (teaching/attribution.py:223)".
    """
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return printable.line(f"{Path(error.filename).name}: {error.strerror}")
    said = printable.line(str(error))[:LONGEST]
    if isinstance(error, KataError):
        return said
    places = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [
        f"{Path(name).relative_to(GRADER).as_posix()}:{line}"
        for name, line in places
        if _is_ours(name)
    ]
    return (
        f"{type(error).__name__}{f': {said}' if said else ''}"
        f"{f' ({own[-1]})' if own else ''}"
    )


def not_graded(kata: Kata, why: str, options: RunOptions) -> KataResult:
    """The result of a kata that is not graded by a fault: for every exercise that was
    asked for, the reason.
    """
    only = {name.partition("::")[0] for name in options.only}
    asked = [one for one in kata.exercises if not (options.core and one.stretch)]
    exercises = tuple(
        ExerciseResult(
            one.name,
            (SpecResult(one.spec_class, "not graded", why),),
            one.stretch,
            reason=Reason.FAULT,
        )
        for one in asked
        if not only or one.spec_class in only
    )
    return KataResult(kata.name, exercises)


def _is_ours(file: str) -> bool:
    return file.startswith(str(GRADER)) and file != __file__
