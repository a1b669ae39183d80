"""Prints `kata list`: every kata with the learner's progress, as columns on a terminal, as lines in a pipe."""

from rich.console import Console
from rich.table import Table

from grader.course.catalogue import Kata
from grader.learner import progress
from grader.results import KataResult

COLOURS = {"done": "green", "core done": "green", "not started": "dim"}


def show(katas: list[Kata], results: dict[Kata, KataResult | None], console: Console) -> None:
    """Print a line per chapter, a row per kata, and the sum."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("kata", "title", "", "min", "builds on", "core +\nstretch", "you"):
        widest = 14 if column == "builds on" else None
        table.add_column(
            column,
            justify="right" if column == "min" else "left",
            no_wrap=column not in ("title", "builds on"),
            max_width=widest,
        )
    before = ""
    for kata in katas:
        if kata.description.chapter != before:
            before = kata.description.chapter
            table.add_row()
            table.add_row("", f"[bold]{before}[/]")
        row = _row(kata, results[kata])
        colour = COLOURS.get(row[-1].partition(",")[0], "yellow")
        table.add_row(*row[:-1], f"[{colour}]{row[-1]}[/]")
        if not console.is_terminal:
            print(before, *row, sep="\t")
    if console.is_terminal:
        console.print(table, "")
    done = sum(result is not None and result.core_done for result in results.values())
    points = sum(result.points for result in results.values() if result)
    exercises = sum(len(kata.exercises) for kata in katas)
    console.print(
        f"{done} of {len(katas)} katas done · {points} of {exercises} exercises", style="bold", soft_wrap=True
    )


def _row(kata: Kata, result: KataResult | None) -> tuple[str, ...]:
    head, exercises = kata.description, kata.exercises
    stretch = sum(exercise.stretch for exercise in exercises)
    amount = f"{len(exercises) - stretch}+{stretch}"
    builds_on = ", ".join(Kata(kata.root, name).number for name in (*head.builds_on, *head.ideas_of)) or "nothing"
    return (
        kata.number,
        head.title,
        head.difficulty,
        str(head.minutes_all),
        builds_on,
        amount,
        progress.in_words(kata, result),
    )
