"""Prints a report for people: as a table on a terminal, as plain aligned lines in a pipe."""

from textwrap import indent

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grader.reports import words
from grader.results import ExerciseResult, KataResult, Report

COLOURS = {"passed": "green", "failed": "red", "error": "bold red", "not started": "dim", "not graded": "magenta"}


def show(report: Report, console: Console) -> None:
    """Print one row per exercise, then what is open in each, then the totals."""
    if console.is_terminal:
        console.print(_table(report))
    else:
        for line in _lines(report):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    for kata in report.katas:
        _show_open(kata, console)
    end = f"  ({words.gap(report)})" if report.not_graded else ""
    console.print(
        f"\n{words.totals(report)} · {report.seconds:.1f} s{end}", style="bold", highlight=False, soft_wrap=True
    )


def _table(report: Report) -> Table:
    """One row per kata with its sums, followed by one row per exercise."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("kata and exercises", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("verdict")
    table.add_column("points", justify="right", no_wrap=True)
    table.add_column("stars", justify="right", no_wrap=True)
    for kata in report.katas:
        state = f"[{COLOURS[kata.status]}]{kata.status}[/]"
        sums = (f"[bold]{amount}/{kata.max_points}[/]" for amount in (words.points(kata), words.stars(kata)))
        table.add_row(f"[bold]{kata.kata}[/]", "", state, *sums)
        for exercise in kata.exercises:
            state = f"[{_colour(exercise)}]{escape(words.verdict(exercise))}[/]"
            points = f"{words.points(exercise)}/1"
            table.add_row(f"  {exercise.name}", _part(exercise), state, points, words.star(exercise))
        table.add_section()
    return table


def _colour(exercise: ExerciseResult) -> str:
    if exercise.not_graded:
        return COLOURS["not graded"]
    if exercise.works:
        return COLOURS["passed"]
    return COLOURS["not started"] if exercise.not_written else COLOURS["failed"]


def _part(exercise: ExerciseResult) -> str:
    return "stretch" if exercise.stretch else "core"


def _lines(report: Report) -> list[str]:
    lines = []
    width = max((len(e.name) for kata in report.katas for e in kata.exercises), default=0)
    for kata in report.katas:
        sums = f"{kata.points} of {kata.max_points} points, {kata.stars} of {kata.max_points} stars"
        lines.append(f"{kata.kata}: {kata.status}, {'so far ' if kata.not_graded else ''}{sums}")
        for e in kata.exercises:
            points = f"{words.points(e)}/1"
            lines.append(f"  {e.name:<{width}}  {_part(e):<7}  {points}  {words.star(e)}  {words.verdict(e)}")
    return lines


def _show_open(kata: KataResult, console: Console) -> None:
    """Print the first failure of each exercise that was started, and one line on one that works with open edges.

    A message shared by several exercises appears once.
    """
    if kata.message:
        console.print(f"\n{kata.kata}: {kata.message}", markup=False, highlight=False, soft_wrap=True)
    said: set[str] = set()
    for exercise in kata.exercises:
        failure = exercise.first_failure
        name = f"{kata.kata} · {exercise.name}"
        if failure and not exercise.not_written and failure.message not in said:
            said.add(failure.message)
            console.print(
                f"\n{'NOT GRADED' if exercise.not_graded else 'FAILED'}  {name} · {failure.title}",
                style="red",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
            told = words.with_printed(failure.message, failure.printed)
            text = Padding(Text(told), (0, 0, 0, 2)) if console.is_terminal else Text(indent(told, "  "))
            console.print(text, soft_wrap=not console.is_terminal)
        elif exercise.works and exercise.open_edges:
            line = f"\nopen edge  {name} · {exercise.open_edges[0].title}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
