"""The public import for katas: `prerequisite`, with which a stub takes names from an
earlier kata.

The modules of a track that is a package are found by it, too: `serve` answers
`import tinytorch.tensor`.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from grader.course import catalogue, kata_modules
from grader.course.catalogue import Kata
from grader.course.served import Served

__all__ = ["prerequisite", "serve"]


def prerequisite(name: str) -> ModuleType:
    """Load an earlier kata: the learner's own code if its core exercises work, the
    reference otherwise.

    Args:
        name: the kata's full folder name below katas/, such as
            "16_multi_head_attention".
    Raises:
        LoadFailure: the learner's code does not work and there is no reference. The
            message says what to finish first.
    """
    if kata_modules.is_under_way():
        return kata_modules.prerequisite(name)
    # here, since every worker imports this file and comes no further
    from grader.execution import standing_in

    here = catalogue.kata_at(
        Path(sys._getframe(1).f_globals.get("__file__", "")).resolve()
    )
    kata = Kata(here.root if here else catalogue.ROOT, name)
    code = kata.root / "katas"
    choice = standing_in.choose(kata, code, itself=True)
    with kata_modules.building_on(kata.root, choice.sources, code):
        return kata_modules.prerequisite(name)


def serve(package: str, folder: Path, modules: Mapping[str, str]) -> None:
    """Find the modules of a package: those of its katas in the code that is chosen for
    them, the others in its folder.

    Args:
        package: its name, which is that of the track's folder: "tinytorch".
        folder: where the other modules are.
        modules: each module's name and the name of its kata's folder.
    """
    known = next(
        (finder for finder in sys.meta_path if isinstance(finder, Served)), None
    )
    if known is None:
        known = Served(prerequisite)
        sys.meta_path.append(known)
    known.serve(package, folder, modules)
