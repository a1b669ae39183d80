"""How far the learner is: the path in chapters, and for each kata what their code has come to."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from grader import catalogue, hints, runner, stubs
from grader.catalogue import Kata
from grader.results import KataResult
from grader.verdicts import Verdicts

# Each chapter's title and the number of its last kata.
CHAPTERS = [
    ("tensors", "05"), ("first model", "06"), ("data", "09"), ("neural network", "10"), ("sequences", "12"),
    ("normalisation", "13"), ("attention", "16"), ("transformer", "18"), ("training craft", "22"), ("GPT", "33"),
    ("appendices", "appendix_z"),
]  # fmt: skip


@dataclass(frozen=True)
class Heading:
    """What the head of a lesson says of its kata."""

    title: str
    difficulty: str
    minutes: int
    builds_on: tuple[str, ...]  # the numbers of katas


def chapter(kata: Kata) -> str:
    """The title of the kata's chapter; for a track such as papers/, the track's name."""
    track, slash, _ = kata.name.partition("/")
    return track if slash else next(title for title, last in CHAPTERS if kata.number <= last)


def heading(kata: Kata) -> Heading:
    lesson = kata.folder / "README.md"
    text = lesson.read_text(encoding="utf-8") if lesson.is_file() else ""
    found = re.search(r"^(easy|medium|hard) · (\d+) minutes(.*)$", text, re.MULTILINE)
    difficulty, minutes, rest = found.groups() if found else ("", 0, "")
    numbers = re.findall(r"(?:\[|on |and |, )(\d\d|appendix_[a-z])\b", rest)
    return Heading(hints.title(kata), difficulty, int(minutes), tuple(dict.fromkeys(numbers)))


def so_far(
    katas: Iterable[Kata], code: Path, started: Callable[[list[Kata]], None] = lambda katas: None,
    finished: Callable[[KataResult], None] = lambda result: None,
) -> dict[Kata, KataResult | None]:
    """Each kata's result: None while nothing of it is written; else the verdict on file, or a new one where the code has changed.

    Args:
        started: told which katas are looked at.
        finished: told each result as it comes.
    """  # fmt: skip
    katas = list(katas)
    begun = [kata for kata in katas if stubs.is_begun(kata, code / kata.file)]
    started(begun)
    results: dict[Kata, KataResult | None] = dict.fromkeys(katas)
    if begun:
        by_name = {kata.name: kata for kata in begun}
        for result in runner.grade(begun, code, kept=Verdicts(begun[0].root)):
            results[by_name[result.kata]] = result
            finished(result)
    return results


def in_words(kata: Kata, result: KataResult | None) -> str:
    """ "not started", "2 of 5 core", "core done, 1 of 3 stretch", "done"."""
    if result is None or not result.exercises:
        return "not started"
    if result.status == "passed":
        return "done"
    core = [e for e in result.exercises if not e.stretch]
    stretch = [e for e in result.exercises if e.stretch]
    if result.core_done:
        return f"core done, {sum(e.solved for e in stretch)} of {len(stretch)} stretch"
    return f"{sum(e.solved for e in core)} of {len(core)} core"
