"""The commands about one's own code that works: `debug`, `defend` and `trace`."""

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from grader.cli.app import KATAS, OneKata, app, complete_exercise, say, that_runs
from grader.course import catalogue
from grader.course.catalogue import ROOT, Kata
from grader.course.description import Exercise
from grader.errors import KataError
from grader.learner import bug_hunt, defence, progress, stepping
from grader.practice import planting, recorded
from grader.practice.operators import Source


@app.command()
def debug(
    kata: OneKata,
    exercise: Annotated[str | None, typer.Argument(metavar="[EXERCISE]", autocompletion=complete_exercise)] = None,
    line: Annotated[int | None, typer.Option(min=1, help="the line of the bug")] = None,
    call: Annotated[str | None, typer.Option(help="a call that goes wrong: its letter, or one that you write")] = None,
    mended: Annotated[bool, typer.Option("--mended", help="judge the copy, which you have mended")] = False,
    new: Annotated[bool, typer.Option("--new", help="give up on the present bug and plant another one")] = False,
    record: Annotated[Path | None, typer.Option(help="write what you found so far, in every kata, as a CSV")] = None,
) -> None:
    """Find a bug that is planted in a copy of your own code, once an exercise works.

    Name its line and a call on which it goes wrong, then mend the copy in at most three lines. Points, stars and your
    files stay as they are.
    """
    found = that_runs(catalogue.find(kata))
    if record:
        say(bug_hunt.export(ROOT, record))
        return
    hunt = None if new else bug_hunt.current(found)
    if hunt is None:
        hunt = bug_hunt.start(found, _working(found, exercise), recorded.mistakes(found), random.Random())
        say("\n".join(bug_hunt.task(found, hunt)))
        return
    answered = []
    if line is not None:
        hunt, said = bug_hunt.name_line(found, hunt, line)
        answered.append(said)
    if call is not None:
        hunt, said = bug_hunt.name_call(found, hunt, call)
        answered.append(said)
    if mended:
        answered.append(bug_hunt.mend(found, hunt)[1])
    say("\n".join(answered or bug_hunt.task(found, hunt)))


@app.command()
def defend(
    kata: OneKata,
    exercise: Annotated[str | None, typer.Argument(metavar="[EXERCISE]", autocompletion=complete_exercise)] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a page instead, and its key beside it")
    ] = None,
    class_folder: Annotated[
        Path | None, typer.Option("--submissions", metavar="DIR", help="a sheet for each student of a class")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="draw the same questions again")] = None,
) -> None:
    """Answer five questions about your own code. What is right, running it decides.

    With --submissions, --sheet names the folder for the students' pages.
    """
    found = that_runs(catalogue.find(kata))
    drawn = random.randrange(1 << 16) if seed is None else seed
    if class_folder:
        from grader.cli import sheets

        for line in sheets.write(found, class_folder, sheet or Path("sheets"), drawn):
            say(line)
        return
    result = progress.so_far([found], KATAS)[found]
    wanted = [found.exercise(exercise)] if exercise else found.exercises
    works = [one for one in wanted if progress.is_working(result, one.name)]
    if not works:
        raise KataError(f"{exercise or found.number}: does not work yet: the questions are about code that works")
    job = progress.job(found)
    asked = defence.drawn(found, works, job, drawn)
    if sheet:
        say(defence.write(asked, f"{found.number} {found.title}", job.files[found.file], sheet))
    elif sys.stdin.isatty():
        defence.hold(asked, say, lambda: typer.prompt("answer"))
    else:
        for number, (one, question) in enumerate(asked, 1):
            say("\n".join(defence.in_lines(number, one, question)))
    if not sheet and (fewer := defence.why_fewer(asked)):
        say(fewer)
    say(f"kata defend {kata} --seed {drawn} asks the same again")


@app.command()
def trace(
    kata: OneKata,
    exercise: Annotated[str, typer.Argument(metavar="EXERCISE", autocompletion=complete_exercise)],
    call: Annotated[str | None, typer.Option(help="follow this call, not one of the specs")] = None,
) -> None:
    """Follow your code line by line: what each line made, with shapes, and which axis came from which.

    The call is one of the first failing spec. Where a small change of your code passes the specs, the first line whose
    values depart from it is marked.
    """
    found = that_runs(catalogue.find(kata))
    one, job = found.exercise(exercise), progress.job(found)
    if call is None:
        followed = stepping.of_a_spec(found, one, job)
    else:
        followed = stepping.of_a_call(found, one, job, call)
    say("\n".join(stepping.lines(followed)))


def _working(kata: Kata, name: str | None) -> Exercise:
    """The exercise of this name, or one that works and whose bugs have been found least often: a long one first."""
    result = progress.so_far([kata], KATAS)[kata]
    works = [exercise for exercise in kata.exercises if progress.is_working(result, exercise.name)]
    if name and kata.exercise(name) in works:
        return kata.exercise(name)
    if name or not works:
        raise KataError(f"{name or kata.number}: does not work yet: a bug is planted in code that works")
    times = Counter(one["exercise"] for one in bug_hunt.found(ROOT) if one["kata"] == kata.name)
    source = Source(progress.job(kata).files[kata.file])
    short = {one.name: len(planting.span(source, one)) <= planting.SHORT for one in works}
    return min(works, key=lambda exercise: (short[exercise.name], times[exercise.name], random.random()))
