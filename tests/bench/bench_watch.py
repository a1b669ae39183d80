"""Measure the answer of `kata watch` to a save, beside the specs' own time: kata 16, in
a pseudo-terminal.

The CPU time is that of the session and of all processes it starts, from one save to
the next.
"""

import os
import pty
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from grader.course.catalogue import ROOT, Kata, find
from grader.execution import grading
from grader.isolation import usage

SAVES = 100
ALONE = 10  # of how many saves the specs of one are run by themselves, too
MOST_ABOVE = 0.15  # seconds
WAITS = b"\x1b[0m quit"  # of the keys below every verdict
VERDICT_SECONDS = 100


@dataclass(frozen=True)
class Answer:
    """What came after a save: until the verdict, and of the specs of that
    text alone.
    """

    wall: float
    cpu: float
    own_wall: float
    own_cpu: float

    @property
    def above(self) -> tuple[float, float]:
        """What watching takes beside the specs, by the clock and in CPU time."""
        return self.wall - self.own_wall, self.cpu - self.own_cpu


def tell(answers: list[Answer]) -> None:
    """Print median and worst of all columns."""
    print(
        f"from a save of kata 16 to its verdict, {len(answers)} saves, in seconds     "
        "median   worst"
    )
    columns = {
        "by the clock": [one.wall for one in answers],
        "the specs' own": [one.own_wall for one in answers],
        "above them": [one.above[0] for one in answers],
        "CPU": [one.cpu for one in answers],
        "the specs' own CPU": [one.own_cpu for one in answers],
        "above it": [one.above[1] for one in answers],
    }
    for name, found in columns.items():
        print(f"{name:<66} {statistics.median(found):6.3f}  {max(found):6.3f}")
    print(f"goal: at most {MOST_ABOVE} above the specs' own")


def measured(saves: int = SAVES) -> list[Answer]:
    """Save right code so many times, each text another one."""
    with tempfile.TemporaryDirectory() as folder:
        kata = Kata(Path(folder), find("16").name)
        shutil.copytree(
            ROOT / "grader",
            kata.root / "grader",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        for part in ("katas", "solutions"):
            shutil.copytree(ROOT / part / kata.name, kata.root / part / kata.name)
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, kata.root)
        screen, theirs = pty.openpty()
        program = "from grader.cli.main import main; main()"
        command = [sys.executable, "-c", program, "watch", kata.number]
        around = os.environ | {"PYTHONPATH": str(kata.root), "TERM": "xterm"}
        session = subprocess.Popen(
            command,
            cwd=kata.root,
            env=around,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        try:
            _read_until_it_waits(screen)
            return _answers(kata, session.pid, screen, saves)
        finally:
            # a signal from the keyboard is ignored by what a shell runs in
            # the background
            os.write(screen, b"q")
            session.wait(VERDICT_SECONDS)
            os.close(screen)
            os.close(theirs)


def _answers(kata: Kata, session: int, screen: int, saves: int) -> list[Answer]:
    text, own = kata.reference.read_text(), (0.0, 0.0)
    _save(kata, text)  # the first verdict on right code
    _read_until_it_waits(screen)
    answers = []
    for number in track(range(saves), "saves"):
        if number % ALONE == 0:
            [result] = grading.grade_folder([find("16")], kata.root / "katas")
            assert result.state == "works"
            own = (
                sum(spec.seconds for one in result.exercises for spec in one.specs),
                result.cpu_seconds,
            )
        before = _used(session)
        started = time.perf_counter()
        _save(kata, f"{text}\n# {number}\n")
        _read_until_it_waits(screen)
        wall = time.perf_counter() - started
        answers.append(Answer(wall, _used(session) - before, *own))
    return answers


def _save(kata: Kata, text: str) -> None:
    path = kata.folder / kata.file.name
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)


def _read_until_it_waits(screen: int) -> None:
    """Read until a verdict has ended."""
    said, until = b"", time.monotonic() + VERDICT_SECONDS
    while WAITS not in said:
        if not select.select([screen], [], [], max(0.0, until - time.monotonic()))[0]:
            raise TimeoutError(
                f"no verdict in {VERDICT_SECONDS} s, but: {said[-500:]!r}"
            )
        said += os.read(screen, 1 << 16)


def _used(session: int) -> float:
    used = usage.of_processes(usage.tree(session))
    assert used
    return used.computing


if __name__ == "__main__":
    tell(measured())
