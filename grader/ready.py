"""pytest sessions with their specs collected: built once in the forkserver, so that every worker is born with them."""

import contextlib
import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from _pytest.config import _prepareconfig

from grader.catalogue import Kata

OPTIONS = ["--noconftest", "-p", "grader.plugin", "-p", "pytest_timeout", "-p", "_hypothesis_pytestplugin", "--assert=plain",
           "--capture=no", "--no-header", "--no-summary", "-qq", "-p", "no:cacheprovider", "-p", "no:faulthandler",
           "-p", "no:junitxml", "-p", "no:logging", "-p", "no:threadexception", "-p", "no:unraisableexception",
           "-p", "no:warnings", "-p", "no:unittest", "-p", "no:doctest", "-p", "no:pastebin", "-p", "no:stepwise",
           "-p", "no:setuponly", "-p", "no:setupplan", "-p", "no:legacypath", "-p", "no:subtests",
           "--spec-seconds", "0"]  # fmt: skip


@dataclass(frozen=True)
class Collected:
    """One kata's specs, ready to run, and the state of the spec file that they were read from."""

    session: pytest.Session
    items: list[pytest.Function]
    version: tuple[int, int]


_collected: dict[Kata, Collected] = {}


def specs(kata: Kata) -> Collected:
    """The kata's collected specs: those this process was born with, or new ones if there are none or the file changed.

    Raises:
        LookupError: pytest finds none.
    """
    known = _collected.get(kata)
    if known is None or known.version != _version(kata):
        collect([kata])
    if not _collected[kata].items:
        raise LookupError(f"no specs in {kata.specs}")
    return _collected[kata]


def collect(katas: Iterable[Kata]) -> None:
    """Collect the specs of these katas, all of one tree, in one pytest session that stays open."""
    katas = list(katas)
    root = katas[0].root
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    versions = {kata: _version(kata) for kata in katas}
    for name in [name for name in sys.modules if name.startswith("katas.")]:
        del sys.modules[name]  # pytest would take the specs of another tree, or an older state of these, from there
    silence = open(os.devnull, "w")  # stays open: the session's terminal reporter writes to it for good
    with contextlib.redirect_stdout(silence):
        options = ["-c", str(root / "pyproject.toml"), "--rootdir", str(root), *OPTIONS]
        config = _prepareconfig([*options, *(str(kata.specs) for kata in katas)])
        session = pytest.Session.from_config(config)
        config._do_configure()
        config.hook.pytest_sessionstart(session=session)
        config.hook.pytest_collection(session=session)
    by_file = defaultdict(list)
    for item in session.items:
        by_file[item.path].append(item)
    for kata in katas:
        _collected[kata] = Collected(session, by_file[kata.specs], versions[kata])


def _version(kata: Kata) -> tuple[int, int]:
    info = kata.specs.stat()
    return info.st_mtime_ns, info.st_size
