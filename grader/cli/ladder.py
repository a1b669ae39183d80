"""The command `ladder`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from grader.cli.app import app
from grader.course.catalogue import ROOT
from grader.learner import ladder as measured
from grader.learner import reading


@app.command()
def ladder(
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="where to draw; default: .kata/figures/"),
    ] = None,
) -> None:
    """Show what each idea between GPT-2 and today's record brings a tiny model, and
    what it is known to bring 124M.
    """
    levels = measured.measured(measured.results())
    path = picture or ROOT / ".kata" / "figures" / "ladder.png"
    console, tables = Console(), measured.tables(levels)
    if console.is_terminal:
        console.print(Markdown(tables))
    else:
        print(tables)
    measured.draw(levels, path)
    print(
        "\n"
        f"The figure is in {path}. Any rung can be left out: train_gpt2.py --recipe "
        "speedrun --without bigram"
    )
    if console.is_terminal:
        sys.stdout.write(reading.inline(path, os.environ))
