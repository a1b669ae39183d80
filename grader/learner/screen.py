"""The output of `kata watch`: wrapped and coloured on a terminal, plain lines in
a pipe.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from grader.course.catalogue import Kata
from grader.learner import reading
from grader.reports import colour_blocks, layout, table, words
from grader.reports.words import STAR
from grader.results import STATE_OF, ExerciseResult, KataResult, Report, SpecResult

KEYS = (
    ("h", "hint"),
    ("n", "next exercise"),
    ("p", "previous"),
    ("1…", "by number"),
    ("c", "compare"),
    ("g", "guards"),
    ("l", "lesson"),
    ("m", "my GPT"),
    ("a", "all specs"),
    ("N", "next kata"),
    ("P", "previous kata"),
    ("r", "run again"),
    ("q", "quit"),
)
KEYS_OF_A_CUT = (("space", "all of it"), ("h", "hint"), ("q", "quit"))
KEY = r"(?<!\S)(?:\w|space)(?= )"
WORKS, OPEN = "●", "○"
COLOURS = {"+": "green", "-": "red", "@": "dim"}  # of the lines of a difference


class Screen:
    """Prints what the session has to say.

    Args:
        has_keys: whether there is a terminal that reads keys; without one, the line of
            keys is left out.
    """

    def __init__(self, console: Console, *, has_keys: bool):
        self.console, self.has_keys = console, has_keys

    def say(self, text: str) -> None:
        """Print the text as a paragraph."""
        self.console.print(
            f"\n{text}",
            markup=False,
            highlight=False,
            soft_wrap=not self.console.is_terminal,
        )

    def running(self) -> None:
        """Say on a terminal that the specs run now."""
        if self.console.is_terminal:
            self.console.print("[dim]running the specs …[/]")

    @contextmanager
    def verdict(self, *, whole: bool = False) -> Iterator[None]:
        """Show a verdict. One taller than the terminal is cut, so that its top stays
        in sight.
        """
        if not self.console.is_terminal:
            yield
            return
        with self.console.capture() as shown:
            yield
        lines, room = shown.get().splitlines(keepends=True), self.console.height - 1
        is_cut = len(lines) > room and not whole
        self.console.file.write("".join(lines[: room - 1] if is_cut else lines))
        if is_cut:
            more = f"… {words.counted(len(lines) - room + 1, 'more line')}"
            self._line(
                [more, *(f"{key} {what}" for key, what in KEYS_OF_A_CUT)], KEY, "bold"
            )

    def head(self, kata: Kata, signs: Mapping[str, str], current: str) -> None:
        """Start a verdict: clear the terminal, then print the kata and the sign of
        each exercise.

        The current exercise is in brackets.
        """
        if self.console.is_terminal:
            self.console.clear()
        heading = f"[bold]{kata.number} {kata.title}[/]  [dim]katas/{kata.file}[/]"
        self.console.print(heading, soft_wrap=not self.console.is_terminal)
        numbered = {
            name: f"{number}{sign} {name}"
            for number, (name, sign) in enumerate(signs.items(), start=1)
        }
        marked = [
            f"[{sign}]" if name == current else sign for name, sign in numbered.items()
        ]
        works = sum(sign != OPEN for sign in signs.values())
        self._line(
            [f"{works} of {len(signs)}", *marked], r"^\d+ of \d+|\[.*?\]", "bold"
        )

    def works(self, exercise: ExerciseResult) -> None:
        """Celebrate an exercise that works, and name its open edges, in one line."""
        ideas = [spec for spec in exercise.ideas if spec.status != "skipped"]
        note = f", {exercise.note}" if exercise.note else ""
        self.console.print(
            "\n"
            f"✓ {exercise.name} works: {len(ideas)} of {len(ideas)}{note} · "
            f"{words.star_line(exercise, 'press g')}",
            style="bold green",
            markup=False,
            highlight=False,
            soft_wrap=not self.console.is_terminal,
        )
        if numerics := [spec for spec in exercise.open_edges if not spec.guard]:
            line = f"  for the star: {numerics[0].first}"
            self.console.print(
                line,
                markup=False,
                highlight=False,
                soft_wrap=not self.console.is_terminal,
            )

    def guards(self, exercises: Iterable[ExerciseResult]) -> None:
        """Name the guards that are open in exercises that work, each with what
        it asks.
        """
        found = [
            (e, spec)
            for e in exercises
            if e.so_far.point
            for spec in e.open_edges
            if spec.guard
        ]
        lines = [f"{e.name} · {spec.title}: {spec.first}" for e, spec in found]
        self.say("\n".join(lines) or "No guard is open in the exercises that work.")

    def difference(self, lines: Iterable[str]) -> None:
        """Print the lines of a unified diff."""
        self.console.print()
        for line in lines:
            self.console.print(
                line,
                style=COLOURS.get(line[:1], ""),
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def failure(self, exercise: str, spec: SpecResult) -> None:
        """Print a failed spec: its message with a heading, or alone if it is
        one line.
        """
        found = spec.failure
        message = (
            found.text
            if found and found.is_of_file
            else words.with_printed(spec.message.strip(), spec.printed)
        )
        if "\n" not in message:
            self.say(message)
            return
        heading = (
            STATE_OF[found.kind].upper()
            if found and found.is_of_file
            else f"FAILED  {exercise} · {spec.title}"
        )
        self.console.print(f"\n{heading}", style="red", markup=False, highlight=False)
        width = self.console.width if self.console.is_terminal else 10**6
        self.console.print(Text(layout.wrapped(message, width)), soft_wrap=True)
        if self.console.color_system in ("256", "truecolor") and (
            picture := found and colour_blocks.coloured(found.picture)
        ):
            self.console.print(Text.from_ansi(f"\n{picture}"))

    def task(self, text: str) -> None:
        """Print what an exercise asks for, indented. Lines continue at their
        own indentation.
        """
        width = self.console.width if self.console.is_terminal else 10**6
        self.console.print()
        for line in text.splitlines():
            margin = " " * (2 + len(line) - len(line.lstrip()))
            lines = textwrap.wrap(
                line.strip(), width, initial_indent=margin, subsequent_indent=margin
            )
            self.console.print(Text("\n".join(lines)), soft_wrap=True)

    def all_specs(self, result: KataResult) -> None:
        """Print the table of exercises and what is open in each."""
        table.show(Report("katas", "", result.seconds, True, (result,)), self.console)

    def lesson(self, kata: Kata) -> None:
        """Show the kata's lesson in a pager."""
        reading.show(kata, self.console)

    def keys(self) -> None:
        """Print the line of keys."""
        if self.has_keys:
            self.console.print()
            self._line([f"{key} {what}" for key, what in KEYS], KEY, "bold")

    def _line(self, items: list[str], special: str, style: str) -> None:
        """Print the items side by side. Lines break between items; matches of the
        pattern `special` get the style.
        """
        unbroken = "\N{NO-BREAK SPACE}"
        line = "  ".join(item.replace(" ", unbroken) for item in items)
        if self.console.is_terminal:
            line = textwrap.fill(line, self.console.width, break_long_words=False)
        text = Text(line.replace(unbroken, " "))
        text.highlight_regex(special, style)
        self.console.print(text, soft_wrap=True)


def sign(exercise: ExerciseResult) -> str:
    """★ holds at the edges too, ● works, ○ does not work yet."""
    if exercise.so_far.star:
        return STAR
    return WORKS if exercise.so_far.point else OPEN
