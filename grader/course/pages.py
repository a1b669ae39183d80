"""The parts of pages that are generated from kata.toml: the README's table, lesson
heads, exercise tables, coverage.
"""

import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path

from grader.course import papers, parts
from grader.course.catalogue import Kata
from grader.course.description import DIFFICULTIES
from grader.reports.words import listed

HEAD = re.compile(rf"\A# .*\n(?:\n(?:{'|'.join(DIFFICULTIES)}) · .*\n)?")
HEAD_OF_PATH = "| chapter | katas | minutes |"
EXERCISES = re.compile(
    r"(?<=\n## Exercises\n)\n*(?:\|.*\n)+(?:\n.*\(`kata mine`\).*\n)?"
)


def stale(katas: Iterable[Kata]) -> dict[Path, str]:
    """The pages that differ from what kata.toml says, each with its up-to-date text."""
    current = pages(list(katas))
    return {
        path: text
        for path, text in current.items()
        if path.read_text(encoding="utf-8") != text
    }


def pages(katas: list[Kata]) -> dict[Path, str]:
    """The up-to-date text of every page."""
    if not katas:
        return {}
    root = katas[0].root
    found = {
        kata.folder / "README.md": lesson(kata)
        for kata in katas
        if (kata.folder / "README.md").is_file()
    }
    readme, coverage = root / "README.md", root / "katas" / "COVERAGE.md"
    core_path = [
        kata for kata in katas if "/" not in kata.name and kata.description.finished
    ]
    wanted = {
        readme: [_path(core_path, root)],
        coverage: [_practice(core_path), _gpt2(core_path)],
    }
    for track, members in itertools.groupby(katas, key=lambda kata: kata.folder.parent):
        if track != root / "katas":
            here = list(members)
            wanted[track / "README.md"] = [_path(here, track), papers.table(here)]
    for path, tables in wanted.items():
        if path.is_file():
            found[path] = _with_tables(path.read_text(encoding="utf-8"), tables)
    return found


def head(kata: Kata) -> str:
    """The head of a lesson: number, title, difficulty, minutes, and the katas that it
    builds on.
    """
    about = kata.description
    minutes = f"{about.minutes_core} minutes"
    if about.minutes_all > about.minutes_core:
        minutes += f", {about.minutes_all} with stretch"
    code = listed(_link(Kata(kata.root, name), kata) for name in about.builds_on)
    ideas = listed(_link(Kata(kata.root, name), kata) for name in about.ideas_of)
    builds_on = " and ".join(
        part for part in (code, f"the ideas of {ideas}" if ideas else "") if part
    )
    return (
        f"# {label(kata)} · {about.title}\n\n"
        f"{about.difficulty} · {minutes} · builds on {builds_on or 'nothing'}\n"
    )


def lesson(kata: Kata) -> str:
    """The kata's README.md with an up-to-date head and exercise table, and what the
    kata adds to the learner's GPT.
    """
    text = (kata.folder / "README.md").read_text(encoding="utf-8")
    text = HEAD.sub(lambda _: head(kata), text)
    rows = ["| | exercise | | asks for |", "| --- | --- | --- | --- |"]
    for number, exercise in enumerate(kata.exercises, start=1):
        rows.append(
            f"| {number} | `{exercise.name}` | "
            f"{'stretch' if exercise.stretch else 'core'} | {exercise.asks} |"
        )
    if kata.name in parts.BY_KATA:
        part = parts.BY_KATA[kata.name]
        own = listed(map("`{}`".format, part.exercises))
        rows += ["", f"From {own}, your own GPT (`kata mine`) gets {part.gives}."]
    return EXERCISES.sub(lambda _: "\n" + "\n".join(rows) + "\n", text, count=1)


def _path(katas: list[Kata], folder: Path) -> list[str]:
    """The table of a path, for a page in this folder: one row per chapter."""
    rows = [HEAD_OF_PATH, "| --- | --- | --- |"]
    for chapter, group in itertools.groupby(
        katas, key=lambda kata: kata.description.chapter
    ):
        members = list(group)
        core = sum(kata.description.minutes_core for kata in members)
        every = sum(kata.description.minutes_all for kata in members)
        linked = ", ".join(
            _titled(kata, folder, label(kata).rpartition("/")[2]) for kata in members
        )
        minutes = f"{core}–{every}" if every > core else str(core)
        rows.append(f"| {chapter} | {linked} | {minutes} |")
    return rows


def _practice(katas: list[Kata]) -> list[str]:
    """The coverage of the practice list: one row per kata."""
    rows = ["| kata | problem 1 | problem 2 | problem 3 |", "| --- | --- | --- | --- |"]
    for kata in katas:
        if problems := kata.description.practice:
            cells = [f"{one.problem}: {_code(one.exercises)}" for one in problems]
            rows.append(
                f"| [{label(kata)}]({kata.name}/README.md) | {' | '.join(cells)} |"
            )
    return rows


def _gpt2(katas: list[Kata]) -> list[str]:
    """The coverage of GPT-2's reproduction: one row per step, with the katas that
    cover it.
    """
    steps: dict[str, list[str]] = {}
    for kata in katas:
        for one in kata.description.gpt2:
            steps.setdefault(one.step, []).append(
                f"[{label(kata)}]({kata.name}/README.md) {_code(one.exercises)}"
            )
    rows = [
        f"| {step.partition(' ')[2]} | {'; '.join(steps[step])} |"
        for step in sorted(steps)
    ]
    return ["| step | kata and exercises |", "| --- | --- |", *rows]


def _with_tables(text: str, tables: list[list[str]]) -> str:
    """The page with these tables. A table replaces the one whose first row begins with
    the same two columns.
    """
    for table in tables:
        new = "\n".join(table).replace("\\", r"\\") + "\n"
        start = "|".join(table[0].split("|")[:3])
        text = re.sub(
            rf"^{re.escape(start)}\|.*\n(?:\|.*\n)*",
            new,
            text,
            count=1,
            flags=re.MULTILINE,
        )
    return text


def label(kata: Kata) -> str:
    """The number as pages show it: "16", "A", "papers/13"."""
    return (
        kata.number.removeprefix("appendix_").upper()
        if kata.number.startswith("appendix_")
        else kata.number
    )


def _link(kata: Kata, here: Kata) -> str:
    """A link from one lesson to another. Within a track, the number is enough."""
    same_track = kata.folder.parent == here.folder.parent
    return _titled(
        kata, here.folder, label(kata).rpartition("/")[2] if same_track else label(kata)
    )


def _titled(kata: Kata, folder: Path, label: str) -> str:
    """A link to a lesson from a page in this folder."""
    place = os.path.relpath(kata.folder, folder).replace(os.sep, "/")
    return f"[{label} {kata.title}]({place}/README.md)"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
