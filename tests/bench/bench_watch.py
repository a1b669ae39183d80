"""Time the answer of `kata watch` to a save, beside cold pytest, in one run: kata 16, in a pseudo-terminal."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from grader.course.catalogue import ROOT, Kata, find
from grader.execution import grading
from tests.grader.test_watch import Terminal

ROUNDS = 7
WRONG = ("/ math.sqrt(self.d_k)", "")  # scores that are not scaled: the core's fourth exercise is wrong


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder)
        sixteen = Kata(checkout, find("16").name)
        shutil.copytree(ROOT / "grader", checkout / "grader", ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("katas", "solutions"):
            shutil.copytree(ROOT / part / sixteen.name, checkout / part / sixteen.name)
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, checkout)
        measure(sixteen)


def measure(kata: Kata) -> None:
    right = kata.reference.read_text()
    texts = {"everything right": right, "one exercise wrong": right.replace(*WRONG)}
    waits: dict[str, list[float]] = {name: [] for name in texts}
    cold: dict[str, list[float]] = {name: [] for name in texts}
    cpu: dict[str, list[float]] = {name: [] for name in texts}
    screen = Terminal(kata.root, "16")
    screen.verdict("not written yet")
    for number in range(ROUNDS):
        for name, text in texts.items():
            save(kata, f"{text}\n# {number}\n")
            started = time.perf_counter()
            screen.verdict("kata hint 16 MultiHeadAttention" if text != right else "Every exercise of this kata works")
            waits[name].append(time.perf_counter() - started)
            code = kata.root / "katas"
            cpu[name] += [result.cpu_seconds for result in grading.grade_folder([find("16")], code)]
            started = time.perf_counter()
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                *(["-x"] if text != right else []),
                str(kata.folder),
                "-p",
                "no:cacheprovider",
            ]
            subprocess.run(
                command, cwd=kata.root, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(kata.root)}
            )
            cold[name].append(time.perf_counter() - started)
    screen.process.kill()
    table = Table(
        "from a save of kata 16 to the verdict",
        "watch",
        "specs' CPU",
        "cold pytest",
        "times sooner",
        title=f"{ROUNDS} rounds, median seconds",
    )
    for name in texts:
        wait, own, slow = (statistics.median(figures[name]) for figures in (waits, cpu, cold))
        table.add_row(name, f"{wait:.3f}", f"{own:.3f}", f"{slow:.2f}", f"{slow / wait:.1f}")
    Console(width=100).print(table)
    print("specs' CPU is that of all specs of the kata; watch stops at the first failure")


def save(kata: Kata, text: str) -> None:
    path = kata.folder / kata.file.name
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)


if __name__ == "__main__":
    main()
