"""The commands about code that runs: `debug` and `trace`."""

import random
from typing import Annotated

import typer

from grader.cli.app import (
    MaybeKata,
    OneKata,
    app,
    complete_exercise,
    katas,
    say,
    that_runs,
)
from grader.cli.learner import here
from grader.course import catalogue
from grader.learner import bug_hunt, progress, stepping


@app.command()
def debug(
    kata: OneKata,
    exercise: Annotated[
        str | None,
        typer.Argument(metavar="[EXERCISE]", autocompletion=complete_exercise),
    ] = None,
    line: Annotated[int | None, typer.Option(min=1, help="the line of the bug")] = None,
    call: Annotated[
        str | None,
        typer.Option(help="a call that goes wrong: its letter, or one that you write"),
    ] = None,
    mended: Annotated[
        bool, typer.Option("--mended", help="judge the copy, which you have mended")
    ] = False,
    new: Annotated[
        bool,
        typer.Option("--new", help="give up on the present bug and plant another one"),
    ] = False,
) -> None:
    """Find a mistake that people make, planted in a copy of an exercise that works.

    The copy is of your file, or of a solution where your file has no such line. Name
    the line, and a call that goes wrong where some are offered. Then mend the copy in
    at most three lines. Until you have, the bug stays the same. Points, stars and your
    files stay as they are.
    """
    found = that_runs(catalogue.find(kata))
    hunt = None if new else bug_hunt.current(found)
    if hunt is None:
        say(
            "\n".join(
                bug_hunt.task(found, bug_hunt.start(found, exercise, random.Random()))
            )
        )
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
def trace(
    kata: MaybeKata = None,
    exercise: Annotated[
        str | None,
        typer.Argument(metavar="[EXERCISE]", autocompletion=complete_exercise),
    ] = None,
    call: Annotated[
        str | None, typer.Option(help="follow this call, such as 'split_heads(x, 2)'")
    ] = None,
) -> None:
    """Follow your code line by line: what each line made, with shapes, and which axis
    came from which.

    Without EXERCISE or KATA: for the one where you are. Without --call, the last call
    in the first spec that fails is followed; if none fails, the first call in the
    first spec.
    """
    if kata and exercise:
        found = catalogue.find(kata)
    else:
        found, result = here(katas([kata] if kata else None))
        exercise = progress.current(found, result)
    one, job = that_runs(found).exercise(exercise), progress.job(found)
    if call is None:
        followed = stepping.of_a_spec(found, one, job)
    else:
        followed = stepping.of_a_call(found, one, job, call)
    say("\n".join(stepping.lines(followed)))
