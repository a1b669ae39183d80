"""Prints a report for people: as a table on a terminal, as plain aligned lines in
a pipe.
"""

import itertools
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from textwrap import indent

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grader.reports import words
from grader.results import NOT_HANDED_IN, ExerciseResult, KataResult, Report

COLOURS = {
    "passed": "green",
    "failed": "red",
    "error": "bold red",
    "not started": "dim",
    NOT_HANDED_IN: "dim",
    "not recognised": "magenta",
    "does not parse": "bold red",
    "import fails": "bold red",
    "not graded": "magenta",
    "unconfirmed": "magenta",
    "excused": "dim",
}


@dataclass(frozen=True)
class Place:
    """A kata's place in the course. A kata of the path has no track."""

    number: str
    chapter: str
    track: str


@dataclass(frozen=True)
class Group:
    """Katas that share a line, or one kata: with all its exercises if it is `open`."""

    name: str
    katas: tuple[KataResult, ...]
    open: bool

    @property
    def status(self) -> str:
        """The state that all of its katas have."""
        return words.state(self.katas[0])

    @property
    def points(self) -> str:
        """The sum of the points; a question mark for a kata that is not decided."""
        return (
            words.points(self.katas[0])
            if self.open
            else str(sum(kata.so_far.points for kata in self.katas))
        )

    @property
    def stars(self) -> str:
        """The sum of the stars, as `points` has it."""
        return (
            words.stars(self.katas[0])
            if self.open
            else str(sum(kata.so_far.stars for kata in self.katas))
        )

    @property
    def most(self) -> int:
        """The points and stars that there are."""
        return sum(kata.max_points for kata in self.katas)


def show(
    report: Report, console: Console, places: Mapping[str, Place] | None = None
) -> None:
    """Print the exercises of each kata, what is open in them, then the totals.

    Args:
        places: the place of each kata. With it, a chapter or track in which every kata
            is untouched, or complete, is one line, and so is such a kata in another
            chapter. Without it, every kata shows its exercises.
    """
    groups = (
        list(_folded(report.katas, places))
        if places
        else [Group(k.kata, (k,), True) for k in report.katas]
    )
    if console.is_terminal:
        console.print(_table(groups))
    else:
        for line in _lines(groups):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    for group in groups:
        if group.open:
            _show_open(group.katas[0], console)
    end = f"  ({words.gap(report)})" if not report.is_whole else ""
    console.print(
        f"\n{words.totals(report)} · {report.seconds:.1f} s{end}",
        style="bold",
        highlight=False,
        soft_wrap=True,
    )


def _folded(
    katas: Iterable[KataResult], places: Mapping[str, Place]
) -> Iterator[Group]:
    """Group the katas by track, chapter and kata, as far as needed to tell apart what
    was done.
    """
    for track, of_track in itertools.groupby(
        katas, key=lambda kata: places[kata.kata].track
    ):
        members = tuple(of_track)
        if track and _are_alike(members):
            yield Group(
                f"{track}, {words.counted(len(members), 'kata')}", members, False
            )
            continue
        for chapter, of_chapter in itertools.groupby(
            members, key=lambda kata: places[kata.kata].chapter
        ):
            some = tuple(of_chapter)
            if _are_alike(some):
                yield Group(
                    f"{chapter} {span([places[kata.kata].number for kata in some])}",
                    some,
                    False,
                )
                continue
            for kata in some:
                yield Group(kata.kata, (kata,), not _are_alike([kata]))


def _are_alike(katas: Iterable[KataResult]) -> bool:
    """Tell if all katas are untouched, or none was handed in, or all are complete with
    every star.
    """
    katas = list(katas)
    states = {kata.state for kata in katas}
    return states in ({"untouched"}, {NOT_HANDED_IN}) or all(
        kata.state == "works" and kata.so_far.stars == kata.max_points for kata in katas
    )


def span(numbers: list[str]) -> str:
    """ "16", "14–16", "papers/01–05"."""
    last = numbers[-1].rpartition("/")[2]
    return numbers[0] if len(numbers) == 1 else f"{numbers[0]}–{last}"


def _table(groups: Iterable[Group]) -> Table:
    """One row per group with its sums. An open kata's exercises follow, a row each."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("katas and exercises", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("verdict")
    table.add_column("points", justify="right", no_wrap=True)
    table.add_column("stars", justify="right", no_wrap=True)
    for group in groups:
        state = f"[{COLOURS[group.status]}]{group.status}[/]"
        sums = [
            f"[bold]{amount}/{group.most}[/]" for amount in (group.points, group.stars)
        ]
        table.add_row(f"[bold]{group.name}[/]", "", state, *sums)
        for exercise in group.katas[0].exercises if group.open else ():
            colour = COLOURS[words.exercise_status(exercise)]
            state = f"[{colour}]{escape(words.verdict(exercise))}[/]"
            points = f"{words.point(exercise)}/1"
            table.add_row(
                f"  {exercise.name}",
                _part(exercise),
                state,
                points,
                words.star(exercise),
            )
        if group.open:
            table.add_section()
    return table


def _part(exercise: ExerciseResult) -> str:
    return "stretch" if exercise.stretch else "core"


def _lines(groups: Iterable[Group]) -> Iterator[str]:
    groups = list(groups)
    exercises = [
        exercise
        for group in groups
        if group.open
        for exercise in group.katas[0].exercises
    ]
    width = max((len(exercise.name) for exercise in exercises), default=0)
    for group in groups:
        points, stars = (
            sum(kata.so_far.points for kata in group.katas),
            sum(kata.so_far.stars for kata in group.katas),
        )
        first = group.katas[0]
        so_far = "so far " if first.gap or first.to_settle else ""
        yield (
            f"{group.name}: {group.status}, {so_far}{points} of {group.most} points, "
            f"{stars} of {group.most} stars"
        )
        for e in group.katas[0].exercises if group.open else ():
            points_of = f"{words.point(e)}/1"
            yield (
                f"  {e.name:<{width}}  {_part(e):<7}  {points_of}  {words.star(e)}  "
                f"{words.verdict(e)}"
            )


def _show_open(kata: KataResult, console: Console) -> None:
    """Print the first failure of each exercise that was started, and one line on one
    that works with open edges.

    A message shared by several exercises appears once.
    """
    if kata.message:
        console.print()
        for line in f"{kata.kata}: {kata.message}".splitlines():
            told = (
                textwrap.fill(line, console.width, subsequent_indent="  ")
                if console.is_terminal
                else line
            )
            console.print(told, markup=False, highlight=False, soft_wrap=True)
    if kata.why_no_code:
        _show_failure(
            f"{kata.state.upper()}  {kata.kata}", kata.why_no_code.text, console
        )
        return
    said: set[str] = set()
    for exercise in kata.exercises:
        failure = exercise.first_failure
        name = f"{kata.kata} · {exercise.name}"
        if failure and not exercise.not_written and failure.message not in said:
            said.add(failure.message)
            state = (
                "NOT GRADED"
                if exercise.gap
                else "UNCONFIRMED"
                if exercise.to_settle
                else "FAILED"
            )
            told = words.asked(
                exercise, words.with_printed(failure.message, failure.printed)
            )
            _show_failure(f"{state}  {name} · {failure.title}", told, console)
        elif exercise.so_far.point and exercise.open_edges:
            line = f"\nopen edge  {name} · {exercise.open_edges[0].title}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _show_failure(heading: str, told: str, console: Console) -> None:
    console.print(
        f"\n{heading}", style="red", markup=False, highlight=False, soft_wrap=True
    )
    text = (
        Padding(Text(told), (0, 0, 0, 2))
        if console.is_terminal
        else Text(indent(told, "  "))
    )
    console.print(text, soft_wrap=not console.is_terminal)
