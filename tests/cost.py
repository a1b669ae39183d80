"""What the project's own tests cost: CPU seconds per file and per kind of promise, of
all processes they start.

python -m tests.cost                 what the last runs of both tiers cost, beside what
                                     is on record; exit code 1 if a figure of
                                     CONTRIBUTING.md is off by half, at equal speed
python -m tests.cost --record        puts them on record: tests/cost.json, and the
                                     figures of CONTRIBUTING.md
python -m tests.cost --against FILE  which tests ran in earlier runs (a copy of
                                     .kata/tests.json) and not in these
"""

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from grader import files
from grader.course import catalogue
from grader.execution.scheduler import available_cores
from grader.isolation import usage
from tests import figures
from workshop import speed

ROOT = Path(__file__).parents[1]
LAST_RUNS, RECORD = ROOT / ".kata" / "tests.json", ROOT / "tests" / "cost.json"
PROMISES = "test_katas.py"
STARTING = "starting and collecting"
TOLD = 60.0  # seconds: growth above this is said after each run


def kind(test: str) -> str:
    """What a test's cost is booked on: its file, or "promise sealed"."""
    file, _, name = test.partition("::")
    return (
        f"promise {name.rpartition('-')[2].rstrip(']')}"
        if file.endswith(PROMISES) and "-" in name
        else file
    )


def order(test: str, seconds: dict[str, float]) -> tuple[float, str]:
    """Sorts what takes long to the front, and what has no record before it. A file's
    tests stay together.
    """
    booked = kind(test)
    return -seconds.get(booked, float("inf")), booked


def runs(path: Path = RECORD) -> dict[str, dict[str, Any]]:
    """The run of each tier: those on record, or the last ones. A tier may
    be missing.
    """
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def on_record() -> dict[str, float]:
    """The recorded seconds of each file and kind of promise, in both tiers together."""
    return seconds_of(runs())


def seconds_of(known: dict[str, dict[str, Any]]) -> dict[str, float]:
    together: Counter[str] = Counter()
    for run in known.values():
        together.update(run["seconds"])
    return dict(together)


def total(run: dict[str, Any]) -> float:
    return sum(run["seconds"].values())


def summary(run: dict[str, Any], known: dict[str, Any]) -> str:
    """One line for the end of a run, which says if it cost more than the run
    on record.
    """
    line = f"{total(run) / 60:.1f} core minutes: make test-report"
    if len(run["tests"]) < known.get("tests", 0) or total(run) <= total(known) + TOLD:
        return line
    return f"{line} says where it is more than the {total(known) / 60:.1f} on record"


def table(last: dict[str, dict[str, Any]], known: dict[str, float]) -> list[str]:
    """A line per file and kind of promise, the costly ones first."""
    seconds = seconds_of(last)
    number = Counter(kind(test) for run in last.values() for test in run["tests"])
    lines = [f"{'':<44} {'tests':>6} {'CPU s':>8} {'on record':>10}"]
    for name in sorted(
        seconds.keys() | known.keys(), key=lambda name: -seconds.get(name, 0.0)
    ):
        told = f"{known[name]:10.1f}" if name in known else " " * 9 + "–"
        lines.append(
            f"{name:<44} {number[name]:>6} {seconds.get(name, 0.0):8.1f} {told}"
        )
    all_seconds, all_known = sum(seconds.values()), sum(known.values())
    return [
        *lines,
        (
            f"{' and '.join(last):<44} {number.total():>6} {all_seconds:8.1f} "
            f"{all_known:10.1f}"
        ),
    ]


def put_on_record(last: dict[str, dict[str, Any]]) -> None:
    """Write tests/cost.json, and the figures of CONTRIBUTING.md."""
    record = runs()
    for tier, run in last.items():
        seconds = {
            name: round(value, 1) for name, value in sorted(run["seconds"].items())
        }
        record[tier] = run | {"tests": len(run["tests"]), "seconds": seconds}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    figures.put(told(record), "python -m tests.cost --record", loop(record))


def told(record: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What CONTRIBUTING.md says of both runs."""
    seconds = seconds_of(record)
    promises = sum(
        value for name, value in seconds.items() if name.startswith("promise ")
    )
    return {
        "make test, minutes": f"{record['quick']['minutes']:.0f}",
        "make test, core minutes": f"{total(record['quick']) / 60:.0f}",
        "make test-all, minutes": (
            f"{sum(run['minutes'] for run in record.values()):.0f}"
        ),
        "make test-all, core minutes": f"{sum(seconds.values()) / 60:.0f}",
        "promises of a kata, CPU seconds": (
            f"{promises / len(catalogue.all_katas()):.0f}"
        ),
    }


def loop(record: dict[str, dict[str, Any]]) -> float:
    """The mean seconds of a fixed loop at the ends of these runs."""
    return sum(run["loop"] for run in record.values()) / len(record)


class Meter:
    """Books CPU time in a process that runs tests, and gathers it in the one that hands
    them out.
    """

    def __init__(self, config: pytest.Config, tier: str):
        self.output = getattr(config, "workeroutput", None)
        self.tier, self.run = tier, {"seconds": {}, "tests": {}}
        self.before, self.started = 0.0, time.monotonic()

    def book(self, name: str, seconds: float) -> None:
        self.run["seconds"][name] = self.run["seconds"].get(name, 0.0) + seconds

    def book_since(self, name: str) -> None:
        """Book what this process and all that it started have used since the
        last time.
        """
        if used := usage.of_this_process():
            self.book(name, used.computing - self.before)
            self.before = used.computing

    def pytest_collection_finish(self) -> None:
        if self.output is not None:
            self.book_since(STARTING)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Any:
        done = yield
        booked = kind(item.nodeid)
        if self.output is not None and (
            nextitem is None or booked != kind(nextitem.nodeid)
        ):
            self.book_since(booked)
        return done

    def pytest_sessionfinish(self) -> None:
        if self.output is not None:
            self.output["seconds"] = self.run["seconds"]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        for name, seconds in (
            getattr(node, "workeroutput", {}).get("seconds", {}).items()
        ):
            self.book(name, seconds)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.run["tests"][report.nodeid] = report.outcome

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.run["seconds"]:
            minutes = round((time.monotonic() - self.started) / 60, 1)
            self.run |= {
                "cores": available_cores(),
                "minutes": minutes,
                "loop": round(speed.loop(), 3),
            }
            known = runs().get(self.tier, {"seconds": {}})
            files.write(
                LAST_RUNS,
                json.dumps(runs(LAST_RUNS) | {self.tier: self.run}, indent=1) + "\n",
            )
            terminalreporter.write_line(summary(self.run, known))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cost", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--record", action="store_true", help="put the last runs on record"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="earlier runs, to compare the lists of tests",
    )
    options = parser.parse_args()
    last = runs(LAST_RUNS)
    if not last:
        raise SystemExit("no run to report on: make test leaves one")
    if options.against:
        tests = [
            {name for run in one.values() for name in run["tests"]}
            for one in (runs(options.against), last)
        ]
        for name, only in (
            ("only before", tests[0] - tests[1]),
            ("only now", tests[1] - tests[0]),
        ):
            print(f"{name}: {len(only)}", *sorted(only), sep="\n  ")
    elif options.record:
        put_on_record(last)
    else:
        print(*table(last, on_record()), sep="\n")
        if last.keys() == runs().keys() and (
            problems := figures.off(told(last), loop(last))
        ):
            raise SystemExit("\n".join(problems))


if __name__ == "__main__":
    main()
