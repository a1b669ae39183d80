"""Fixtures of the project's own tests: a small sound tree of katas, and a time limit
for each test.
"""

import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from grader.cli.main import main
from grader.course.catalogue import ROOT, Kata, all_katas, find
from grader.workers import forkserver
from tests import cost

HERE = Path(__file__).parent
SOUND = HERE / "fixtures" / "sound"
# of the extra `tests`, for every file of tests
NEEDED = ("xdist", "yaml", "nbclient", "importlinter")
WARM = ("00", "01", "15", "16")  # katas whose specs most tests run
KATA = str(Path(sys.executable).with_name("kata"))


def kata_command(*arguments: str | Path, **options) -> subprocess.CompletedProcess:
    """The `kata` command as a person starts it in this repository."""
    return subprocess.run(
        [KATA, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **options,
    )


# the tests of another file may have ended the forkserver
@pytest.fixture(scope="module")
def warm_workers() -> None:
    """Workers that this process starts are born with the specs that most tests run. All
    katas' would cost seconds.
    """
    forkserver.collect([*all_katas(SOUND), *map(find, WARM)])


@pytest.fixture
def kata_here(monkeypatch, capfd):
    """A function that runs the `kata` command as `kata_command` does, but in this
    process, which saves its start.

    What this machine's isolation lacks is left out of its output, which is the same on
    every machine then.
    """
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(ROOT)

    def run(*arguments: str | Path) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", ["kata", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said, complaint = capfd.readouterr()
        said = re.sub(r"^isolation of the graded code is reduced .*\n", "", said)
        return subprocess.CompletedProcess(
            arguments, end.value.code or 0, said, complaint
        )

    yield run
    signal.signal(signal.SIGTERM, before)


# A shell that starts this run in the background has it ignore Ctrl-C, and all that it
# starts with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Say what is missing in one line, where only the course is installed. The quick
    tier needs no other extra.
    """
    is_quick = config.getoption("tier", None) == "quick"
    # this run's options, not those of the pytest that tests start
    os.environ.pop("PYTEST_ADDOPTS", None)
    # hundreds of the tests' processes would compile the grader anew
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if missing := [name for name in NEEDED if find_spec(name) is None and not is_quick]:
        raise pytest.UsageError(
            "pytest katas runs the specs of your code. "
            f"The project's own tests need {', '.join(missing)}: make test-all "
            "installs it"
        )
    # Python 3.12 and later. xdist and torch have threads; what tests fork runs none of
    # them, and ends.
    config.addinivalue_line(
        "filterwarnings", "ignore:This process .* is multi-threaded:DeprecationWarning"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test a time limit, and begin with what takes long."""
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))
    seconds = cost.on_record()
    items.sort(key=lambda item: cost.order(item.nodeid, seconds))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: all cores that this process may use."""
    from tests.scheduling import processes  # here, because it imports xdist

    return processes()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Marks for `--dist loadgroup` would do, if pytest-xdist 3.8 could add them to the
    node ids of pytest 9.2.
    """
    from tests.scheduling import ByFile  # here, because it imports xdist

    return ByFile(config, log)


@pytest.fixture(scope="session")
def sound() -> list[Kata]:
    """The katas 01_sums (double, total, stretch Doubler) and 02_reuse (quadruple, which
    builds on 01's double).
    """
    return all_katas(SOUND)


@pytest.fixture
def submission(tmp_path):
    """A function that writes the text (or bytes) of a kata's file into a code folder
    and returns the folder.
    """

    def write(kata: Kata, code: str | bytes, folder: Path = tmp_path / "code") -> Path:
        path = folder / kata.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(code if isinstance(code, bytes) else code.encode())
        return folder

    return write
