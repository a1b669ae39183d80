"""The public import for katas: `prerequisite`, with which a stub takes names from an earlier kata, and `probe`.

The modules of a track that is a package are found by it, too: `serve` answers `import tinytorch.tensor`.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from grader.course import catalogue, loading
from grader.course.catalogue import Kata
from grader.execution import prerequisites
from grader.sealed.bare.probing import probe

__all__ = ["prerequisite", "probe", "serve"]


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


def serve(package: str, folder: Path, modules: Mapping[str, str]) -> None:
    """Find the modules of a package: those of its katas in the code that is chosen for them, the others in its folder.

    Args:
        package: its name, which is that of the track's folder: "tinytorch".
        folder: where the other modules are.
        modules: each module's name and the name of its kata's folder.
    """
    known = next((finder for finder in sys.meta_path if isinstance(finder, _Finder)), None)
    if known is None:
        known = _Finder()
        sys.meta_path.append(known)
    known.folders[package] = folder
    known.katas |= {f"{package}.{module}": f"{package}/{place}" for module, place in modules.items()}


class _Finder(MetaPathFinder, Loader):
    """Finds the modules of served packages. Python's own finder would list the folder, which a sandbox forbids."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}  # package → where its given modules are
        self.katas: dict[str, str] = {}  # module name → kata name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self.katas:
            return ModuleSpec(fullname, self)
        package, _, module = fullname.partition(".")
        file = self.folders[package] / f"{module}.py" if module and package in self.folders else None
        return spec_from_file_location(fullname, file) if file and file.is_file() else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return prerequisite(self.katas[spec.name])

    def exec_module(self, module: ModuleType) -> None:
        """`prerequisite` has run it."""
