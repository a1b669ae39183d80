"""Where commands are registered, and the options and output helpers that they share."""

import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeVar, get_type_hints

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from grader.course import catalogue
from grader.course.catalogue import ROOT, Kata
from grader.errors import KataError
from grader.reports import layout

INTERRUPTED = 130  # exit code after Ctrl-C
KATAS = ROOT / "katas"

AUTHORS = "For authors"  # the panel of their commands in the help

app = typer.Typer()


Options = TypeVar("Options")


def with_options(
    options: type[Options],
) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Give a command a parameter per field of this dataclass, and hand them over as
    one value.
    """

    def given(command: Callable[[Options], None]) -> Callable[..., None]:
        def run(**values: object) -> None:
            command(options(**values))

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = get_type_hints(options, include_extras=True)
        run.__signature__ = inspect.signature(options)  # type: ignore[attr-defined]
        return run

    return given


def katas(queries: Iterable[str] | None, root: Path = ROOT) -> list[Kata]:
    """The katas that the queries name, each once: one per query, or a whole track. All
    katas without queries.

    Raises:
        KataError: a query names no kata, or there are no katas here.
    """
    known = catalogue.all_katas(root)
    if not known:
        raise KataError(catalogue.none_in(root))
    if not queries:
        return known
    return list(
        dict.fromkeys(
            kata for query in queries for kata in catalogue.matching(query, root)
        )
    )


def that_runs(kata: Kata) -> Kata:
    """The kata, if this machine has what its specs need.

    Raises:
        KataError: it has not.
    """
    if lack := kata.description.lack:
        raise KataError(f"{kata.number}: {lack}")
    return kata


def say(text: str) -> None:
    """Print the text. On a terminal, wrap it between words."""
    console = Console()
    print(
        layout.wrapped(text, console.width, indent=0) if console.is_terminal else text
    )


def bar(doing: str, what: str = "katas", *, left: bool = False) -> Progress:
    """A progress bar on standard error, shown only on a terminal and removed when the
    work is done.

    Args:
        doing: the text before the bar.
        what: the unit it counts.
        left: show the time left, not the time elapsed.
    """
    clock = (
        TimeRemainingColumn(elapsed_when_finished=True) if left else TimeElapsedColumn()
    )
    columns = (
        TextColumn(doing),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what),
        clock,
    )
    return Progress(
        *columns,
        transient=True,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def complete_kata(incomplete: str) -> list[tuple[str, str]]:
    """For shell completion: the numbers and titles of matching katas."""
    return [
        (kata.number, kata.title)
        for kata in catalogue.all_katas()
        if kata.number.startswith(incomplete)
    ]


def complete_exercise(context: typer.Context, incomplete: str) -> list[str]:
    """For shell completion: matching exercises of the kata given before."""
    try:
        exercises = catalogue.find(context.params.get("kata") or "").exercises
    except KataError:
        return []
    return [
        exercise.name for exercise in exercises if exercise.name.startswith(incomplete)
    ]


OneKata = Annotated[str, typer.Argument(metavar="KATA", autocompletion=complete_kata)]
MaybeKata = Annotated[
    str | None, typer.Argument(metavar="[KATA]", autocompletion=complete_kata)
]
CodeFolder = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="code folder, laid out like katas/; default: katas/",
        show_default=False,
    ),
]
RulesFile = Annotated[
    Path | None,
    typer.Option(
        "--rules",
        metavar="FILE",
        help="what katas, exercises and edges are worth; default: grading.toml",
    ),
]
