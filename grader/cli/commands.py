"""The `kata` program: all commands with their lines in its help. Only the command that
is called is imported.
"""

import ast
import importlib
import itertools
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from grader.cli.app import AUTHORS, app
from grader.course import places
from grader.errors import KataError

# The panels of the help, with their commands in its order. A learner starts with the
# ten of the first one.
PANELS: dict[str | None, tuple[str, ...]] = {
    None: (
        "watch",
        "hint",
        "lesson",
        "solution",
        "list",
        "reset",
        "grade",
        "mine",
        "start",
        "update",
    ),
    "More for learners": (
        "next",
        "review",
        "debug",
        "trace",
        "tutor",
        "undo",
        "notebook",
        "ladder",
        "data",
        "doctor",
    ),
    "For teachers": ("class", "regrade", "export"),
    AUTHORS: (
        "new",
        "promises",
        "mutants",
        "seals",
        "snippets",
        "results",
        "stacks",
        "points",
        "diagrams",
        "site",
    ),
}
# the authors' tools: in a checkout alone
WORKSHOP = Path(__file__).parents[2] / "workshop"
GRADING = (
    "list",
    "watch",
    "next",
    "review",
    "mine",
    "debug",
    "trace",
    "tutor",
    "grade",
    "class",
    "regrade",
)
# the last is hidden: make stubs calls it
ALL = [*itertools.chain(*PANELS.values()), "generate"]


def load(name: str) -> None:
    """Import the module of this command, which registers it."""
    match name:
        case "start" | "update" | "doctor" | "data":
            module = "grader.cli.installation"
        case "debug" | "trace":
            module = "grader.cli.practice"
        case "lesson" | "notebook" | "solution":
            module = "grader.cli.lessons"
        case "class":
            module = "grader.cli.class_"
        case "mine" | "tutor" | "ladder" | "grade" | "regrade" | "export":
            module = f"grader.cli.{name}"
        case "list" | "watch" | "next" | "review" | "hint" | "reset" | "undo":
            module = "grader.cli.learner"
        case _ if not WORKSHOP.is_dir():
            raise KataError(
                f"kata {name} is for who works on the course: it is in a checkout alone"
            )
        case _:
            module = "workshop.commands"
    importlib.import_module(module)
    if name == "export" and WORKSHOP.is_dir():
        importlib.import_module("workshop.inspect_tasks")


def lines() -> dict[str, str]:
    """The first paragraph of each command's docstring, which is read without importing
    the command.
    """
    found = {}
    for path in (*Path(__file__).parent.glob("*.py"), *WORKSHOP.glob("commands.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.FunctionDef(
                    name, decorator_list=[ast.Call(registers, given), *_]
                ):
                    if ast.unparse(registers) in ("app.command", "exports.callback"):
                        paragraph = (ast.get_docstring(node) or "").partition("\n\n")[0]
                        found[
                            ast.literal_eval(given[0]) if given else name.rstrip("_")
                        ] = " ".join(paragraph.split())
    return found


class Commands(TyperGroup):
    """The commands as the help lists them, each replaced by the command itself when it
    is called.
    """

    def __init__(self, **rest: Any):
        super().__init__(**rest)
        shown = {
            panel: names
            for panel, names in PANELS.items()
            if panel != AUTHORS or WORKSHOP.is_dir()
        }
        panels = {name: panel for panel, names in shown.items() for name in names}
        self.commands = {
            name: TyperCommand(
                name, rich_help_panel=panels.get(name), hidden=name not in panels
            )
            for name in ALL
        }

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, for the help and for completion, which show a line of each."""
        for name, line in lines().items():
            self.commands[name].help = line
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in self.commands:
            load(args[0])
            if args[0] in GRADING and (line := places.elsewhere(places.root())):
                print(line, file=sys.stderr)
            self.commands[args[0]] = typer.main.get_group(app).commands[args[0]]
        return super().resolve_command(ctx, args)


program = typer.Typer(
    cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False
)


@program.callback()
def kata() -> None:
    """Learn PyTorch by passing specs. Begin with kata watch."""
