"""A pytest plugin: a file of the grader's own tests that passed is not run again while what it reads stays as it was.

What such a file reads: the grader, all tests, the project's settings, and the katas and folders that it names.
`make test` loads it; a run then remembers what passed in `.kata/known.sqlite`, which `make test` begins without,
and `make test KNOWN=yes` with.
"""

import functools
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from grader.course.catalogue import ROOT, all_katas
from grader.execution import result_cache
from grader.memory import Memory

FOLDERS = ("tests/grader", "tests/attacks")  # tests/course is about the katas and the pages: it always runs
ALWAYS = ("grader", "tests", "conftest.py", "pyproject.toml", "setup.py", "Makefile")
NAMED = ("docs", ".github", ".devcontainer", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")
KATA = re.compile(r"(?<![\w.])((?:papers|tinytorch|today)/)?(\d\d)(?![\d.])")


def reads(test_file: Path) -> set[Path]:
    """The files and folders that the tests of this file read."""
    text = test_file.read_text(encoding="utf-8")
    named = {"".join(found) for found in KATA.findall(text)}
    every = "all_katas()" in text
    katas = [kata for kata in all_katas() if every or any(kata.name.startswith(f"{name}_") for name in named)]
    found = {ROOT / name for name in (*ALWAYS, *(name for name in NAMED if name in text))}
    return found.union(*({kata.folder, kata.reference.parent} for kata in katas))


def key(test_file: Path) -> str:
    """A hash of all that these tests read, and of the versions that they run on."""
    told = [f"{path.relative_to(ROOT)} {_digest(path)}" for path in sorted(reads(test_file))]
    return hashlib.sha256("\n".join([*result_cache.surroundings(), *told]).encode()).hexdigest()


class Known:
    """Leaves out what is known to pass, and remembers what has passed."""

    def __init__(self) -> None:
        _digest.cache_clear()
        self.memory = Memory(ROOT)
        self.keys = {
            path.relative_to(ROOT).as_posix(): key(path) for name in FOLDERS for path in (ROOT / name).glob("test_*.py")
        }
        self.known = {name for name, wanted in self.keys.items() if self._found(name, wanted)}
        self.ran: set[str] = set()
        self.failed: set[str] = set()

    def _found(self, name: str, wanted: str) -> bool:
        return self.memory.find("tests", name, wanted) is not None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if _file(item.nodeid) not in self.known]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran.add(_file(report.nodeid))
        if report.failed:
            self.failed.add(_file(report.nodeid))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        is_whole = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if is_whole and not hasattr(session.config, "workerinput"):
            for name in self.keys.keys() & self.ran - self.failed:
                self.memory.keep("tests", name, self.keys[name])

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.known:
            terminalreporter.write_line(
                f"{len(self.known)} of {len(self.keys)} files of the grader's own tests were not run: "
                "they passed with what they read"
            )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Known())


def _file(test: str) -> str:
    return test.partition("::")[0]


@functools.cache
def _digest(path: Path) -> str:
    found = hashlib.sha256()
    for file in _files(path):
        found.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return found.hexdigest()


def _files(path: Path) -> Iterable[Path]:
    inside = sorted(path.rglob("*")) if path.is_dir() else [path]
    return (file for file in inside if file.is_file() and "__pycache__" not in file.parts and ".kata" not in file.parts)
