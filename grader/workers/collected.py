"""Collects specs once, in the forkserver, so that every worker is forked with them
in memory.
"""

import contextlib
import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.course import places
from grader.course.catalogue import Kata
from grader.specs import plugin, pytest_private, teachers_specs

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
        # a failing edge fails here: the runner, not pytest, leaves it out of the point
        "--edges",
    ),
    *(part for name in PLUGINS for part in ("-p", name)),
    *(part for name in NOT_NEEDED for part in ("-p", f"no:{name}")),
]


# of each spec file: its name, modification time and size
Version = list[tuple[str, int, int]]


@dataclass(frozen=True)
class CollectedKata:
    """One kata's specs, ready to run, and the version of the files that they come from.

    A non-empty `problem` says what is wrong with the teacher's own specs.
    """

    session: pytest.Session
    items: list[pytest.Function]
    version: Version
    problem: str


_collected: dict[Kata, CollectedKata] = {}


def specs(kata: Kata) -> CollectedKata:
    """The kata's specs, collected again if a spec file has changed since the fork or
    there were none.

    Raises:
        LookupError: pytest could not collect the kata's own spec file.
    """
    known = _collected.get(kata)
    if known is None or not known.items or known.version != _version(kata):
        collect([kata])
    found = _collected[kata]
    if kata.specs in _katas(found.session).uncollected:
        raise LookupError(f"{kata.specs} cannot be collected")
    return found


def collect(katas: Iterable[Kata]) -> None:
    """Collect the specs of these katas, all of one tree, in one pytest session that
    stays open.
    """
    katas = list(katas)
    root = katas[0].root
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    versions = {kata: _version(kata) for kata in katas}
    for name in [name for name in sys.modules if name.startswith("katas.")]:
        # pytest would reuse the spec modules of another tree, or an older version
        # of these
        del sys.modules[name]
    # stays open: the session's terminal reporter keeps writing to it
    silence = open(os.devnull, "w", encoding="utf-8")
    with contextlib.redirect_stdout(silence):
        options = [
            "-c",
            str(places.configuration(root)),
            "--rootdir",
            str(root),
            *OPTIONS,
        ]
        session = pytest_private.open_session(
            [*options, *(str(path) for kata in katas for path in kata.spec_files)]
        )
    uncollected = _katas(session).uncollected
    by_file: dict[Path, list[pytest.Function]] = defaultdict(list)
    for item in session.items:
        if isinstance(item, pytest.Function):
            by_file[item.path].append(item)
    for kata in katas:
        items = [item for path in kata.spec_files for item in by_file[path]]
        empty = [
            (path, "holds no spec") for path in kata.hidden_specs if not by_file[path]
        ]
        problem = teachers_specs.mistake(kata, items, [*uncollected.items(), *empty])
        _collected[kata] = CollectedKata(session, items, versions[kata], problem)


def _version(kata: Kata) -> Version:
    return [
        (path.name, path.stat().st_mtime_ns, path.stat().st_size)
        for path in kata.spec_files
    ]


def _katas(session: pytest.Session) -> plugin.Katas:
    katas = session.config.pluginmanager.get_plugin("katas")
    assert isinstance(katas, plugin.Katas)
    return katas
