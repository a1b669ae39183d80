"""Prints a report for people: as a table on a terminal, as plain aligned lines in a pipe."""

from textwrap import indent

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grader.results import NOT_WRITTEN, ExerciseResult, KataResult, Report, title

COLOURS = {"passed": "green", "failed": "red", "error": "bold red", "not started": "dim"}


def show(report: Report, console: Console) -> None:
    """Print one row per exercise, then the first failure of each, then the points."""
    if console.is_terminal:
        console.print(_table(report))
    else:
        for line in _lines(report):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    for kata in report.katas:
        _show_failures(kata, console)
    end = "" if report.complete else "  (interrupted: the rest was not graded)"
    console.print(
        f"\n{report.points} of {report.max_points} points · {report.seconds:.1f} s{end}",
        style="bold",
        highlight=False,
        soft_wrap=True,
    )


def _table(report: Report) -> Table:
    """One row per kata with its sum, followed by one row per exercise."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("kata and exercises", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("verdict")
    table.add_column("points", justify="right", no_wrap=True)
    for kata in report.katas:
        state = f"[{COLOURS[kata.status]}]{kata.status}[/]"
        table.add_row(f"[bold]{kata.kata}[/]", "", state, f"[bold]{kata.points}/{kata.max_points}[/]")
        for exercise in kata.exercises:
            state = f"[{_colour(exercise)}]{escape(_verdict(exercise))}[/]"
            table.add_row(
                f"  {exercise.name}",
                "stretch" if exercise.stretch else "core",
                state,
                f"{exercise.points}/{exercise.max_points}",
            )
        table.add_section()
    return table


def _colour(exercise: ExerciseResult) -> str:
    if exercise.solved:
        return COLOURS["passed"]
    return COLOURS["not started"] if exercise.not_written else COLOURS["failed"]


def _verdict(exercise: ExerciseResult) -> str:
    """ "passed", "not written yet", or how many specs pass; and why specs were skipped."""
    ran = [spec for spec in exercise.specs if spec.status != "skipped"]
    skipped = [spec.message for spec in exercise.specs if spec.status == "skipped"]
    passed = sum(spec.status == "passed" for spec in ran)
    if exercise.solved:
        return "passed" + (f", {len(skipped)} not run ({skipped[0]})" if skipped else "")
    first = exercise.first_failure
    if exercise.not_written and first:
        return NOT_WRITTEN if first.message.startswith(exercise.name) else first.message
    if any(spec.status == "error" for spec in ran):
        return f"error, {passed} of {len(ran)} specs pass"
    return f"{passed} of {len(ran)} specs pass" if ran else "not run"


def _lines(report: Report) -> list[str]:
    lines = []
    width = max((len(e.name) for kata in report.katas for e in kata.exercises), default=0)
    for kata in report.katas:
        lines.append(f"{kata.kata}: {kata.status}, {kata.points} of {kata.max_points} points")
        for e in kata.exercises:
            kind = "stretch" if e.stretch else "core"
            lines.append(f"  {e.name:<{width}}  {kind:<7}  {e.points}/{e.max_points}  {_verdict(e)}")
    return lines


def _show_failures(kata: KataResult, console: Console) -> None:
    """Print the first failure of each exercise that was started. A message shared by several exercises appears once."""
    if kata.message:
        console.print(f"\n{kata.kata}: {kata.message}", markup=False, highlight=False, soft_wrap=True)
    said: set[str] = set()
    for exercise in kata.exercises:
        failure = exercise.first_failure
        if failure and not exercise.not_written and failure.message not in said:
            said.add(failure.message)
            console.print(
                f"\nFAILED  {kata.kata} · {exercise.name} · {title(failure.name)}",
                style="red",
                markup=False,
                highlight=False,
            )
            text = Padding(Text(failure.message), (0, 0, 0, 2))
            console.print(
                text if console.is_terminal else Text(indent(failure.message, "  ")), soft_wrap=not console.is_terminal
            )
