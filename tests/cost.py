"""What the project's own tests cost: CPU seconds per file and per kind of promise, of all processes they start.

python -m tests.cost                  what the last run cost, beside what is on record
python -m tests.cost --record         puts it on record: tests/cost.json, and the figures of CONTRIBUTING.md
python -m tests.cost --against FILE   which tests ran in an earlier run (a copy of .kata/tests.json) and not in it
"""

import argparse
import json
from pathlib import Path
from typing import Any

from grader.course import catalogue
from tests import figures

ROOT = Path(__file__).parents[1]
LAST_RUN, RECORD = ROOT / ".kata" / "tests.json", ROOT / "tests" / "cost.json"
PROMISES = "test_katas.py"
STARTING = "starting and collecting"
TOLD = 60.0  # seconds: growth above this is said after each run


def kind(test: str) -> str:
    """What a test's cost is booked on: its file, or "promise sealed"."""
    file, _, name = test.partition("::")
    return f"promise {name.rpartition('-')[2].rstrip(']')}" if file.endswith(PROMISES) and "-" in name else file


def order(test: str, seconds: dict[str, float]) -> tuple[float, str]:
    """Sorts what takes long to the front, and what has no record before it. A file's tests stay together."""
    booked = kind(test)
    return -seconds.get(booked, float("inf")), booked


def on_record() -> dict[str, Any]:
    """The recorded run."""
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {"seconds": {}}


def total(run: dict[str, Any]) -> float:
    return sum(run["seconds"].values())


def summary(run: dict[str, Any]) -> str:
    """One line for the end of a run, and a second one if it cost more than what is on record."""
    known = on_record()
    line = f"{total(run) / 60:.1f} core minutes: make test-report"
    if len(run["tests"]) < known.get("tests", 0) or total(run) <= total(known) + TOLD:
        return line
    return f"{line} says where it is more than the {total(known) / 60:.1f} on record"


def table(run: dict[str, Any], known: dict[str, Any]) -> list[str]:
    """A line per file and kind of promise, the costly ones first."""
    seconds, before = run["seconds"], known["seconds"]
    number: dict[str, int] = {}
    for test in run["tests"]:
        number[kind(test)] = number.get(kind(test), 0) + 1
    lines = [f"{'':<44} {'tests':>6} {'CPU s':>8} {'on record':>10}"]
    for name in sorted(seconds.keys() | before.keys(), key=lambda name: -seconds.get(name, 0.0)):
        told = f"{before[name]:10.1f}" if name in before else " " * 9 + "–"
        lines.append(f"{name:<44} {number.get(name, 0):>6} {seconds.get(name, 0.0):8.1f} {told}")
    lines.append(f"{'all':<44} {len(run['tests']):>6} {total(run):8.1f} {total(known):10.1f}")
    return lines


def put_on_record(run: dict[str, Any]) -> None:
    """Write tests/cost.json, and the figures of CONTRIBUTING.md."""
    seconds = {name: round(value, 1) for name, value in sorted(run["seconds"].items())}
    record = {"tests": len(run["tests"]), "cores": run["cores"], "minutes": run["minutes"], "seconds": seconds}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    figures.put(told(record), "python -m tests.cost --record")


def told(record: dict[str, Any]) -> dict[str, str]:
    """What CONTRIBUTING.md says of a run."""
    promises = sum(value for name, value in record["seconds"].items() if name.startswith("promise "))
    return {
        "make test, minutes": str(record["minutes"]),
        "make test, core minutes": f"{total(record) / 60:.0f}",
        "promises of a kata, CPU seconds": f"{promises / len(catalogue.all_katas()):.0f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cost", description=__doc__.partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="put the last run on record")
    parser.add_argument("--against", type=Path, metavar="FILE", help="an earlier run, to compare the lists of tests")
    options = parser.parse_args()
    if not LAST_RUN.is_file():
        raise SystemExit("no run to report on: make test leaves one")
    run = json.loads(LAST_RUN.read_text(encoding="utf-8"))
    if options.against:
        earlier = json.loads(options.against.read_text(encoding="utf-8"))["tests"]
        for name, here, there in (("only before", earlier, run["tests"]), ("only now", run["tests"], earlier)):
            print(f"{name}: {len(here.keys() - there.keys())}", *sorted(here.keys() - there.keys()), sep="\n  ")
    elif options.record:
        put_on_record(run)
    else:
        print(*table(run, on_record()), sep="\n")


if __name__ == "__main__":
    main()
