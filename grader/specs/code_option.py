"""Prepare pytest's command line before it loads any conftest.py: complete path
prefixes, keep this project as root.

While pytest looks for its configuration, a prefix such as `katas/16` is no path yet,
and the folder after `--code` counts as a test path. pytest would search elsewhere, and
load the conftest.py of every folder `test*/` there.
"""

import os
from pathlib import Path

import pytest

from grader.course import catalogue, places
from grader.course.catalogue import ROOT
from grader.errors import UnknownKata
from grader.specs import pytest_private


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Complete the prefixes. Set the root folder if pytest found no configuration and
    all paths are in this project.
    """
    here, known = early_config.invocation_params.dir, early_config.known_args_namespace
    # where the folder after it is
    codes = [at for at, arg in enumerate(args[:-1], start=1) if arg == "--code"]
    if not hasattr(known, "code"):  # no plugin has declared the option yet
        for at in codes:
            known.file_or_dir.remove(args[at])
    full = {path: expanded(path, here) for path in known.file_or_dir}
    known.file_or_dir[:] = full.values()
    args[:] = [
        arg if at in codes else full.get(arg, arg) for at, arg in enumerate(args)
    ]
    given = [Path(here, path.partition("::")[0]) for path in known.file_or_dir or ["."]]
    is_ours = places.is_workspace(ROOT) or places.is_checkout()
    if (
        is_ours
        and early_config.inipath is None
        and all(place.resolve().is_relative_to(ROOT) for place in given)
    ):
        pytest_private.set_root(early_config, ROOT)
        args[:] = [*early_config.getini("addopts"), *args]


def expanded(arg: str, here: Path) -> str:
    """Complete a path below `katas/`.

    "katas/16::TestSplitHeads" becomes
    "katas/16_multi_head_attention/test_multi_head_attention.py::TestSplitHeads".

    Raises:
        UsageError: the path is the prefix of nothing, or of several entries.
    """
    given, colons, rest = arg.partition("::")
    path = Path(os.path.normpath(here / given))
    if "katas" not in path.parts or (path.exists() and not colons):
        return arg
    try:
        path = catalogue.expand(path)
    except UnknownKata as error:
        raise pytest.UsageError(str(error)) from None
    if colons and path.is_dir() and (kata := catalogue.kata_at(path / "any")):
        path = kata.specs
    return f"{path}{colons}{rest}"
