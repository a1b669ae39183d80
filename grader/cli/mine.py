"""The command about the learner's own GPT: `mine`."""

import typer

from grader.cli.app import app
from grader.learner import programs

PASSED_ON = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


@app.command(context_settings=PASSED_ON)
def mine(context: typer.Context) -> None:
    """Show the GPT that your own code is part of: what is yours, how it learns, and
    what it writes.
    """
    raise typer.Exit(programs.own_gpt(*context.args))
