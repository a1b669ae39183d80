"""Lets `pytest katas/16 --code /elsewhere` find this project: pytest takes the folder after `--code` for a test path
while it looks for its configuration, and would look for it beside the submission."""

from pathlib import Path

import pytest
from _pytest.config.findpaths import determine_setup

from grader.catalogue import ROOT


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    here = early_config.invocation_params.dir
    named = any(str(arg).partition("=")[0] == "--code" for arg in args)
    if not named or early_config.inipath is not None or not Path(here).resolve().is_relative_to(ROOT):
        return
    configuration = determine_setup(
        inifile=str(ROOT / "pyproject.toml"), override_ini=None, args=[], rootdir_cmd_arg=None, invocation_dir=here
    )
    early_config._rootpath, early_config._inipath, early_config._inicfg, _ = configuration
    early_config._inicache.clear()
    early_config.known_args_namespace.confcutdir = str(ROOT)
    early_config.known_args_namespace.file_or_dir = [str(ROOT)]
    args[:] = [*early_config.getini("addopts"), *args]
