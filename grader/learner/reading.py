"""Shows a lesson in a terminal: its text, and its figure if the terminal
shows pictures.
"""

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from grader.course.catalogue import Kata
from grader.course.lesson_code import unfolded

CHUNK = 4096  # base64 characters per escape sequence of kitty's graphics protocol


def page_of(kata: Kata) -> str:
    """The lesson's text, without comments."""
    return re.sub(
        r" <!--.*?-->", "", (kata.folder / "README.md").read_text(encoding="utf-8")
    )


def show(kata: Kata, console: Console) -> None:
    """Show the lesson's text and where its code is: in a pager on a terminal, otherwise
    as they are.
    """
    page, code = (
        unfolded(page_of(kata)),
        f"The lesson's code: katas/{kata.name}/lesson.py",
    )
    if not console.is_terminal:
        console.print(f"{page}\n{code}", markup=False, highlight=False, soft_wrap=True)
        return
    os.environ.setdefault("LESS", "-R")  # so that `less` passes colours on
    with console.pager(styles=True):
        console.print(Markdown(for_terminal(page)), "", code)


def for_terminal(page: str) -> str:
    """The page with its figure replaced by the caption, diagrams by their structure in
    words, and links to files by their text.
    """
    page = re.sub(r"!\[([^\]]*)\]\([^)]*\.svg\)", r"> **Diagram.** \1", page)
    page = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"*Figure: \1*", page)
    return re.sub(r"\[([^\]\n]*)\]\((?!https?://)[^)\s]+\)", r"\1", page)


def inline(picture: Path, environment: Mapping[str, str]) -> str:
    """The escape sequences that show a PNG file in this terminal; empty if it is not
    known to show pictures.
    """
    data = base64.b64encode(picture.read_bytes()).decode()
    terminal, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or terminal.startswith(("screen", "tmux")):
        return ""
    if (
        "kitty" in terminal
        or program == "ghostty"
        or environment.get("KITTY_WINDOW_ID")
    ):
        return "".join(_kitty_sequences(data)) + "\n"
    if program in ("iTerm.app", "WezTerm", "vscode"):
        return f"\x1b]1337;File=inline=1;width=80%:{data}\a\n"
    return ""


def _kitty_sequences(data: str) -> list[str]:
    """One escape sequence per chunk. The first carries the format, all but the last
    announce that more follows.
    """
    parts = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]
    heads = ["a=T,f=100,", *[""] * (len(parts) - 1)]
    more = [*[1] * (len(parts) - 1), 0]
    return [
        f"\x1b_G{head}m={m};{part}\x1b\\"
        for head, m, part in zip(heads, more, parts, strict=True)
    ]
