"""Commands for authors of katas: regenerate what derives from `solutions/` and kata.toml."""

from typing import Annotated

import typer

from grader import files
from grader.cli.app import app, katas
from grader.course import pages, stubs
from grader.course.catalogue import ROOT


@app.command(hidden=True)
def generate(
    check: Annotated[bool, typer.Option("--check", help="write nothing; exit code 1 if a file is stale")] = False,
) -> None:
    """Update everything generated: stubs from solutions/; lesson heads, exercise tables and README from kata.toml.

    A stub that contains code already is left alone.
    """
    path = katas(None)
    stale = stubs.stale(path) | pages.stale(path)
    for file, text in stale.items():
        if not check:
            files.write(file, text)
        print(f"{'stale, run make stubs:' if check else 'wrote'} {file.relative_to(ROOT)}")
    if not stale:
        print("everything is up to date")
    elif check:
        raise typer.Exit(1)
