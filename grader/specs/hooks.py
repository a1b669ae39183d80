"""The hook with which the plugin for specs asks for the code of earlier katas."""

from pathlib import Path

import pytest

from grader.course.catalogue import Kata
from grader.course.kata_modules import Choice


@pytest.hookspec(firstresult=True)
def pytest_kata_prerequisites(kata: Kata, code: Path) -> Choice:
    """Choose the code for the earlier katas that a kata builds on. Called once per
    kata, before any spec runs.

    Args:
        code: the folder with the code under test, laid out like `katas/`.
    Raises:
        LoadFailure: an earlier kata has no working code. This becomes the verdict on
            every spec of the kata.
    """
    # pytest calls the implementations, never the specification
    raise NotImplementedError
