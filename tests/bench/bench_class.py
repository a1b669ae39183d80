"""Time the grading of a class in one run: `kata class` against cold pytest,
otter-grader and nbgrader.

The other two are not among this project's packages. Their environment, which sees this
one's torch, is made beforehand:

    python -m venv ../others && ../others/bin/pip install otter-grader nbgrader
    PACKAGES=lib/python3.11/site-packages
    echo "import site; site.addsitedir('$PWD/.venv/$PACKAGES')" >
    ../others/$PACKAGES/main.pth python -m tests.bench.bench_class --others ../others
"""

import argparse
import ast
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import mean

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from rich.console import Console
from rich.table import Table

from grader.course import catalogue
from grader.course.catalogue import ROOT, Kata
from grader.execution.scheduler import available_cores
from grader.isolation import processes
from tests import figures
from workshop import speed, variants

KATAS = ("01", "16")
# What a class hands in, in percent. The code of the first and the third kind is the
# same for all of them.
MIX = {
    "untouched": 30,
    "half-finished": 20,
    "the same answer": 20,
    "wrong in its own way": 20,
    "right in its own way": 9,
    "hanging": 1,
}
COLD = 12  # submissions that pytest runs on, as many of each kind
# one of each for otter-grader and nbgrader
OTHERS = ("half-finished", "right in its own way", "wrong in its own way")
AT_MOST = ["timeout", "-k", "5", "240"]  # seconds for one command on one submission
SCALE = (1_000, 30)  # students and katas, on paper

# What a notebook's hidden tests import in the other graders' kernels: there every spec
# runs once, without reports.
JUDGE = '''
import contextlib, io, os, types
from pathlib import Path
import pytest
from grader.course import catalogue

passed, failed = set(), set()

class Judge:
    def __init__(self, kata, names):
        self.kata, self.module = kata, types.ModuleType("handed_in")
        vars(self.module).update(names, __file__=str(kata.folder / kata.file.name))
    def pytest_collection_finish(self, session):
        plugin = session.config.pluginmanager.get_plugin("katas")
        plugin.modules[self.kata] = self.module
    def pytest_runtest_logreport(self, report):
        # not an open edge, which is no failure
        if report.failed or (report.when == "call" and report.passed):
            (passed if report.passed else failed).add(report.nodeid.split("::")[1])

def holds(name, spec_class, names):
    """Tell if the specs of that class pass on the names that the notebook's cells have
    defined.
    """
    if not passed | failed:
        kata, here = catalogue.find(name), os.getcwd()
        os.chdir(kata.root)
        with contextlib.redirect_stdout(io.StringIO()):
            options = ["-q", "-p", "no:cacheprovider", str(kata.folder)]
            pytest.main(options, plugins=[Judge(kata, names)])
        os.chdir(here)
    return spec_class in passed - failed
'''
OTTER_TEST = """
from otter.test_files import test_case

OK_FORMAT = False
name = {name!r}
points = 1

@test_case()
def test_specs(env):
    from judge import holds
    assert holds({kata!r}, {spec_class!r}, env)
"""
NBGRADER_CONFIG = (
    "c = get_config()\nc.CourseDirectory.course_id = 'course'\n"
    "c.ExecutePreprocessor.timeout = 200\n"
)


@dataclass(frozen=True)
class Student:
    name: str
    kind: str
    texts: dict[Kata, str]


@dataclass(frozen=True)
class Cost:
    """Of one command, with the processes that it has started."""

    seconds: float
    cpu: float


@dataclass(frozen=True)
class Line:
    """One grader's times for the whole class."""

    grader: str
    runs: str
    seconds: float
    cpu: float
    agrees: str


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--students", type=int, default=200)
    arguments.add_argument(
        "--others",
        type=Path,
        metavar="PATH",
        help="an environment with otter-grader and nbgrader",
    )
    arguments.add_argument(
        "--record",
        action="store_true",
        help="put the figures on record, and into docs/grading.md",
    )
    asked = arguments.parse_args()
    for name in ("otter", "nbgrader"):
        if asked.others and not (asked.others / "bin" / name).exists():
            arguments.error(f"{asked.others} has no {name}: see the top of this file")
    # so that what our command leaves to end by itself is counted to it
    processes.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="kata-bench-") as folder:
        lines, added = report(
            Path(folder), asked.students, asked.others and asked.others.resolve()
        )
    if asked.others and len(lines) < 5:
        raise SystemExit("a row is missing")
    if asked.record:
        command = "python -m tests.bench.bench_class --others VENV --record"
        figures.put(told(lines, added, asked.students), command, speed.loop())


def told(lines: list[Line], added: float, students: int) -> dict[str, str]:
    """What docs/grading.md says of a run."""
    ours, _, *others = lines
    values = {"seconds": ours.seconds, "CPU seconds added to a submission": added}
    values |= {
        f"{line.grader.partition(',')[0]} / ours": line.seconds / ours.seconds
        for line in others
    }
    return {
        f"a class of {students}, {name}": figures.rounded(value)
        for name, value in values.items()
    }


def report(folder: Path, count: int, others: Path | None) -> tuple[list[Line], float]:
    """The rows, and the CPU seconds that grading adds to the specs of a submission."""
    tree = copy_of_the_tree(folder / "tree")
    katas = [catalogue.find(number, tree) for number in KATAS]
    students = a_class(katas, count)
    hand_in(students, folder / "class")
    points, cost, specs_cpu, run = with_kata(tree, folder / "class", "--sealed")
    results = len(students) * len(katas)
    told = f"{run} of {results}, the rest the same code"
    lines = [Line("kata class", told, cost.seconds, cost.cpu, "")]
    open_points, cost, _, _ = with_kata(
        copy_of_the_tree(folder / "other"), folder / "class", "--unsealed"
    )
    same = sum(
        open_points[student.name] == points[student.name] for student in students
    )
    lines.append(
        Line(
            "the same --unsealed",
            told,
            cost.seconds,
            cost.cpu,
            f"{same} of {len(students)}",
        )
    )
    for line in lines:
        tell(line)
    lines += row_of(
        "pytest, cold", with_pytest, tree, katas, students, folder / "class"
    )
    if others:
        env = {
            **os.environ,
            "PATH": f"{others / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": f"{folder}:{tree}",
            "HOME": str(folder),
        }
        (folder / "judge.py").write_text(JUDGE)
        chosen = [next(s for s in students if s.kind == kind) for kind in OTHERS]
        lines += row_of(
            "otter-grader",
            with_otter,
            folder / "otter",
            env,
            katas,
            chosen,
            points,
            results,
        )
        lines += row_of(
            "nbgrader",
            with_nbgrader,
            folder / "nbgrader",
            env,
            katas,
            chosen,
            points,
            results,
        )
    show(lines, students, katas, specs_cpu, run)
    if not others:
        print(
            "otter-grader and nbgrader were not run: give --others PATH, an "
            "environment that has them"
        )
    return lines, (lines[0].cpu - specs_cpu) / results


def tell(line: Line) -> None:
    print(
        f"{line.grader}: {line.runs}, {line.seconds:.0f} s, {line.cpu:.0f} s of CPU "
        "time",
        flush=True,
    )


def row_of(name: str, measure: Callable[..., Line], *given) -> list[Line]:
    """The row of another grader, printed as soon as it is measured; none if that grader
    fails, with the reason.
    """
    try:
        line = measure(*given)
    except Exception as error:
        said = " ".join(str(error).split())[-300:]
        print(
            f"{name}: no row, as it failed: {type(error).__name__}: {said}", flush=True
        )
        return []
    tell(line)
    return [line]


def show(
    lines: list[Line],
    students: list[Student],
    katas: list[Kata],
    specs_cpu: float,
    run: int,
) -> None:
    console, ours, results = (
        Console(width=120, highlight=False),
        lines[0],
        len(students) * len(katas),
    )
    kinds = Counter(student.kind for student in students)
    console.print(
        f"{len(students)} students: "
        f"{', '.join(f'{n} {kind}' for kind, n in kinds.items())}; katas "
        f"{', '.join(KATAS)}"
    )
    table = Table(
        "grader",
        "run",
        "seconds",
        "results a second",
        "CPU seconds a result",
        "time, ours = 1",
        "CPU, ours = 1",
        "points as ours",
        title=(
            f"{results} results on {available_cores()} cores, at a 15-minute load of "
            f"{os.getloadavg()[2]:.1f}"
        ),
    )
    for line in lines:
        table.add_row(
            line.grader,
            line.runs,
            f"{line.seconds:.0f}",
            f"{results / line.seconds:.2f}",
            f"{line.cpu / results:.2f}",
            f"{line.seconds / ours.seconds:.1f}",
            f"{line.cpu / ours.cpu:.1f}",
            line.agrees,
        )
    console.print(table)
    added = ours.cpu - specs_cpu
    console.print(
        f"CPU time of our run: {ours.cpu:.1f} s, of which the workers {specs_cpu:.1f} "
        "s from their fork to their last "
        f"spec. Grading adds {added:.1f} s: {added / results:.3f} s per submission and "
        f"kata, {added / run:.3f} s for each of the {run} that had to be run (aim 0.1)."
    )
    many, hours = SCALE[0] * SCALE[1], 3600
    console.print(
        f"On paper, {SCALE[0]} students × {SCALE[1]} katas with specs like these "
        f"two's: {many * ours.seconds / results / hours:.1f} h on this machine, "
        f"{many * ours.seconds / run / hours:.1f} h if no two had written the same; "
        + ", ".join(
            f"{line.grader} {many * line.seconds / results / hours:.1f} h"
            for line in lines[2:]
        )
    )


def copy_of_the_tree(target: Path) -> Path:
    """This project with no verdict on file, and only the katas of the class."""
    shutil.copytree(
        ROOT / "grader", target / "grader", ignore=shutil.ignore_patterns("__pycache__")
    )
    for kata in map(catalogue.find, KATAS):
        shutil.copytree(
            kata.folder,
            target / "katas" / kata.name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        shutil.copytree(
            kata.reference.parent,
            target / "solutions" / kata.name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, target)
    return target


def a_class(katas: list[Kata], count: int) -> list[Student]:
    """As many students as asked for, in the shares of the mix, at least one of
    each kind.
    """
    kinds = [
        kind
        for kind, percent in MIX.items()
        for _ in range(max(1, count * percent // 100))
    ]
    kinds += ["untouched"] * (count - len(kinds))
    sources = {kata: {kind: cycle(texts(kata, kind)) for kind in MIX} for kata in katas}
    students = []
    for number, kind in enumerate(kinds):
        mark = (
            "" if kind in ("untouched", "the same answer") else f"# student {number}\n"
        )
        students.append(
            Student(
                f"student{number:04}",
                kind,
                {kata: mark + next(sources[kata][kind]) for kata in katas},
            )
        )
    return students


def texts(kata: Kata, kind: str) -> list[str]:
    """Texts of the kata's file of this kind, all of them different."""
    reference = kata.reference.read_text(encoding="utf-8")
    names = [exercise.name for exercise in kata.exercises]
    match kind:
        case "untouched":
            return [(kata.folder / kata.file.name).read_text(encoding="utf-8")]
        case "half-finished":
            return [unwritten(reference, names[done:]) for done in range(1, len(names))]
        case "the same answer":
            return [reference]
        case "wrong in its own way":
            here = Kata(ROOT, kata.name)
            return [
                reference.replace(mistake.was, mistake.now)
                for mistake in variants.mistakes(here)
            ]
        case "right in its own way":
            # each of some exercises, to stand below the reference
            ways = Kata(ROOT, kata.name).accepted
            return [
                f"{reference}\n\n{path.read_text(encoding='utf-8')}" for path in ways
            ]
        case "hanging":
            return [unwritten(reference, names[:1], "while True: pass")]


def unwritten(
    source: str, names: list[str], body: str = "raise NotImplementedError"
) -> str:
    """The source with another body in every function of these names, and in the methods
    of classes of these names.
    """
    tree, owners = ast.parse(source), {name.partition(".")[0] for name in names}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in owners:
            for function in [
                n for n in ast.walk(node) if isinstance(n, ast.FunctionDef)
            ]:
                function.body = ast.parse(body).body
    return ast.unparse(tree)


def hand_in(students: list[Student], folder: Path) -> None:
    for student in students:
        for kata, text in student.texts.items():
            path = folder / student.name / kata.file
            path.parent.mkdir(parents=True)
            path.write_text(text, encoding="utf-8")


def cost_of(
    command: list,
    cwd: Path,
    env: dict[str, str] | None = None,
    *,
    orphans: bool = False,
) -> Cost:
    """Run a command to its end, whatever its exit code.

    Args:
        orphans: wait also for the processes that it leaves behind. Nothing else
            may run.
    """
    started = time.perf_counter()
    with open(cwd / "bench.log", "ab") as log:
        process = subprocess.Popen(
            [*map(str, command)], cwd=cwd, env=env, stdout=log, stderr=log
        )
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, cpu = time.perf_counter() - started, used.ru_utime + used.ru_stime
    while orphans:
        try:
            _, _, used = os.wait3(0)
            cpu += used.ru_utime + used.ru_stime
        except ChildProcessError:
            break
    return Cost(seconds, cpu)


def with_kata(tree: Path, handed_in: Path, how: str) -> tuple[dict, Cost, float, int]:
    """Each student's points per kata, what grading the class took, the CPU time of its
    workers, and their number.
    """
    lines = tree / "results.jsonl"
    command = [
        sys.executable,
        "-c",
        "from grader.cli.main import main; main()",
        "class",
        handed_in,
        *KATAS,
        how,
        "--results",
        lines,
    ]
    cost = cost_of(command, tree, orphans=True)
    points: dict[str, dict[str, int]] = defaultdict(dict)
    for line in map(json.loads, lines.read_text(encoding="utf-8").splitlines()):
        points[line["student"]][line["kata"]] = line["points"]
    [(run, cpu)] = sqlite3.connect(tree / ".kata" / "known.sqlite").execute(
        "SELECT count(*), sum(json_extract(value, '$.cpu_seconds')) FROM known WHERE "
        "kind = 'result'"
    )
    return points, cost, cpu, run


def with_pytest(
    tree: Path, katas: list[Kata], students: list[Student], handed_in: Path
) -> Line:
    """One command per submission and kata, one at a time per core. A kind's costs count
    as often as there are of it.
    """
    kinds = Counter(student.kind for student in students)
    by_kind = {
        kind: [s for s in students if s.kind == kind][: COLD // len(MIX)]
        for kind in kinds
    }
    work = [
        (kind, student, kata)
        for kind, chosen in by_kind.items()
        for student in chosen
        for kata in katas
    ]

    def one(item) -> Cost:
        _, student, kata = item
        code = f"--code={handed_in / student.name}"
        return cost_of(
            [
                *AT_MOST,
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                code,
                kata.folder,
            ],
            tree,
        )

    with ThreadPoolExecutor(available_cores()) as pool:
        costs = list(zip(work, pool.map(one, work), strict=True))
    seconds = cpu = 0.0
    for kind, number in kinds.items():
        of_kind = [cost for item, cost in costs if item[0] == kind]
        seconds += (
            number
            * len(katas)
            * mean(cost.seconds for cost in of_kind)
            / available_cores()
        )
        cpu += number * len(katas) * mean(cost.cpu for cost in of_kind)
    return Line("pytest, cold", f"{len(work)}, scaled by kind", seconds, cpu, "")


def with_otter(
    folder: Path,
    env: dict,
    katas: list[Kata],
    students: list[Student],
    points: dict,
    results: int,
) -> Line:
    """`otter run`, one command a submission and kata, as many at a time as there
    are cores.
    """
    for kata in katas:
        tests = folder / kata.name / "tests"
        tests.mkdir(parents=True)
        for exercise in kata.exercises:
            text = OTTER_TEST.format(
                name=exercise.name, kata=kata.name, spec_class=exercise.spec_class
            )
            (tests / f"{exercise.name}.py").write_text(text)
        cost_of(
            [
                "otter",
                "generate",
                "-t",
                tests,
                "-o",
                tests.with_name("autograder.zip"),
                "--no-requirements",
            ],
            folder,
            env,
        )
    work = [(student, kata) for student in students for kata in katas]

    def one(item) -> tuple[Cost, bool]:
        student, kata = item
        place = folder / student.name / kata.name
        place.mkdir(parents=True)
        write_notebook(place / "handed_in.ipynb", [new_code_cell(student.texts[kata])])
        grader = folder / kata.name / "autograder.zip"
        cost = cost_of(
            [
                *AT_MOST,
                "otter",
                "run",
                "--no-logo",
                "-a",
                grader,
                "-o",
                place,
                place / "handed_in.ipynb",
            ],
            folder,
            env,
        )
        scores = json.loads((place / "results.json").read_text())["tests"]
        return cost, sum(test.get("score", 0) for test in scores) == points[
            student.name
        ][kata.name]

    with ThreadPoolExecutor(available_cores()) as pool:
        done = list(pool.map(one, work))
    seconds = mean(cost.seconds for cost, _ in done) * results / available_cores()
    agree = sum(same for _, same in done)
    return Line(
        "otter-grader",
        f"{len(work)}, scaled",
        seconds,
        mean(cost.cpu for cost, _ in done) * results,
        f"{agree} of {len(work)}",
    )


def with_nbgrader(
    folder: Path,
    env: dict,
    katas: list[Kata],
    students: list[Student],
    points: dict,
    results: int,
) -> Line:
    """`nbgrader autograde`, one command for all of the sample, which it grades one
    after another.
    """
    folder.mkdir()
    (folder / "nbgrader_config.py").write_text(NBGRADER_CONFIG)
    for kata in katas:
        notebook = [
            nbgrader_cell("raise NotImplementedError", "handed_in", solution=True)
        ]
        for exercise in kata.exercises:
            test = (
                "from judge import holds\n"
                f"assert holds({kata.name!r}, {exercise.spec_class!r}, globals())"
            )
            notebook.append(nbgrader_cell(test, exercise.name, solution=False))
        write_notebook(folder / "source" / "course" / f"{kata.module}.ipynb", notebook)
    cost_of(["nbgrader", "generate_assignment", "course"], folder, env)
    for student in students:
        for kata in katas:
            released = nbformat.read(
                folder / "release" / "course" / f"{kata.module}.ipynb", as_version=4
            )
            released.cells[0].source = student.texts[kata]
            write_notebook(
                folder / "submitted" / student.name / "course" / f"{kata.module}.ipynb",
                released.cells,
            )
    cost = cost_of(
        ["timeout", "-k", "5", "400", "nbgrader", "autograde", "course"], folder, env
    )
    agree, number = 0, len(students) * len(katas)
    for student in students:
        for kata in katas:
            graded = nbformat.read(
                folder
                / "autograded"
                / student.name
                / "course"
                / f"{kata.module}.ipynb",
                as_version=4,
            )
            passed = [
                cell
                for cell in graded.cells[1:]
                if not any(output.output_type == "error" for output in cell.outputs)
            ]
            agree += len(passed) == points[student.name][kata.name]
    return Line(
        "nbgrader",
        f"{number}, scaled",
        cost.seconds / number * results,
        cost.cpu / number * results,
        f"{agree} of {number}",
    )


def nbgrader_cell(source: str, name: str, *, solution: bool):
    about = {
        "grade": not solution,
        "grade_id": name.replace(".", "-"),  # nbgrader refuses dots
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    return new_code_cell(
        source, metadata={"nbgrader": about | ({} if solution else {"points": 1})}
    )


def write_notebook(path: Path, cells: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kernel = {
        "kernelspec": {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
    }
    nbformat.write(new_notebook(cells=cells, metadata=kernel), path)


if __name__ == "__main__":
    main()
