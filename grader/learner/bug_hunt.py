"""`kata debug`: a bug in a copy of the learner's own code, to be named by its line and a call, and then mended."""

import csv
import difflib
import json
import random
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from grader import files, followed
from grader.course import kata_modules
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.errors import NotPossible
from grader.learner import progress
from grader.practice import debugging, runs
from grader.practice.planting import Version
from grader.protocol import RunOptions
from grader.reports.words import counted
from grader.workers.jobs import Job

MOST_LINES = 3  # that mending may change
LETTERS = "abcd"
COLUMNS = ("kata", "exercise", "line", "call", "wrong_answers", "when")


@dataclass(frozen=True)
class Hunt:
    """A bug that is being looked for.

    Attributes:
        bug: what is planted.
        own: the learner's file, which works.
        offered: calls, of which one goes wrong with the bug; none if the specs make no such choice possible.
        line, call: whether they have been found.
        answers: wrong ones so far.
    """

    kata: str
    bug: debugging.Bug
    own: str
    offered: tuple[str, ...]
    line: bool = False
    call: bool = False
    answers: int = 0


def start(kata: Kata, exercise: Exercise, mistakes: Sequence[Version], drawn: random.Random) -> Hunt:
    """Plant a bug in a copy of the learner's code of an exercise that works.

    Raises:
        NotPossible: no change of the code makes a spec of the exercise fail.
    """
    bug = debugging.plant(kata, exercise, progress.job(kata), mistakes, drawn)
    if bug is None:
        raise NotPossible(f"{exercise.name}: no bug could be planted in your code: try another exercise")
    offered: list[str] = []
    if bug.wrong and bug.right:
        offered = [drawn.choice(bug.wrong), *drawn.sample(bug.right, min(len(LETTERS) - 1, len(bug.right)))]
        drawn.shuffle(offered)
    hunt = Hunt(kata.name, bug, kata_modules.read_source(kata.code), tuple(offered), call=not offered)
    files.write(place(kata), bug.text.encode())
    save(kata, hunt)
    return hunt


def place(kata: Kata) -> Path:
    """The copy with the bug."""
    return kata.root / ".kata" / "debug" / kata.name / kata.file.name


def current(kata: Kata) -> Hunt | None:
    """The bug that is being looked for; None if there is none, or its notes cannot be read."""
    try:
        found = json.loads(_notes(kata).read_text(encoding="utf-8"), object_hook=_with_tuples)
        return Hunt(**found | {"bug": debugging.Bug(**found["bug"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(found) if isinstance(found, list) else found for name, found in fields.items()}


def save(kata: Kata, hunt: Hunt) -> None:
    files.write(_notes(kata), json.dumps(asdict(hunt)).encode())


def task(kata: Kata, hunt: Hunt) -> list[str]:
    """The lines that say what is to be found, and how."""
    where = f"{place(kata).relative_to(kata.root)}"
    lines = [
        f"{hunt.bug.exercise}: one bug is planted in a copy of your code, {where}",
        "It makes a spec fail:",
        "",
        *textwrap.indent(hunt.bug.failure, "    ").splitlines(),
        "",
    ]
    if not hunt.line:
        lines += ["Which line is wrong?", f"    kata debug {kata.number} --line NUMBER"]
    if not hunt.call:
        lines += ["Which of these calls comes to something else with the bug?"]
        lines += [f"    {letter}  {call}" for letter, call in zip(LETTERS, hunt.offered, strict=False)]
        lines += [f"    kata debug {kata.number} --call LETTER, or --call '{_example(kata, hunt)}'"]
    return [*lines, f"Then mend the copy ({MOST_LINES} lines at most):", f"    kata debug {kata.number} --mended"]


def _example(kata: Kata, hunt: Hunt) -> str:
    return f"{kata.exercise(hunt.bug.exercise).owner}(…)"


def name_line(kata: Kata, hunt: Hunt, line: int) -> tuple[Hunt, str]:
    """Judge the line that the learner names."""
    if line in hunt.bug.lines:
        return _noted(kata, replace(hunt, line=True)), f"Yes, line {line}."
    return _noted(kata, replace(hunt, answers=hunt.answers + 1)), f"No, line {line} is as you wrote it."


def name_call(kata: Kata, hunt: Hunt, text: str) -> tuple[Hunt, str]:
    """Judge a call that the learner picks by its letter, or writes: it must come to something else with the bug."""
    if text in LETTERS[: len(hunt.offered)]:
        right = hunt.offered[LETTERS.index(text)] in hunt.bug.wrong
        said = f"Yes, {text}." if right else f"No, {text} comes to the same with and without the bug."
    else:
        right, said = _differs(kata, hunt, text)
    found = replace(hunt, call=True) if right else replace(hunt, answers=hunt.answers + 1)
    return _noted(kata, found), said


def mend(kata: Kata, hunt: Hunt) -> tuple[bool, str]:
    """Judge the mended copy: it passes the exercise's specs, and few lines differ from those that were planted.

    A bug that is found is put on record, and its copy is removed.
    """
    try:
        text = kata_modules.read_source(place(kata))
    except Exception as error:
        return False, str(error)
    number = changed_lines(hunt.bug.text, text)
    if not number:
        return False, "The copy is as it was planted: mend it first."
    if number > MOST_LINES:
        return False, f"{number} lines differ from the copy with the bug. Mending it takes {MOST_LINES} at most."
    exercise = kata.exercise(hunt.bug.exercise)
    options = RunOptions(ideas=True, only=(exercise.spec_class,))
    [run] = runs.of([Job(kata, {**progress.job(kata).files, kata.file: text}, options=options)])
    if failed := next((spec for spec in run.specs.values() if spec.status not in ("passed", "skipped")), None):
        return False, f"A spec fails still:\n\n{debugging.anonymous(failed.message)}"
    _record(kata, hunt)
    place(kata).unlink(missing_ok=True)
    _notes(kata).unlink(missing_ok=True)
    return True, f"Mended, with {number} changed lines." if number > 1 else "Mended, with 1 changed line."


def changed_lines(before: str, after: str) -> int:
    """How many lines one must write or remove to come from one text to the other."""
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    return sum(max(b - a, d - c) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal")


def found(root: Path) -> list[dict[str, str | int]]:
    """The bugs found so far, oldest first."""
    try:
        lines = (root / ".kata" / "debug" / "found.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return []


def export(root: Path, path: Path) -> str:
    """Write the bugs found so far as a CSV. Returns a sentence that says what was written."""
    rows = found(root)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return f"wrote {counted(len(rows), 'bug')} to {path}"


def _differs(kata: Kata, hunt: Hunt, expression: str) -> tuple[bool, str]:
    base = progress.job(kata)
    options = RunOptions(asked=expression)
    texts = (hunt.own, hunt.bug.text)
    one, other = (
        next(iter(run.calls.get("", [])), None)
        for run in runs.of(Job(kata, {**base.files, kata.file: text}, options=options) for text in texts)
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
    save(kata, hunt)
    return hunt


def _record(kata: Kata, hunt: Hunt) -> None:
    path = kata.root / ".kata" / "debug" / "found.jsonl"
    line = {
        "kata": kata.name,
        "exercise": hunt.bug.exercise,
        "line": hunt.line,
        "call": hunt.call and bool(hunt.offered),
        "wrong_answers": hunt.answers,
        "when": datetime.now().isoformat(timespec="seconds"),
    }
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    files.write(path, f"{before}{json.dumps(line)}\n".encode())


def _notes(kata: Kata) -> Path:
    return place(kata).with_name("hunt.json")
