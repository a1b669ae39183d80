"""The public import for katas: `prerequisite`, with which a stub takes names from an earlier kata."""

import sys
from pathlib import Path
from types import ModuleType

from grader.course import catalogue, loading
from grader.course.catalogue import Kata
from grader.execution import prerequisites


def prerequisite(name: str) -> ModuleType:
    """Load an earlier kata: the learner's own code if its core exercises work, the reference otherwise.

    Args:
        name: the kata's full folder name below katas/, such as "16_multi_head_attention".
    Raises:
        LoadFailure: the learner's code does not work and there is no reference. The message says what to finish first.
    """
    if loading.is_under_way():
        return loading.prerequisite(name)
    here = catalogue.kata_at(Path(sys._getframe(1).f_globals.get("__file__", "")).resolve())
    kata = Kata(here.root if here else catalogue.ROOT, name)
    code = kata.root / "katas"
    choice = prerequisites.choose(kata, code, itself=True)
    with loading.building_on(kata.root, choice.sources, code):
        return loading.prerequisite(name)
