"""Time grading on this machine, in one run: a warm worker beside cold pytest, all katas
beside both bounds.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from grader.course import catalogue
from grader.course.catalogue import ROOT
from grader.execution import grading, scheduler
from grader.workers import forkserver

ROUNDS = 3
SOLUTIONS = ROOT / "solutions"
PYTEST = [sys.executable, "-m", "pytest", "-q", "--code=solutions"]
GRADE = [str(Path(sys.executable).with_name("kata")), "grade", "--code", "solutions"]


def main() -> None:
    katas = [kata for kata in catalogue.all_katas() if not kata.description.lack]
    sixteen = catalogue.find("16")
    forkserver.prepare(katas)
    warm_up = list(grading.grade_folder(katas, SOLUTIONS))
    assert all(result.state == "works" for result in warm_up), (
        "the reference must earn every point"
    )

    cold, warm, whole, alone, imports, specs = [], [], [], [], [], []
    # in turn: a machine that changes its speed changes it for all
    for number in track(range(ROUNDS), "measuring"):
        cold.append(seconds(lambda: run([*PYTEST, str(sixteen.folder)])))
        warm += [
            seconds(lambda: list(grading.grade_folder([sixteen], SOLUTIONS)))
            for _ in range(4)
        ]
        whole.append(seconds(lambda: run(GRADE)))
        imports.append(seconds(lambda: run([sys.executable, "-c", "import torch"])))
        specs.append(
            sum(result.cpu_seconds for result in grading.grade_folder(katas, SOLUTIONS))
        )
        if number == ROUNDS // 2:  # minutes: once, between the others
            alone.append(
                sum(
                    seconds(lambda kata=kata: run([*PYTEST, str(kata.folder)]))
                    for kata in katas
                )
            )

    cores = scheduler.available_cores()
    bound = statistics.median(specs) / cores + statistics.median(imports)
    table = Table(
        "what",
        "seconds (median)",
        "least – most",
        title=f"{len(katas)} katas, {cores} cores, {ROUNDS} rounds",
    )
    for name, figures in {
        "cold pytest katas/16": cold,
        "the same specs, warm worker": warm,
        "import torch": imports,
        "CPU time of all specs, in workers": specs,
        "kata grade, all katas": whole,
        "cold pytest, kata after kata": alone,
    }.items():
        table.add_row(
            name,
            f"{statistics.median(figures):.3f}",
            f"{min(figures):.3f} – {max(figures):.3f}",
        )
    console = Console(width=90)
    console.print(table)
    console.print(
        f"a warm verdict comes {ratio(cold, warm):.1f} times sooner than a cold one"
    )
    console.print(f"the whole set takes 1/{ratio(alone, whole):.1f} of the cold runs")
    console.print(
        f"and {statistics.median(whole) / bound:.2f} × "
        f"(CPU time of the specs ÷ cores + one torch import) = {bound:.2f} s"
    )


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run(command: list[str]) -> None:
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def ratio(slow: list[float], fast: list[float]) -> float:
    return statistics.median(slow) / statistics.median(fast)


if __name__ == "__main__":
    main()
