"""Reproduces what a student objects to, as a submission is graded, and keeps a way of writing that is right."""

import ast
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import indent

from grader import files, printable
from grader.course import cells, places
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.course.statements import UNREADABLE
from grader.errors import KataError, NotPossible
from grader.execution import disputes, grading
from grader.execution.disputes import Dispute
from grader.protocol import RunOptions
from grader.reports import words
from grader.reports.unconfirmed import COLUMNS
from grader.results import ExerciseResult, title
from grader.workers.jobs import SourceText

LINES = 40  # of a failure that are shown
NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")


def reproduce(dispute: Dispute, options: RunOptions) -> ExerciseResult:
    """Grade the exercise as it is in the dispute, in processes of its own.

    Raises:
        KataError: it could not be graded.
    """
    kata, exercise = dispute.find()
    return _graded(kata, exercise, dispute.sources(kata), replace(options, seed=dispute.seed))


def lines(dispute: Dispute, here: ExerciseResult) -> Iterator[str]:
    """For a terminal: the verdicts there and here, whether the failure is reproduced, and how to decide."""
    yield f"{dispute.kata} · {dispute.exercise}, objected to at {_shown(dispute.made)}"
    if dispute.why:
        yield f"  why    {_shown(dispute.why)}"
    yield f"  there  {_shown(dispute.verdict)}{_first(dispute.failed)}"
    yield f"  here   {words.verdict(here)}{_first(here.first_failure.name if here.first_failure else '')}"
    yield f"  {_conclusion(dispute, here)}"
    yield from (f"  {line}" for line in _differences(dispute))
    if told := words.details(here) if not here.works else "":
        yield from ["", *indent(_cut(told), "  ").splitlines()]
    if not here.works and dispute.message and here.first_failure and _message(here) != dispute.message:
        yield from ["", "  there it said", "", *indent(_cut(printable.text(dispute.message)), "    ").splitlines()]
    yield ""
    yield "To decide, fill in a line of --overrides FILE: the student's id, 1 or 0, and your reason."
    yield from indent(_row(dispute), "  ").splitlines()


def keep(dispute: Dispute, here: ExerciseResult, name: str) -> Path:
    """Write the exercise's code as an accepted solution. Returns its path.

    Raises:
        KataError: the name is wrong or taken, or the code does not define the exercise.
    """
    kata, exercise = dispute.find()
    path = kata.author / "accepted" / f"{name}.py"
    if not NAME.fullmatch(name):
        raise KataError(f"--keep {name}: write a name such as split_by_view, in lower case")
    if not kata.reference.is_file() or places.is_workspace(kata.root):
        raise NotPossible(f"--keep needs the reference of {kata.number}, which is not here: use the course's own tree")
    if path.exists():
        raise KataError(f"--keep {name}: {kata.number} has an accepted solution of this name already")
    edges = sorted({spec.name.partition("[")[0].rpartition("::")[2] for spec in here.open_edges if not spec.hidden})
    head = f'"""{exercise.name} as a student wrote it, whose objection was upheld."""\n'
    left_open = "".join(f"# leaves open: {edge}\n" for edge in edges)
    code = definitions(dispute.code, exercise, kata)
    files.write(path, f"{head}{f'{chr(10)}{left_open}' if left_open else ''}\n\n{code}")
    return path


def kept_works(path: Path, dispute: Dispute, options: RunOptions) -> ExerciseResult:
    """The result of an accepted solution: the reference with this code behind it."""
    kata, exercise = dispute.find()
    text = f"{kata.reference.read_text(encoding='utf-8')}\n\n{path.read_text(encoding='utf-8')}"
    return _graded(kata, exercise, dispute.sources(kata) | {kata: SourceText(text)}, options)


def definitions(module: str, exercise: Exercise, kata: Kata) -> str:
    """The statements of a module that define an exercise, and those that it uses and the reference does not have.

    Raises:
        KataError: the module does not parse, or does not define the exercise.
    """
    try:
        tree = ast.parse(module)
        given = ast.parse(kata.reference.read_text(encoding="utf-8"))
    except UNREADABLE as error:
        raise KataError(f"{kata.file.name} does not parse, so nothing is kept: {printable.line(str(error))}") from None
    binding = {name: statement for statement in tree.body for name in cells.bound(statement)}
    if exercise.owner not in binding:
        raise KataError(f"{kata.file.name} does not define {exercise.owner}, so nothing is kept")
    others = {one.owner for one in kata.exercises} - {exercise.owner}
    known = {name: ast.dump(statement) for statement in given.body for name in cells.bound(statement)}
    wanted, chosen = [exercise.owner], set[ast.stmt]()
    while wanted:
        name = wanted.pop()
        statement = binding.get(name)
        if statement is None or statement in chosen:
            continue
        if name == exercise.owner or (name not in others and known.get(name) != ast.dump(statement)):
            chosen.add(statement)
            wanted += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
    texts = module.splitlines()
    parts = [
        "\n".join(texts[cells.decorated_line(one) - 1 : one.end_lineno])
        for one in tree.body
        if one in chosen or (isinstance(one, ast.ImportFrom) and "*" in cells.bound(one))
    ]
    return "\n\n\n".join(parts) + "\n"


def _graded(kata: Kata, exercise: Exercise, sources: dict[Kata, SourceText], options: RunOptions) -> ExerciseResult:
    only = replace(options, only=tuple(grading.specs_for(kata, exercise)))
    [result] = grading.grade_sources([kata], sources, kata.code, options=only)
    found = next((one for one in result.exercises if one.name == exercise.name), None)
    if found is None or found.not_graded:
        raise KataError(f"{kata.name} was not graded: {result.why_not_graded or 'it has no specs'}")
    return found


def _conclusion(dispute: Dispute, here: ExerciseResult) -> str:
    """One line on whether the failure is reproduced."""
    if here.unconfirmed:
        return "unconfirmed: it works beside the specs here, and the second lock does not give the point"
    if here.works:
        return "not reproduced: it works here" if dispute.failed else "it works there and here"
    if not dispute.failed:
        return "it works there, and fails here"
    failure = here.first_failure
    if failure is None or failure.name != dispute.failed:
        return "reproduced in part: it fails here, too, at another spec"
    return "reproduced" if _message(here) == dispute.message else "reproduced: the same spec fails, in other words"


def _differences(dispute: Dispute) -> Iterator[str]:
    """The versions and the platform where they are others there than here."""
    mine = {**disputes.versions(), "platform": disputes.platform.platform()}
    theirs = {**dispute.versions, "platform": dispute.platform}
    for name in mine:
        if name in theirs and theirs[name] != mine[name]:
            yield f"{name} is {_shown(theirs[name])} there, {mine[name]} here"


def _message(result: ExerciseResult) -> str:
    failure = result.first_failure
    return disputes.shown(failure) if failure else ""


def _first(spec: str) -> str:
    return f", first at: {_shown(title(spec))}" if spec else ""


def _row(dispute: Dispute) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([COLUMNS, ["", f"{dispute.kata}::{dispute.exercise}", "", ""]])
    return file.getvalue()


def _shown(text: str) -> str:
    return printable.line(text)[:200]


def _cut(text: str) -> str:
    told = text.splitlines()
    return "\n".join(told if len(told) <= LINES else [*told[:LINES], "…"])
