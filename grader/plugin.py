"""The pytest plugin that conftest.py loads: it runs specs, and asks execution/ for the
code of earlier katas.
"""

import gc
from pathlib import Path

from grader.course.catalogue import Kata
from grader.course.kata_modules import Choice
from grader.execution import standing_in

pytest_plugins = ["grader.specs.plugin"]
# until all is collected: what is imported stays, and looking through it takes a sixth
# of the time
gc.disable()


def pytest_kata_prerequisites(kata: Kata, code: Path) -> Choice:
    """Answer the hook that `specs.hooks` declares."""
    return standing_in.choose(kata, code)


def pytest_collection_finish() -> None:
    gc.enable()
