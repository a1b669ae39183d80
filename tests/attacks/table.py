"""`python -m tests.attacks.table`: forgeries of each kind, and how many of them earn points with one lock and with two."""

import sys
import tempfile
from collections import Counter
from pathlib import Path

from grader.course import catalogue
from grader.execution import grading
from grader.protocol import RunOptions
from grader.results import KataResult
from tests.attacks.forgeries import FORGERIES, Forgery


def graded(forgery: Forgery, folder: Path) -> KataResult:
    """Grade the kata's untouched stub, sealed, with this code behind it."""
    kata = catalogue.find(forgery.kata)
    (folder / kata.file).parent.mkdir(parents=True, exist_ok=True)
    (folder / kata.file).write_text(f"{kata.code.read_text(encoding='utf-8')}\n{forgery.code}", encoding="utf-8")
    [result] = grading.grade_folder([kata], folder, options=RunOptions(sealed=True, spec_seconds=2.0))
    return result


def earned(result: KataResult) -> list[str]:
    """The exercises that have a point, but for those that kata.toml says no second lock can judge."""
    return [exercise.name for exercise in result.exercises if exercise.works and exercise.sealed != "unsealed"]


def fooled(result: KataResult) -> list[str]:
    """The exercises that would have a point unsealed: the first lock let them pass on to the second one."""
    return [exercise.name for exercise in result.exercises if exercise.sealed in ("passed", "failed")]


def main() -> int:
    """Grade every forgery. Exit code 1 if one earns a point sealed."""
    number, earning = Counter[str](), {False: Counter[str](), True: Counter[str]()}
    points = {False: 0, True: 0}
    for forgery in FORGERIES:
        with tempfile.TemporaryDirectory(prefix="kata-") as folder:
            result = graded(forgery, Path(folder))
        number[forgery.kind] += 1
        for sealed, found in ((False, fooled(result)), (True, earned(result))):
            earning[sealed][forgery.kind] += found != []
            points[sealed] += len(found)
        if earned(result):
            print(f"{forgery.kata} {forgery.name}: {earned(result)}", flush=True)
    print(f"{'kind':<34} {'how many':>8} {'earn unsealed':>14} {'earn sealed':>12}")
    for kind, amount in number.items():
        print(f"{kind:<34} {amount:>8} {earning[False][kind]:>14} {earning[True][kind]:>12}")
    print(f"{'together':<34} {sum(number.values()):>8} {earning[False].total():>14} {earning[True].total():>12}")
    print(f"points: {points[False]} unsealed, {points[True]} sealed")
    return int(points[True] > 0)


if __name__ == "__main__":
    sys.exit(main())
