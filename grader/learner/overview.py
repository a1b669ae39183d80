"""Prints `kata list`: every kata with the learner's progress, as columns on a terminal,
as lines in a pipe.
"""

import itertools

from rich.console import Console
from rich.table import Table

from grader.course.catalogue import Kata
from grader.learner import progress
from grader.reports.words import STAR
from grader.results import KataResult

COLOURS = {"done": "green", "core works": "green", "not started": "dim"}
WIDEST = {"builds on": 14, "you": 14}  # columns that wrap


def show(
    katas: list[Kata],
    results: dict[Kata, KataResult | None],
    console: Console,
    *,
    everything: bool = False,
) -> None:
    """Print the chapters, the katas of the current one or with `everything` of all, and
    the sum.

    The current chapter holds the first kata whose core does not work. A pipe gets every
    kata. What each builds on has its column with `everything` alone, since a narrow
    terminal has no room for it.
    """
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    columns = (
        "kata",
        "title",
        "",
        "min",
        "core +\nstretch",
        "you",
        "stars",
        *["builds on"] * everything,
    )
    for column in columns:
        table.add_column(
            column,
            justify="right" if column == "min" else "left",
            no_wrap=column not in ("title", *WIDEST),
            max_width=WIDEST.get(column),
        )
    path = progress.led(katas, lambda kata: results[kata] is not None)
    here = next(
        (kata for kata in path if not _core_works(results[kata])), path[-1]
    ).description.chapter
    for chapter, group in itertools.groupby(
        katas, key=lambda kata: kata.description.chapter
    ):
        members = list(group)
        unfolded = everything or chapter == here
        table.add_row(*_chapter(chapter, members, results, unfolded))
        for kata in members:
            row = _row(kata, results[kata])
            *head, builds_on, amount, you, earned = row
            colour = COLOURS.get(you.partition(",")[0], "yellow")
            if unfolded:
                table.add_row(
                    *head,
                    amount,
                    f"[{colour}]{you}[/]",
                    earned,
                    *[builds_on] * everything,
                )
            if not console.is_terminal:
                print(chapter, *row, sep="\t")
    if console.is_terminal:
        console.print(table, "")
    begun = [result for result in results.values() if result]
    done = sum(result.core_works for result in begun)
    works, stars = (
        sum(result.so_far.points for result in begun),
        sum(result.so_far.stars for result in begun),
    )
    exercises = sum(len(kata.exercises) for kata in katas)
    console.print(
        f"{done} of {len(katas)} katas done · {works} of {exercises} exercises work · "
        f"{STAR} {stars}",
        style="bold",
        soft_wrap=True,
    )


def _chapter(
    chapter: str,
    katas: list[Kata],
    results: dict[Kata, KataResult | None],
    unfolded: bool,
) -> tuple[str, ...]:
    """The row of a chapter: a heading, or the sums of its katas."""
    if unfolded:
        return "", f"[bold]{chapter}[/]"
    first, last = katas[0].number, katas[-1].number
    done = sum(_core_works(results[kata]) for kata in katas)
    minutes = sum(kata.description.minutes_all for kata in katas)
    last = last.rpartition("/")[2]
    numbers = (
        first if len(katas) == 1 else f"{first}–{last}" if last.isdecimal() else ""
    )
    return (
        numbers,
        f"[bold]{chapter}[/]",
        "",
        str(minutes),
        "",
        f"{done} of {len(katas)} done",
    )


def _core_works(result: KataResult | None) -> bool:
    return bool(result and result.core_works)


def _row(kata: Kata, result: KataResult | None) -> tuple[str, ...]:
    head, exercises = kata.description, kata.exercises
    stretch = sum(exercise.stretch for exercise in exercises)
    amount = f"{len(exercises) - stretch}+{stretch}"
    track = kata.number.rpartition("/")[0]
    others = [
        Kata(kata.root, name).number for name in (*head.builds_on, *head.ideas_of)
    ]
    builds_on = (
        ", ".join(number.removeprefix(f"{track}/") for number in others) or "nothing"
    )
    return (
        kata.number,
        head.title,
        head.difficulty,
        str(head.minutes_all),
        builds_on,
        amount,
        progress.points(result),
        progress.stars(result),
    )
