"""Hold the CPU seconds of commands, locks, katas, saves and a class against
performance.toml; `--record` writes it.

Of the katas it takes those that it is given, or all.

Figures are multiples of importing torch, NumPy and pytest, which is measured between
them: another CPU is no finding.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from rich.progress import track

from grader.course import catalogue
from grader.course.catalogue import ROOT, Kata
from grader.execution import grading
from grader.isolation import proc, processes, usage
from grader.protocol import RunOptions
from grader.workers import forkserver, servers
from tests.bench import bench_watch

BUDGETS = Path(__file__).with_name("performance.toml")
HEADROOM = 1.3  # above its budget times this, a figure fails
MOST_SEALED = 4.0  # sealed over unsealed, of a kata that has no budget yet
ROUNDS = 5
# CPU seconds of a kata's unsealed runs, or so many runs: the system tells hundredths
ENOUGH, MOST_TIMES = 1.0, 3
CLASS = 20
# of the course and the class that the figures are projected to
KATAS, STUDENTS = 500, 1000
IMPORTS = [sys.executable, "-c", "import torch, numpy, pytest"]
KATA = str(Path(sys.executable).with_name("kata"))
PYTEST = [sys.executable, "-m", "pytest", "-q", "--code=solutions", "katas/16"]
COMMANDS = (
    "--help",
    "list",
    "next",
    "hint 16 split_heads --level 1",
    "lesson 16 --text",
)
GRADE = (KATA, "grade", "16", "--code", "solutions")

# section → what is measured → multiples of the imports
Figures = dict[str, dict[str, float]]


def main() -> None:
    processes.adopt_orphans()
    queries = [word for word in sys.argv[1:] if word != "--record"]
    can_run = [kata for kata in catalogue.all_katas() if not kata.description.lack]
    katas = [catalogue.find(query) for query in queries] or can_run
    figures = measured(katas)
    if "--record" in sys.argv:
        BUDGETS.write_text(written(figures), encoding="utf-8")
    budgets = tomllib.loads(BUDGETS.read_text(encoding="utf-8"))
    # by chance, perhaps: the smaller of two counts
    if too_high := {name for _, name in above(budgets, figures)}:
        for section, rows in measured(
            [kata for kata in katas if kata.name in too_high]
        ).items():
            figures[section] |= {
                name: min(figure, figures[section][name])
                for name, figure in rows.items()
            }
    sys.exit(told(budgets, figures))


def measured(katas: list[Kata]) -> Figures:
    commands: dict[str, list[str]] = {
        f"kata {words}": [KATA, *words.split()] for words in COMMANDS
    }
    locks = {
        "pytest, cold": PYTEST,
        "kata grade, cold": [*GRADE],
        "the same sealed": [*GRADE, "--sealed"],
    }
    units, costs = list[float](), {name: list[float]() for name in [*commands, *locks]}
    # in turn: a machine that changes its speed does so for all
    for _ in track(range(ROUNDS), "commands and locks"):
        units.append(cpu(IMPORTS))
        for name, command in (commands | locks).items():
            costs[name].append(cpu(command))
    unit = statistics.median(units)
    print(f"importing torch, NumPy and pytest: {unit:.2f} s of CPU, which is 1")
    medians = {name: statistics.median(found) / unit for name, found in costs.items()}
    fixed, marginal = of_a_class()
    watched = bench_watch.measured()
    bench_watch.tell(watched)
    return {
        "commands": {name: medians[name] for name in commands},
        "locks": {name: medians[name] for name in locks},
        "kata watch": {
            "a save, above the specs' own": statistics.median(
                one.above[1] for one in watched
            )
            / unit
        },
        "class": {"fixed": fixed / unit, "marginal": marginal / unit},
        "sealed over unsealed": sealed_over_unsealed(katas),
    }


def of_a_class() -> tuple[float, float]:
    """The CPU seconds of grading kata 16 of a class, sealed: for any class, and for
    each student more.
    """
    one, many = (
        min(of_students(number) for _ in range(2)) for number in (1, 1 + CLASS)
    )
    return one, (many - one) / CLASS


def of_students(number: int) -> float:
    """The CPU seconds of grading so many students, each with a text of their own that
    nobody has graded before.
    """
    kata = catalogue.find("16")
    with tempfile.TemporaryDirectory() as folder:
        for student in range(number):
            place = Path(folder, f"student{student}", kata.file)
            place.parent.mkdir(parents=True)
            place.write_text(f"{kata.reference.read_text()}\n# {student} in {folder}\n")
        return cpu([KATA, "class", folder, "16"])


def sealed_over_unsealed(katas: list[Kata]) -> dict[str, float]:
    """The CPU seconds of both locks over those of the first alone, per kata, with
    servers that are there already.
    """
    forkserver.collect(katas)
    for kata in katas[:1]:
        grade(kata, sealed=True)  # starts the servers
    found = {}
    for kata in track(katas, "katas"):
        alone, both = list[float](), list[float]()
        while sum(alone) < ENOUGH and len(alone) < MOST_TIMES:
            alone.append(grade(kata, sealed=False))
            both.append(grade(kata, sealed=True))
        if min(alone + both):
            found[kata.name] = sum(both) / sum(alone)
        else:
            print(
                f"{kata.name}: not measured, as its reference did not pass: is the "
                "machine busy?"
            )
    return found


def grade(kata: Kata, *, sealed: bool) -> float:
    """The CPU seconds of grading the kata's reference; 0 if it did not pass."""
    before = usage.of_this_process()
    [result] = grading.grade_folder(
        [kata], kata.solutions, options=RunOptions(sealed=sealed)
    )
    after = usage.of_this_process()
    return (
        after.computing - before.computing
        if before and after and result.state == "works"
        else 0.0
    )


def cpu(command: Iterable[str]) -> float:
    """The CPU seconds of a command and all processes that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    while {*proc.children(os.getpid())} - servers.helpers():
        os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def written(figures: Figures) -> str:
    text = (
        "# CPU time in multiples of importing torch, NumPy and pytest, measured by "
        "tests.bench.performance --record.\n"
    )
    text += (
        f"# make bench fails where a figure is above {HEADROOM} times its budget "
        "here.\n"
    )
    for section, rows in figures.items():
        text += f'\n["{section}"]\n' + "".join(
            f'"{name}" = {figure:.2f}\n' for name, figure in rows.items()
        )
    return text


def told(budgets: Figures, figures: Figures) -> int:
    """Print each budget beside its figure, and the figures of a large course and class.
    Returns the exit code.
    """
    width = min(60, shutil.get_terminal_size().columns - 30)
    high = above(budgets, figures)
    for section, rows in figures.items():
        print(f"\n{section:<{width}}  budget  figure")
        for name, figure in rows.items():
            mark = "  ABOVE" if (section, name) in high else ""
            print(
                f"{name:<{width}}  {budget(budgets, section, name):6.2f}  "
                f"{figure:6.2f}{mark}"
            )
    listing, katas = figures["commands"]["kata list"], len(catalogue.all_katas())
    per_kata = (listing - figures["commands"]["kata --help"]) / katas
    print(f"\n{KATAS} katas: kata list {listing + (KATAS - katas) * per_kata:.2f}")
    of_class = figures["class"]
    print(
        f"{STUDENTS} students: kata 16, sealed, "
        f"{of_class['fixed'] + STUDENTS * of_class['marginal']:.0f}"
    )
    print(
        "sealed over unsealed: median "
        f"{statistics.median(figures['sealed over unsealed'].values()):.2f}"
    )
    print(
        f"{len(high)} figures are above {HEADROOM} × their budget"
        if high
        else "all figures are within their budgets"
    )
    return 1 if high else 0


def above(budgets: Figures, figures: Figures) -> list[tuple[str, str]]:
    """The section and the name of each figure that fails."""
    return [
        (section, name)
        for section, rows in figures.items()
        for name, figure in rows.items()
        if figure > HEADROOM * budget(budgets, section, name)
    ]


def budget(budgets: Figures, section: str, name: str) -> float:
    return budgets[section].get(name, MOST_SEALED)


if __name__ == "__main__":
    main()
