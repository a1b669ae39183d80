"""`kata debug`: a bug in a copy of right code, to be named by its line and a call, and
then mended.
"""

import difflib
import json
import random
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from grader import files, followed
from grader.course import kata_modules
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.errors import NotPossible
from grader.learner import planting, progress, runs
from grader.learner.planting import MOST_LINES, Bug
from grader.protocol import Evaluate, RunOptions
from grader.results import DONE
from grader.workers.jobs import Job

SHORT = 3  # lines of a definition in which there is little to look for
LETTERS = "abcd"


@dataclass(frozen=True)
class Hunt:
    """A bug that is being looked for.

    Attributes:
        offered: calls, of which one goes wrong with the bug; none if the specs make no
            such choice possible.
        line, call: whether they have been found.
    """

    bug: Bug
    offered: tuple[str, ...]
    line: bool = False
    call: bool = False


def start(kata: Kata, name: str | None, drawn: random.Random) -> Hunt:
    """Plant a bug in a copy of right code of an exercise that works: of this name, or a
    drawn one, long ones first.

    Raises:
        NotPossible: nothing works yet, or no recorded mistake fits.
    """
    result = progress.so_far([kata], kata.root / "katas")[kata]
    works = [one for one in kata.exercises if progress.is_working(result, one.name)]
    wanted = [one for one in works if name in (None, one.name)]
    if not wanted:
        named = kata.exercise(name).name if name else kata.number
        raise NotPossible(
            f"{named}: does not work yet: a bug is planted in code that works"
        )
    if not planting.mistakes(kata):
        raise NotPossible(
            "a bug is a mistake that the course has recorded, and a starter without "
            "solutions has none"
        )
    job, unfinished = (
        progress.job(kata),
        [one.name for one in kata.exercises if one not in works],
    )
    in_turn = sorted(
        drawn.sample(wanted, len(wanted)), key=lambda one: _is_short(job, one)
    )
    if bug := planting.plant(kata, in_turn, job, unfinished, drawn):
        return begun(kata, bug, drawn)
    raise NotPossible(
        f"{name or kata.number}: no recorded mistake fits: try another "
        f"{'exercise' if name else 'kata'}"
    )


def _is_short(job: Job, exercise: Exercise) -> bool:
    lines = runs.lines_of(job.files[job.kata.file], exercise)
    return lines is None or lines.last - lines.first < SHORT


def begun(kata: Kata, bug: Bug, drawn: random.Random) -> Hunt:
    """Write the copy with the bug, and what is to be found in it."""
    offered: list[str] = []
    if bug.differing and bug.same:
        offered = [
            drawn.choice(bug.differing),
            *drawn.sample(bug.same, min(len(LETTERS) - 1, len(bug.same))),
        ]
        drawn.shuffle(offered)
    hunt = Hunt(bug, tuple(offered), call=not offered)
    files.write(place(kata), bug.wrong.encode())
    return _noted(kata, hunt)


def place(kata: Kata) -> Path:
    """The copy with the bug."""
    return kata.root / ".kata" / "debug" / kata.name / kata.file.name


def current(kata: Kata) -> Hunt | None:
    """The bug that is being looked for; None if there is none, or its notes cannot
    be read.
    """
    try:
        found = json.loads(
            _notes(kata).read_text(encoding="utf-8"), object_hook=_with_tuples
        )
        return Hunt(**found | {"bug": Bug(**found["bug"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(found) if isinstance(found, list) else found
        for name, found in fields.items()
    }


def task(kata: Kata, hunt: Hunt) -> list[str]:
    """The lines that say what is to be found, and how."""
    lines = [
        (
            f"{hunt.bug.exercise} has one planted bug in a copy of {hunt.bug.whose}, "
            f"{place(kata).relative_to(kata.root)}"
        ),
        "It makes a spec fail:",
        "",
        *textwrap.indent(hunt.bug.failure, "    ").splitlines(),
        "",
    ]
    if not hunt.line:
        lines += ["Which line is wrong?", f"    kata debug {kata.number} --line NUMBER"]
    if not hunt.call:
        lines += ["Which of these calls comes to something else with the bug?"]
        lines += _lettered(hunt.offered)
        example = f"{hunt.bug.exercise.partition('.')[0]}(…)"
        lines += [f"    kata debug {kata.number} --call LETTER, or --call '{example}'"]
    return [
        *lines,
        f"Then mend the copy ({MOST_LINES} lines at most):",
        f"    kata debug {kata.number} --mended",
    ]


def _lettered(calls: Sequence[str]) -> list[str]:
    return [
        f"    {letter}  {call}" for letter, call in zip(LETTERS, calls, strict=False)
    ]


def name_line(kata: Kata, hunt: Hunt, line: int) -> tuple[Hunt, str]:
    """Judge the line that the learner names."""
    if line in hunt.bug.lines:
        return _noted(kata, replace(hunt, line=True)), f"Yes, line {line}."
    return hunt, f"No, line {line} is right."


def name_call(kata: Kata, hunt: Hunt, text: str) -> tuple[Hunt, str]:
    """Judge a call that the learner picks by its letter, or writes: it must come to
    something else with the bug.
    """
    if text in LETTERS[: len(hunt.offered)]:
        right = hunt.offered[LETTERS.index(text)] in hunt.bug.differing
        said = (
            f"Yes, {text}."
            if right
            else f"No, {text} comes to the same with and without the bug."
        )
    else:
        right, said = _differs(kata, hunt, text)
    return (_noted(kata, replace(hunt, call=True)) if right else hunt), said


def mend(kata: Kata, hunt: Hunt) -> tuple[bool, str]:
    """Judge the mended copy: it passes the exercise's specs, and few lines differ from
    those that were planted.

    The copy of a bug that is found is removed.
    """
    try:
        text = kata_modules.read_source(place(kata))
    except Exception as error:
        return False, str(error)
    number = changed_lines(hunt.bug.wrong, text)
    if not number:
        return False, "The copy is as it was planted: mend it first."
    if number > MOST_LINES:
        return (
            False,
            (
                f"{number} lines differ from the copy with the bug. Mending it takes "
                f"{MOST_LINES} at most."
            ),
        )
    exercise = kata.exercise(hunt.bug.exercise)
    options = RunOptions(ideas=True, only=(exercise.spec_class,))
    [run] = runs.of(
        [Job(kata, {**progress.job(kata).files, kata.file: text}, options=options)]
    )
    if failed := next(
        (spec for spec in run.specs.values() if spec.status not in DONE), None
    ):
        return False, f"A spec fails still:\n\n{planting.anonymous(failed)}"
    place(kata).unlink(missing_ok=True)
    _notes(kata).unlink(missing_ok=True)
    return (
        True,
        f"Mended, with {number} changed lines."
        if number > 1
        else "Mended, with 1 changed line.",
    )


def changed_lines(before: str, after: str) -> int:
    """How many lines one must write or remove to come from one text to the other."""
    matcher = difflib.SequenceMatcher(
        None, before.splitlines(), after.splitlines(), autojunk=False
    )
    return sum(
        max(b - a, d - c) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"
    )


def _differs(kata: Kata, hunt: Hunt, expression: str) -> tuple[bool, str]:
    base = progress.job(kata)
    options = RunOptions(also=Evaluate(expression))
    texts = (hunt.bug.right, hunt.bug.wrong)
    one, other = (
        next(iter(run.calls.get("", [])), None)
        for run in runs.of(
            Job(kata, {**base.files, kata.file: text}, options=options)
            for text in texts
        )
    )
    if one is None or other is None:
        return False, f"{expression}: it ended the process"
    if one.raised and one.raised == other.raised:
        return False, f"{expression} raises with and without the bug: {one.raised}"
    if followed.same_outcome(one, other):
        return False, f"{expression} comes to the same with and without the bug."
    return True, f"Yes: {_shown(one)} without the bug, {_shown(other)} with it."


def _shown(call: followed.Call) -> str:
    return call.raised or (call.returned.text if call.returned else "nothing")


def _noted(kata: Kata, hunt: Hunt) -> Hunt:
    files.write(_notes(kata), json.dumps(asdict(hunt)).encode())
    return hunt


def _notes(kata: Kata) -> Path:
    return place(kata).with_name("hunt.json")
