"""The command about the learner's own GPT: `mine`."""

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from grader import files
from grader.cli.app import app, say
from grader.course.catalogue import ROOT
from grader.learner import mine as own
from grader.learner import mine_shown


@app.command()
def mine(
    html: Annotated[bool, typer.Option("--html", help=f"write it as a page, {mine_shown.PAGE}")] = False,
    wrong_too: Annotated[
        bool, typer.Option("--wrong-too", help="also use parts that are wrong, to see the text")
    ] = False,
) -> None:
    """Show the GPT that your own code is part of: what is yours, how it learns, and what it writes.

    It trains longer with each exercise of yours. A part of yours runs once its exercises work and agree with the
    course's part on a sample; until then the course's part runs.
    """
    console, there = Console(highlight=False), Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}")
    with Progress(*columns, transient=True, console=there, disable=not there.is_terminal) as bar:
        task = bar.add_task("")
        found = own.look(ROOT, lambda doing: bar.update(task, description=doing), wrong_too=wrong_too)
    mine_shown.show(found, console)
    if html:
        files.write(ROOT / mine_shown.PAGE, mine_shown.html(found))
        say(f"\nThe page is {ROOT / mine_shown.PAGE}")
