"""Draws the README's picture from the real program: what it writes to a terminal, as
SVG. `make pictures`.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from grader.course.catalogue import ROOT, find
from tests.grader.test_watch import Terminal

PICTURES = ROOT / ".github" / "pictures"
COLUMNS = 104
SLIP = "    return (scores.argmax(dim=1) == labels).sum().item()\n"
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace;
font-size: {char_height}px; line-height: {line_height}px; }}
{styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>{lines}</defs>
<rect fill="#191919" width="{width}" height="{height}" rx="8"/>
<g transform="translate(10, 14)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder)
        for name in ("grader", "katas", "solutions"):
            shutil.copytree(
                ROOT / name,
                checkout / name,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, checkout)
        draw("watch", watched(checkout))


def watched(checkout: Path) -> str:
    """The screen of `kata watch 00` after a save with a slip."""
    screen = Terminal(checkout, "00", columns=COLUMNS)
    screen.verdict("accuracy: not written yet")
    path = checkout / "katas" / find("00").file
    path.write_text(
        path.read_text().replace("    raise NotImplementedError\n", SLIP, 1)
    )
    screen.verdict("kata hint 00 accuracy")
    screen.process.kill()
    return screen.said.rpartition("\x1b[H")[2]


def draw(name: str, said: str) -> None:
    text = re.sub(r"\x1b\[[0-9;?]*[A-KM-Zf-lhn-z]", "", said.replace("\r", ""))
    console = Console(
        record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True
    )
    console.print(Text.from_ansi(text.strip("\n")))
    picture = console.export_svg(
        title="", theme=DIMMED_MONOKAI, code_format=FRAME, unique_id=name
    )
    (PICTURES / f"{name}.svg").write_text(picture)
    print(PICTURES / f"{name}.svg")


if __name__ == "__main__":
    main()
