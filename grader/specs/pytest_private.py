"""Every use of pytest's private names, written for pytest 9."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from _pytest.assertion.rewrite import AssertionRewritingHook
from _pytest.config import _prepareconfig
from _pytest.config.findpaths import determine_setup

from grader.course import places


def open_session(arguments: Sequence[str]) -> pytest.Session:
    """Start a session with these arguments and collect its items. It stays open until
    the process ends.
    """
    config = _prepareconfig(list(arguments))
    session = pytest.Session.from_config(config)
    config._do_configure()
    config.hook.pytest_sessionstart(session=session)
    config.hook.pytest_collection(session=session)
    return session


def set_root(config: pytest.Config, root: Path) -> None:
    """Make `root` the root folder of a session that is being configured, with the
    options that are in it.
    """
    configuration = determine_setup(
        inifile=str(places.configuration(root)),
        override_ini=None,
        args=[],
        rootdir_cmd_arg=None,
        invocation_dir=config.invocation_params.dir,
    )
    config._rootpath, config._inipath, config._inicfg, _ = configuration
    config._inicache.clear()
    config.known_args_namespace.confcutdir = str(root)


def rewrite_no_libraries(config: pytest.Config) -> None:
    """Rewrite assertions in tests only. By default pytest also rewrites each library
    that brings a plugin, Hypothesis for one. That takes a second in every run where
    Python writes no bytecode (PYTHONDONTWRITEBYTECODE).
    """
    hook = config.pluginmanager.rewrite_hook
    if isinstance(hook, AssertionRewritingHook):
        hook._must_rewrite.clear()
        hook._marked_for_rewrite_cache.clear()


def report_briefly(item: pytest.Item) -> None:
    """Report an error of this item, or of its fixtures, by its message. Pytest's own
    text parses the whole file for every frame, which takes longer than most specs.
    """

    def message(excinfo: Any, style: Any = None) -> str:
        return str(excinfo.value)

    item.repr_failure = item._repr_failure_py = message  # type: ignore


def width(terminal: pytest.TerminalReporter) -> int:
    """The width of the terminal in columns."""
    return terminal._tw.fullwidth
