"""A lesson on a terminal: its Markdown without what a terminal cannot show, and its figure where the terminal can."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path

CHUNK = 4096  # of base64 in one sequence of kitty's protocol


def for_terminal(page: str) -> str:
    """The page with its figure as a sentence, and links as their text."""
    page = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"*Figure: \1*", page)
    return re.sub(r"\[([^\]\n]*)\]\((?!https?://)[^)\s]+\)", r"\1", page)


def inline(picture: Path, environment: Mapping[str, str]) -> str:
    """The control sequences that show a PNG file in this terminal; empty for one that is not known to show pictures."""
    data = base64.b64encode(picture.read_bytes()).decode()
    terminal, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or terminal.startswith(("screen", "tmux")):
        return ""
    if "kitty" in terminal or program == "ghostty" or environment.get("KITTY_WINDOW_ID"):
        parts = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]
        heads = ["a=T,f=100,", *[""] * (len(parts) - 1)]
        last = len(parts) - 1
        return "".join(f"\x1b_G{head}m={int(i < last)};{part}\x1b\\" for i, (head, part) in enumerate(zip(heads, parts, strict=True))) + "\n"
    if program in ("iTerm.app", "WezTerm", "vscode"):
        return f"\x1b]1337;File=inline=1;width=80%:{data}\a\n"
    return ""
