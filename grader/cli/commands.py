"""The `kata` program: all commands with their lines in its help. Only the command that is called is imported."""

import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from grader.cli.app import AUTHORS, app
from grader.course import places

# The first paragraph of each command's docstring.
LINES = {
    "start": "Lay out a folder to work in, with the katas and nothing else. Without --venv, this environment runs it.",
    "list": "List the path: a line per chapter, and the katas of the chapter where you are.",
    "watch": "Run the specs on every save and show what to do next. Without KATA, or in a track, start where you are.",
    "next": "Show the next core exercise from where you are, its first failure, and the commands for it.",
    "hint": "Show the next hint for an exercise. Without EXERCISE or KATA: for the one where you are.",
    "solution": "Show the shortest right code of an exercise beside yours, once it works or you have taken its hints.",
    "mine": "Show the GPT that your own code is part of: what is yours, how it learns, and what it writes.",
    "debug": "Find a mistake that people make, planted in a copy of right code, once an exercise works.",
    "trace": "Follow your code line by line: what each line made, with shapes, and which axis came from which.",
    "tutor": "Serve the katas to an assistant, which can ask for what helps you and for no solution.",
    "reset": "Put a kata's stub back. Your version is kept; `kata undo` restores it.",
    "undo": "Restore the version of your code that the last reset kept.",
    "lesson": "Show a kata's lesson in a pager, run its lesson.py, and show the figure if the terminal can.",
    "ladder": "Show what each idea between GPT-2 and today's record brings a tiny model, and what it is known to bring"
    " 124M.",
    "notebook": "Write a kata as a notebook: its lesson, and your code in cells, each followed by a check.",
    "update": "Install a newer version of the course: its lessons, specs and grader. What you wrote is kept.",
    "doctor": "Check this machine: Python, packages, devices, isolation, data and disk.",
    "data": "List the larger, optional data sets, or download one into data/.",
    "grade": "Run the specs in isolated processes and count points and stars.",
    "regrade": "Grade a class again, and show every student whose score changes and why. Earlier overrides still"
    " count.",
    "export": "Write what a course hands out and grades with. An earlier export is updated; students' work is kept.",
}
FOR_AUTHORS = {
    "new": "Create a kata that keeps its promises, with one exercise to be replaced: see docs/authoring.md.",
    "promises": "Check every promise of a kata. Without KATA: of those that have changed since they last kept their"
    " promises.",
    "mutants": "Measure how many generated mutants of the reference the specs catch. Without KATA: a line per kata.",
    "seals": "Find anew which specs also judge from another process, and write sealed.toml.",
    "signatures": "Record what each mistake looks like over all specs of its exercise, where a kata has changed.",
    "snippets": "Run a lesson's snippets and write what they print below them.",
    "results": "Repeat the key results of a kata, or of a whole track, over five seeds.",
    "stacks": "Run a kata's reference on other right solutions of the katas that it builds on.",
    "points": "Show what the textbook solution and the unguarded reference earn, and how long the docstrings are.",
    "diagrams": "Draw the lessons' diagrams whose source has changed.",
    "site": "Build the course's web site in build/site, with the extra `site` that make site installs.",
}
PANELS = {  # of the help, but for the ten commands that a learner starts with
    **dict.fromkeys(
        ("next", "debug", "trace", "tutor", "undo", "ladder", "notebook", "doctor", "data"), "More for learners"
    ),
    **dict.fromkeys(("regrade", "export"), "For teachers"),
}
GRADING = (
    "list",
    "watch",
    "next",
    "mine",
    "debug",
    "trace",
    "tutor",
    "grade",
    "regrade",
)
ALL = [*LINES, *FOR_AUTHORS, "generate"]  # the last is hidden: make stubs calls it


def load(name: str) -> None:
    """Import the module of this command, which registers it."""
    match name:
        case "start" | "update" | "doctor" | "data":
            import grader.cli.installation
        case "mine":
            import grader.cli.mine
        case "debug" | "trace":
            import grader.cli.practice
        case "tutor":
            import grader.cli.tutor
        case "lesson" | "notebook" | "solution":
            import grader.cli.lessons
        case "ladder":
            import grader.cli.ladder
        case "grade":
            import grader.cli.grade
        case "regrade":
            import grader.cli.regrade
        case "export":
            import grader.cli.export
        case "list" | "watch" | "next" | "hint" | "reset" | "undo":
            import grader.cli.learner
        case _:
            import grader.cli.author  # noqa: F401


class Commands(TyperGroup):
    """The commands as the help lists them, each replaced by the command itself when it is called."""

    def __init__(self, **rest: Any):
        super().__init__(**rest)
        self.commands = {
            **{name: TyperCommand(name, help=line, rich_help_panel=PANELS.get(name)) for name, line in LINES.items()},
            **{name: TyperCommand(name, help=line, rich_help_panel=AUTHORS) for name, line in FOR_AUTHORS.items()},
            "generate": TyperCommand("generate", hidden=True),
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in self.commands:
            load(args[0])
            if args[0] in GRADING and (line := places.elsewhere(places.root())):
                print(line, file=sys.stderr)
            self.commands[args[0]] = typer.main.get_group(app).commands[args[0]]
        return super().resolve_command(ctx, args)


program = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


@program.callback()
def kata() -> None:
    """Learn PyTorch by passing specs. Begin with kata watch."""
