"""The figures of the pages: what a command measured is in tests/figures.json, and each
page that shows it follows.

A page marks a figure by a comment behind it, which readers do not see: 28<!-- make
test, minutes --> min.

python -m tests.figures               the figures, and the commands that measure them
python -m tests.figures measure       measures what is quick: sizes, and the time of the
                                      author's commands
python -m tests.figures measure NAME  one of these
python -m tests.figures check         measures the same; exit code 1 if one on record is
                                      off by half, at equal speed

A figure of time is on record with its machine's speed: the seconds of a fixed loop in
the same run.
"""

import argparse
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.course import bare
from workshop import speed

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_name("figures.json")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
MARK = re.compile(r"([\d.,]+)<!-- ([^>]+?) -->")
TIME = re.compile(r"\b(seconds|minutes)\b")
OFF = 1.5  # times as much, or as little
HERE = "python -m tests.figures measure"


def on_record() -> dict[str, dict[str, str]]:
    """Each figure's value and the command that measures it, by its name."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


def put(values: Mapping[str, str], command: str, loop: float) -> None:
    """Write figures, measured where the loop takes so many seconds, to the record and
    to the pages that show them.
    """
    known = on_record()
    for name, value in values.items():
        of_time = {"loop": f"{loop:.3f}"} if TIME.search(name) else {}
        known[name] = {"value": value, "command": command, **of_time}
    RECORD.write_text(
        json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8"
    )
    for page in PAGES:
        page.write_text(shown(page, known), encoding="utf-8")


def shown(page: Path, known: Mapping[str, Mapping[str, str]]) -> str:
    """The page's text with the figures on record."""
    text = page.read_text(encoding="utf-8")
    return MARK.sub(
        lambda m: f"{known[m[2]]['value']}<!-- {m[2]} -->" if m[2] in known else m[0],
        text,
    )


def off(values: Mapping[str, str], loop: float) -> list[str]:
    """The figures on record that are off by half from these, at equal speed, each
    a sentence.
    """
    problems, known = [], on_record()
    for name, value in values.items():
        figure = known[name]
        expected = float(figure["value"]) * (
            loop / float(figure["loop"]) if "loop" in figure else 1
        )
        if not 1 / OFF <= float(value) / expected <= OFF:
            problems.append(
                f"{name}: {value}, where {expected:.3g} is due by {figure['command']}"
            )
    return problems


def rounded(value: float) -> str:
    """Two digits: nobody needs more, and the next measurement has others."""
    return f"{float(f'{value:.1e}'):g}"


def _seconds(command: str) -> float:
    """The time that a command takes where nothing is known of earlier runs."""
    shutil.rmtree(ROOT / ".mypy_cache", ignore_errors=True)
    (ROOT / ".kata" / "known.sqlite").unlink(missing_ok=True)
    began = time.monotonic()
    subprocess.run(command, shell=True, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def _wheel() -> float:
    subprocess.run(
        ["make", "-s", "wheel"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    return (
        max(
            (path.stat() for path in (ROOT / "dist").glob("*.whl")),
            key=lambda found: found.st_mtime,
        ).st_size
        / 1e6
    )


def _disk() -> float:
    """A checkout and its environment, without what only tests and development need."""
    files = [ROOT / name for name in _git("ls-files", "-z").split("\0")]
    files += [
        Path(file.locate()) for package in bare.needed() for file in package.files or ()
    ]
    kilobytes = int(_git("count-objects", "-v").partition("size-pack: ")[2].split()[0])
    return (
        sum(file.stat().st_size for file in files if file.is_file()) + 1024 * kilobytes
    ) / 1e9


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


QUICK: dict[str, Callable[[], float]] = {
    "make check, seconds": lambda: _seconds("make check"),
    "kata stacks 30, seconds": lambda: _seconds(".venv/bin/kata stacks 30"),
    "make mutants KATA=16, minutes": lambda: _seconds("make mutants KATA=16") / 60,
    "make site NOTEBOOKS=no, minutes": lambda: _seconds("make site NOTEBOOKS=no") / 60,
    "the wheel, MB": _wheel,
    "disk, GB": _disk,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.figures", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("what", nargs="?", choices=["measure", "check"])
    parser.add_argument("name", nargs="?", choices=QUICK)
    options = parser.parse_args()
    problems = []
    for name in [options.name] if options.name else QUICK if options.what else ():
        loop, measured = speed.loop(), {name: rounded(QUICK[name]())}
        if options.what == "check":
            problems += off(measured, loop)
        else:
            put(measured, HERE, loop)
        print(f"{measured[name]:>8}  {name}", flush=True)
    if not options.what:
        for name, figure in on_record().items():
            print(
                f"{figure['value']:>8}  {name:<52} {figure.get('loop', ''):>5} "
                f"{figure['command']}"
            )
    if problems:
        raise SystemExit("\n".join(problems))


if __name__ == "__main__":
    main()
