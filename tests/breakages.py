"""Breaks the project in eleven ways, one at a time and in a copy of it, each of which
`make test` must notice.

python -m tests.breakages         exit code 1: something was not noticed
python -m tests.breakages NAME    only what has this word in its name
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.course.catalogue import ROOT

# fails on each of them, and says nothing
PLANTED = "tests/course/test_sources.py::test_each_breakage_can_be_planted"
# `make test`
QUICK = (
    ".venv/bin/python -m pytest -p tests.tiers --tier quick -n auto --dist loadgroup -q"
).split()
# up to the first test that fails
COMMAND = (*QUICK, "--maxfail", "1", "--deselect", PLANTED)
COMMIT = "git -c user.name=x -c user.email=x@localhost commit -q -m copied".split()
NOTICED = re.compile(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", re.MULTILINE)
SIXTEEN = "16_multi_head_attention"


@dataclass(frozen=True)
class Breakage:
    name: str
    file: str
    was: str  # is once in the file
    now: str


BREAKAGES = (
    Breakage(
        "a broken reference",
        f"solutions/{SIXTEEN}/multi_head_attention.py",
        "features // num_heads)).transpose(1, 2)",
        "features // num_heads))",
    ),
    Breakage(
        "another docstring of a stub",
        f"katas/{SIXTEEN}/multi_head_attention.py",
        "Give every head its own slice of the features.",
        "Give each head its own slice of the features.",
    ),
    Breakage(
        "a spec without its comparison",
        f"katas/{SIXTEEN}/test_multi_head_attention.py",
        "check.equal(kata.merge_heads(split), x)",
        "(kata.merge_heads(split), x)",
    ),
    Breakage(
        "an import of a room above",
        "grader/course/pages.py",
        "    if not katas:\n",
        "    from grader.teaching import roster  # noqa: F401\n\n    if not katas:\n",
    ),
    Breakage(
        "another name of an exercise",
        f"katas/{SIXTEEN}/kata.toml",
        'name = "merge_heads"',
        'name = "join_heads"',
    ),
    Breakage(
        "a misspelt attribute of JUnit",
        "grader/reports/junit.py",
        "classname=place",
        "class_name=place",
    ),
    Breakage(
        "an allowed system call",
        "grader/isolation/calls.py",
        "getcpu 309 168,",
        "getcpu 309 168, bpf 321 280,",
    ),
    Breakage(
        "a point too many",
        "grader/results.py",
        "sum(one.point for one in found),",
        "sum(one.point for one in found) + 1,",
    ),
    Breakage(
        "another default of the command",
        "grader/cli/grade.py",
        "    fresh: Fresh = False",
        "    fresh: Fresh = True",
    ),
    Breakage(
        "another output of a snippet",
        f"katas/{SIXTEEN}/README.md",
        "#> tensor([[ 4,  5,",
        "#> tensor([[ 4,  6,",
    ),
    Breakage(
        "syntax of Python 3.12",
        "grader/reports/words.py",
        "\n\ndef counted(",
        "\n\ntype Words = str\n\n\ndef counted(",
    ),
)


def main() -> int:
    chosen = [one for one in BREAKAGES if " ".join(sys.argv[1:]) in one.name]
    with tempfile.TemporaryDirectory(prefix="breakages-") as folder:
        copy = copied(Path(folder))
        if failed := failing(copy, *COMMAND):
            print(f"without any breakage: {told(failed)}")
            return 1
        unnoticed = [one.name for one in chosen if not noticed(copy, one)]
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} were noticed")
    return 1 if unnoticed else 0


def copied(folder: Path) -> Path:
    """The files that git knows, as they are now, in one commit of
    another repository.
    """
    known = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout
    for name in filter(None, os.fsdecode(known).split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for command in (["git", "init", "-q"], ["git", "add", "-A", "-f"], COMMIT):
        subprocess.run(command, cwd=folder, check=True)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def noticed(copy: Path, one: Breakage) -> bool:
    """Whether a test fails on this breakage, and a line that names it."""
    path = copy / one.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(one.was, one.now), encoding="utf-8")
    failed = failing(copy, *COMMAND)
    path.write_text(text, encoding="utf-8")
    print(f"{one.name}: {told(failed) if failed else 'NOT NOTICED'}", flush=True)
    return bool(failed)


def failing(copy: Path, *command: str, **environment: str) -> list[str]:
    """The tests that fail there; how pytest ended, and what it said last, where it
    names none.
    """
    ended = subprocess.run(command, **inside(copy, **environment))
    if ended.returncode == 0:
        return []
    last = (ended.stdout + ended.stderr).strip().splitlines()[-1:]
    return NOTICED.findall(ended.stdout) or [f"exit code {ended.returncode}", *last]


def inside(copy: Path, **environment: str) -> dict[str, Any]:
    """How a command is run there, whose output is wanted."""
    # before the packages that .venv has from here
    paths = os.pathsep.join(map(str, (copy, copy / "katas")))
    environment |= {"PYTHONPATH": paths}
    return {
        "cwd": copy,
        "env": os.environ | environment,
        "capture_output": True,
        "text": True,
    }


def told(failed: list[str]) -> str:
    return ", ".join(failed[:3])


if __name__ == "__main__":
    sys.exit(main())
