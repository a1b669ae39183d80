"""Functions for notebooks, on the code of the cells.

`check` runs an exercise's specs, `hint` prints the next hint, `trace` shows a call line
by line, and `mine` the learner's own GPT.
"""

import re
import sys
from dataclasses import replace
from functools import partial

from grader import files
from grader.course import catalogue, cells, kata_modules, notebooks, places
from grader.course.catalogue import Kata, with_prerequisites
from grader.course.parts import BY_KATA
from grader.execution import scheduler
from grader.execution.grading import Grading, specs_for
from grader.execution.result_cache import ResultCache
from grader.learner import helping, programs, progress, stepping
from grader.learner.stepping import Followed
from grader.protocol import RunOptions
from grader.reports import words
from grader.results import ExerciseResult, KataResult, SpecResult, title
from grader.workers import forkserver, jobs
from grader.workers.jobs import Job, SourceText

MORE = re.compile(r"kata hint \S+ ([\w.]+)")
_kata: list[Kata] = []  # the notebook's kata, once `use` was called


def use(name: str) -> None:
    """Say which kata the notebook belongs to. Its specs are collected at once, so that
    the first check is quick.

    The lesson's cells run as if they were lesson.py.
    """
    _kata[:] = [catalogue.find(name)]
    main = sys.modules["__main__"]
    main.__file__ = str(_kata[0].folder / "lesson.py")
    sys.argv[:] = [main.__file__]
    places.import_own_tracks()
    forkserver.prepare(_kata)


def check(exercise: str) -> None:
    """Run the exercise's specs on the code of all cells run so far, and print
    the verdict.
    """
    kata = _kata[0]
    result = _result(tuple(specs_for(kata, kata.exercise(exercise))))
    found = [e for e in result.exercises if e.name == exercise]
    print(_said(found[0] if found else None, result.message))


def _result(classes: tuple[str, ...] = ()) -> KataResult:
    """What the specs of these classes, or all, say of the code of the cells."""
    kata = _kata[0]
    code = kata.root / "katas"
    sources = {k: jobs.read(k, code) for k in with_prerequisites([kata])[:-1]} | {
        kata: SourceText(_text())
    }
    grading, cache = (
        Grading([kata], sources, options=RunOptions(only=classes)),
        ResultCache(kata.root),
    )

    def known(job: Job) -> KataResult | None:
        return cache.find(job) if job.kata != kata else None

    for job, result in scheduler.run(partial(grading.ready, known)):
        if job.kata == kata:
            return result
        cache.keep(job, result)
        grading.settle(job.kata, result)
    raise AssertionError("the notebook's kata is always run")


def _text() -> str:
    """The code of all cells run so far, as the kata's file."""
    kata = _kata[0]
    # In has no magics any more
    as_typed = sys.modules["__main__"].get_ipython().history_manager.input_hist_raw[1:]
    return cells.join(as_typed, kata.owners, notebooks.stub(kata), kata.file.name).text


def hint(exercise: str, level: int | None = None) -> None:
    """Print the next hint for an exercise, or the hint of this level."""
    print(MORE.sub(r'hint("\1")', helping.next_hint(_kata[0], exercise, level)))


def trace(exercise: str, call: str | None = None) -> "Picture":
    """A call of the exercise line by line: of its first failing spec, or the one given,
    as text.
    """
    kata, one = _kata[0], _kata[0].exercise(exercise)
    job = progress.job(kata, _text())
    if call is None:
        return Picture(stepping.of_a_spec(kata, one, job))
    return Picture(stepping.of_a_call(kata, one, job, call))


def mine(*options: str) -> None:
    """The learner's own GPT, as `kata mine` shows it with these options, with the code
    of the cells.
    """
    kata = _kata[0]
    folder = kata.root / ".kata" / "cells"
    for one in with_prerequisites(Kata(kata.root, name) for name in BY_KATA):
        files.write(
            folder / one.file,
            _text() if one == kata else kata_modules.read_source(one.code),
        )
    programs.own_gpt("--code", str(folder), *options)


class Picture:
    """What was followed, for the notebook to show: as blocks with shapes, or as lines
    where it shows text alone.
    """

    def __init__(self, followed: Followed):
        self.followed = followed

    def _repr_html_(self) -> str:
        return stepping.html(self.followed)

    def __repr__(self) -> str:
        return "\n".join(stepping.lines(self.followed))


def _said(result: ExerciseResult | None, note: str) -> str:
    if result is None:
        return f"could not be checked: {note}"
    if result.so_far.point:
        return _working(result) + (f" ({note})" if note else "")
    failure = result.first_failure
    if failure is None:
        return f"{result.name}: {words.verdict(result)}"
    if result.not_written:
        return failure.message
    told = words.with_printed(_without_places(failure, result.name), failure.printed)
    return (
        f"FAILED  {result.name} · {title(failure.name)}\n\n{told}\n\n"
        f"{words.verdict(result)}"
    )


def _without_places(failed: SpecResult, exercise: str) -> str:
    """A failure's text without places in the kata's file, which a notebook does
    not have.
    """
    found = failed.failure
    if not found or not found.place:
        return failed.message
    rows = tuple(
        (label, (text.partition(": ")[2] or text) if label == "at" else text)
        for label, text in found.rows
    )
    return replace(
        found,
        rows=rows,
        place=f'hint("{exercise}")\n{found.place.partition(chr(10))[2]}',
    ).text


def _working(result: ExerciseResult) -> str:
    """ "works  split_heads: all 5 specs · ★ open: 1 (works on a view)"."""
    specs = result.ideas if result.open_edges else result.specs
    ran = f"all {len(specs)} specs" if len(specs) > 1 else "its spec"
    works = f"works  {result.name}: {ran}" + (f", {result.note}" if result.note else "")
    return (
        works
        + (" · " if result.open_edges else " ")
        + words.star_line(result, "argument checks")
    )
