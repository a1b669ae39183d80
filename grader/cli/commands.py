"""The `kata` program: all commands with their lines in its help. Only the command that is called is imported."""

import ast
import itertools
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from grader.cli.app import AUTHORS, app
from grader.course import places

# The panels of the help, with their commands in its order. A learner starts with the ten of the first one.
PANELS: dict[str | None, tuple[str, ...]] = {
    None: ("watch", "hint", "lesson", "solution", "list", "reset", "grade", "mine", "start", "update"),
    "More for learners": ("next", "debug", "trace", "tutor", "undo", "notebook", "ladder", "data", "doctor"),
    "For teachers": ("regrade", "export"),
    AUTHORS: (
        "new",
        "promises",
        "mutants",
        "seals",
        "signatures",
        "snippets",
        "results",
        "stacks",
        "points",
        "diagrams",
        "site",
    ),
}
GRADING = ("list", "watch", "next", "mine", "debug", "trace", "tutor", "grade", "regrade")
ALL = [*itertools.chain(*PANELS.values()), "generate"]  # the last is hidden: make stubs calls it


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


def lines() -> dict[str, str]:
    """The first paragraph of each command's docstring, which is read without importing the command."""
    found = {}
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.FunctionDef(name, decorator_list=[ast.Call(registers, given), *_]):
                    if ast.unparse(registers) in ("app.command", "exports.callback"):
                        paragraph = (ast.get_docstring(node) or "").partition("\n\n")[0]
                        found[ast.literal_eval(given[0]) if given else name.rstrip("_")] = " ".join(paragraph.split())
    return found


class Commands(TyperGroup):
    """The commands as the help lists them, each replaced by the command itself when it is called."""

    def __init__(self, **rest: Any):
        super().__init__(**rest)
        panels = {name: panel for panel, names in PANELS.items() for name in names}
        self.commands = {name: TyperCommand(name, rich_help_panel=panel) for name, panel in panels.items()}
        self.commands["generate"] = TyperCommand("generate", hidden=True)

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


program = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


@program.callback()
def kata() -> None:
    """Learn PyTorch by passing specs. Begin with kata watch."""
