"""Fixtures of the project's own tests: a small sound tree of katas, and a time limit for each test."""

import json
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from grader import files
from grader.cli.main import main
from grader.course.catalogue import ROOT, Kata, all_katas
from grader.execution.scheduler import available_cores
from grader.isolation import usage
from grader.workers import forkserver
from tests import cost

HERE = Path(__file__).parent
SOUND = HERE / "fixtures" / "sound"
NEEDED = ("xdist", "yaml", "nbclient", "importlinter")  # of the extra `tests`, for every file of tests
KATA = str(Path(sys.executable).with_name("kata"))


def kata_command(*arguments: str | Path, **options) -> subprocess.CompletedProcess:
    """The `kata` command as a person starts it in this repository."""
    return subprocess.run([KATA, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")  # the tests of another file may have ended the forkserver
def warm_workers() -> None:
    """Workers that this process starts are born with the specs of every kata, and of the sound tree."""
    forkserver.collect([*all_katas(), *all_katas(SOUND)])


@pytest.fixture
def kata_here(monkeypatch, capfd):
    """A function that runs the `kata` command as `kata_command` does, but in this process, which saves its start."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(ROOT)

    def run(*arguments: str | Path) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", ["kata", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return subprocess.CompletedProcess(arguments, end.value.code or 0, *capfd.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)


# A shell that starts this run in the background has it ignore Ctrl-C, and all that it starts with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Say what is missing in one line, where only the course is installed. Else measure what the tests cost."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise pytest.UsageError(f"the project's own tests need {', '.join(missing)}: make test installs it")
    if sys.platform == "linux":
        config.pluginmanager.register(Meter(config))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test a time limit, and begin with what takes long."""
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))
    seconds = cost.on_record()["seconds"]
    items.sort(key=lambda item: cost.order(item.nodeid, seconds))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: all cores that this process may use."""
    from tests.scheduling import processes  # here, because it imports xdist

    return processes()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Marks for `--dist loadgroup` would do, if pytest-xdist 3.8 could add them to the node ids of pytest 9.2."""
    from tests.scheduling import ByFile  # here, because it imports xdist

    return ByFile(config, log)


class Meter:
    """Books CPU time in a process that runs tests, and gathers it in the one that hands them out."""

    def __init__(self, config: pytest.Config):
        self.output = getattr(config, "workeroutput", None)
        self.run: dict[str, Any] = {"seconds": {}, "tests": {}}
        self.before, self.started = 0.0, time.monotonic()

    def book(self, name: str, seconds: float) -> None:
        self.run["seconds"][name] = self.run["seconds"].get(name, 0.0) + seconds

    def book_since(self, name: str) -> None:
        """Book what this process and all that it started have used since the last time."""
        if used := usage.of_this_process():
            self.book(name, used.computing - self.before)
            self.before = used.computing

    def pytest_collection_finish(self) -> None:
        if self.output is not None:
            self.book_since(cost.STARTING)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Any:
        done = yield
        booked = cost.kind(item.nodeid)
        if self.output is not None and (nextitem is None or booked != cost.kind(nextitem.nodeid)):
            self.book_since(booked)
        return done

    def pytest_sessionfinish(self) -> None:
        if self.output is not None:
            self.output["seconds"] = self.run["seconds"]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        for name, seconds in getattr(node, "workeroutput", {}).get("seconds", {}).items():
            self.book(name, seconds)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.run["tests"][report.nodeid] = report.outcome

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.run["seconds"]:
            self.run |= {"cores": available_cores(), "minutes": round((time.monotonic() - self.started) / 60)}
            files.write(cost.LAST_RUN, json.dumps(self.run, indent=1) + "\n")
            terminalreporter.write_line(cost.summary(self.run))


@pytest.fixture(scope="session")
def sound() -> list[Kata]:
    """The katas 01_sums (double, total, stretch Doubler) and 02_reuse (quadruple, which builds on 01's double)."""
    return all_katas(SOUND)


@pytest.fixture
def submission(tmp_path):
    """A function that writes the text (or bytes) of a kata's file into a code folder and returns the folder."""

    def write(kata: Kata, code: str | bytes, folder: Path = tmp_path / "code") -> Path:
        path = folder / kata.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(code if isinstance(code, bytes) else code.encode())
        return folder

    return write
