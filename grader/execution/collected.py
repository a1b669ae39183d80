"""Collects specs once, in the forkserver, so that every worker is forked with them in memory."""

import contextlib
import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.course.catalogue import Kata
from grader.specs import pytest_private

PLUGINS = ("grader.specs.plugin", "pytest_timeout", "_hypothesis_pytestplugin")
NOT_NEEDED = (
    "cacheprovider",
    "faulthandler",
    "junitxml",
    "logging",
    "threadexception",
    "unraisableexception",
    "warnings",
    "unittest",
    "doctest",
    "pastebin",
    "stepwise",
    "setuponly",
    "setupplan",
    "legacypath",
    "subtests",
)
OPTIONS = [
    *(
        "--noconftest",
        "--assert=plain",
        "--capture=no",
        "--no-header",
        "--no-summary",
        "-qq",
        "--spec-seconds",
        "0",
        "--edges",
    ),
    *(part for name in PLUGINS for part in ("-p", name)),
    *(part for name in NOT_NEEDED for part in ("-p", f"no:{name}")),
]


@dataclass(frozen=True)
class CollectedKata:
    """One kata's specs, ready to run, and the version of the spec file that they come from."""

    session: pytest.Session
    items: list[pytest.Function]
    version: tuple[int, int]


_collected: dict[Kata, CollectedKata] = {}


def specs(kata: Kata) -> CollectedKata:
    """The kata's specs, collected again if the spec file has changed since the fork or there were none.

    Raises:
        LookupError: pytest could not collect the spec file.
    """
    known = _collected.get(kata)
    if known is None or not known.items or known.version != _version(kata):
        collect([kata])
    found = _collected[kata]
    if not found.items and found.session.testsfailed:
        raise LookupError(f"{kata.specs} cannot be collected")
    return found


def collect(katas: Iterable[Kata]) -> None:
    """Collect the specs of these katas, all of one tree, in one pytest session that stays open."""
    katas = list(katas)
    root = katas[0].root
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    versions = {kata: _version(kata) for kata in katas}
    for name in [name for name in sys.modules if name.startswith("katas.")]:
        del sys.modules[name]  # pytest would reuse the spec modules of another tree, or an older version of these
    silence = open(os.devnull, "w")  # stays open: the session's terminal reporter keeps writing to it
    with contextlib.redirect_stdout(silence):
        options = ["-c", str(root / "pyproject.toml"), "--rootdir", str(root), *OPTIONS]
        session = pytest_private.open_session([*options, *(str(kata.specs) for kata in katas)])
    by_file: dict[Path, list[pytest.Function]] = defaultdict(list)
    for item in session.items:
        if isinstance(item, pytest.Function):
            by_file[item.path].append(item)
    for kata in katas:
        _collected[kata] = CollectedKata(session, by_file[kata.specs], versions[kata])


def _version(kata: Kata) -> tuple[int, int]:
    """Modification time and size of the spec file."""
    info = kata.specs.stat()
    return info.st_mtime_ns, info.st_size
