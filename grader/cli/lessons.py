"""The commands that show what there is to read: `lesson`, `notebook` and `solution`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grader.cli.app import KATAS, OneKata, app, complete_exercise, say, that_runs
from grader.course import catalogue, handouts, kata_modules
from grader.course.catalogue import ROOT, Kata
from grader.errors import KataError
from grader.learner import helping, history, programs, progress, reading
from grader.learner.screen import Screen


@app.command()
def solution(
    kata: OneKata,
    exercise: Annotated[
        str, typer.Argument(metavar="EXERCISE", autocompletion=complete_exercise)
    ],
    now: Annotated[
        bool, typer.Option("--now", help="show it without taking the hints first")
    ] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="show the reference, which also has the edge cases"
        ),
    ] = False,
    others: Annotated[
        bool, typer.Option("--others", help="show other right solutions instead")
    ] = False,
) -> None:
    """Show the shortest right code of an exercise beside yours, once it works or you
    have taken its hints.
    """
    found = catalogue.find(kata)
    if not now and found.reference.is_file() and helping.hints_left(found, exercise):
        now = _works(found, exercise)
    lines = (
        helping.others(found, exercise, now=now)
        if others
        else helping.solution(found, exercise, now=now, full=full)
    )
    Screen(Console(), has_keys=False).difference(lines)


@app.command()
def lesson(
    kata: OneKata,
    text: Annotated[
        bool, typer.Option("--text", help="show the text only; do not run lesson.py")
    ] = False,
) -> None:
    """Show a kata's lesson in a pager, run its lesson.py, and show the figure if the
    terminal can.
    """
    found = catalogue.find(kata)
    console = Console()
    reading.show(found, console)
    if text:
        return
    that_runs(found)
    figure = ROOT / ".kata" / "figures" / f"{found.name.replace('/', '__')}.png"
    if code := programs.run(found.folder / "lesson.py", str(figure)):
        raise KataError(f"katas/{found.name}/lesson.py ended with exit code {code}")
    if console.is_terminal and figure.exists():
        sys.stdout.write(reading.inline(figure, os.environ))


@app.command()
def notebook(
    kata: OneKata,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="the notebook; default: KATA.ipynb in the kata's folder",
        ),
    ] = None,
    back: Annotated[
        bool,
        typer.Option(
            "--back",
            help="the other direction: write the notebook's code to the kata's file",
        ),
    ] = False,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper",
            help=(
                "a paper's notebook, with your own code where it works; own_KATA.ipynb"
            ),
        ),
    ] = False,
) -> None:
    """Write a kata as a notebook: its lesson, and your code in cells, each followed by
    a check.
    """
    import nbformat

    from grader.course import notebooks
    from grader.learner import doctor as machine
    from grader.learner import paper_notebook

    found = catalogue.find(kata)
    default = (
        handouts.own_notebook_path(found)
        if paper
        else found.folder / f"{found.folder.name}.ipynb"
    )
    path = file or default
    try:
        if paper and back:
            raise KataError(
                "--paper and --back exclude each other: a paper's notebook has no "
                "answers to write back"
            )
        if paper:
            text, whose = paper_notebook.text(found)
            say(history.replace(found, path, text))
            say(whose)
            say(machine.how_to_open(path))
        elif back:
            say(
                history.replace(
                    found, found.code, notebooks.module(notebooks.read(path), found)
                )
            )
        else:
            text = nbformat.writes(
                notebooks.build(
                    found, kata_modules.read_source(found.code), notebooks.origin(ROOT)
                )
            )
            say(history.replace(found, path, text + "\n"))
            say(machine.how_to_open(path))
    except OSError as error:
        raise KataError(f"{error.filename}: {error.strerror}") from None


def _works(kata: Kata, exercise: str) -> bool:
    """Tell if the learner's exercise works. Its specs run if no result is known."""
    return progress.is_working(progress.so_far([kata], KATAS)[kata], exercise)
