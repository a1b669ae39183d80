"""Commands for authors of katas: create one, and regenerate what derives from `solutions/` and kata.toml."""

import subprocess
import sys
from typing import Annotated

import typer

from grader import files
from grader.authoring import new
from grader.cli.app import app, katas, say
from grader.course import pages, papers, stubs
from grader.course.catalogue import ROOT
from grader.errors import NotPossible


@app.command("new")
def new_(name: Annotated[str, typer.Argument(metavar="NAME", help="34_quantization, or mycourse/01_sums")]) -> None:
    """Create a kata with one exercise, to be filled in: see docs/authoring.md."""
    if not (ROOT / "solutions").is_dir():
        raise NotPossible("a new kata needs solutions/, which a starter repository does not have")
    kata = new.create(ROOT, name)
    lesson = [sys.executable, str(kata.folder / "lesson.py"), str(kata.folder / "figure.png")]
    subprocess.run(lesson, cwd=ROOT, stdout=subprocess.DEVNULL)
    say(f"katas/{kata.name} has one exercise, halve. Put yours in its place:")
    say(f"reference  solutions/{kata.file}, then make stubs")
    say(f"specs      {kata.specs.relative_to(ROOT)}")
    say(f"try them   pytest katas/{kata.number} --code solutions")
    say(f"check all  make test KATA={kata.name.rpartition('/')[2]}; what the parts are for: docs/authoring.md")


@app.command(hidden=True)
def generate(
    check: Annotated[bool, typer.Option("--check", help="write nothing; exit code 1 if a file is stale")] = False,
) -> None:
    """Update everything generated: stubs from solutions/, pages from kata.toml, papers' notebooks.

    A stub that contains code already is left alone.
    """
    path = katas(None)
    stale = stubs.stale(path) | pages.stale(path) | papers.stale(path)
    for file, text in stale.items():
        if not check:
            files.write(file, text)
        print(f"{'stale, run make stubs:' if check else 'wrote'} {file.relative_to(ROOT)}")
    if not stale:
        print("everything is up to date")
    elif check:
        raise typer.Exit(1)
