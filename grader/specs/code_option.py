"""Keep this project as pytest's root folder when `--code` is given.

While pytest looks for its configuration, it takes the folder after `--code` for a test path and would search beside it.
"""

from pathlib import Path

import pytest

from grader.course.catalogue import ROOT
from grader.specs import pytest_private


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Set the root folder if pytest runs inside this project and found no configuration."""
    here = early_config.invocation_params.dir
    named = any(str(arg).partition("=")[0] == "--code" for arg in args)
    if not named or early_config.inipath is not None or not Path(here).resolve().is_relative_to(ROOT):
        return
    pytest_private.set_root(early_config, ROOT)
    args[:] = [*early_config.getini("addopts"), *args]
