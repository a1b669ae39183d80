"""Finds the modules of a served package: those of its katas by a function, the others
in the package's folder.
"""

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


class Served(MetaPathFinder, Loader):
    """Finds the modules of served packages. Python's own finder would list the folder,
    which a sandbox forbids.

    Args:
        load: returns the module of a kata, run, by the kata's name.
    """

    def __init__(self, load: Callable[[str], ModuleType]):
        self.load = load
        self.folders: dict[str, Path] = {}  # package → where its given modules are
        self.katas: dict[str, str] = {}  # module name → kata name

    def serve(self, package: str, folder: Path, modules: Mapping[str, str]) -> None:
        """Find the modules of a package (see `grader.loading.serve`)."""
        self.folders[package] = folder
        self.katas |= {
            f"{package}.{module}": f"{package}/{place}"
            for module, place in modules.items()
        }

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname in self.katas:
            return ModuleSpec(fullname, self)
        package, _, module = fullname.partition(".")
        file = (
            self.folders[package] / f"{module}.py"
            if module and package in self.folders
            else None
        )
        return (
            importlib.util.spec_from_file_location(fullname, file)
            if file and file.is_file()
            else None
        )

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.load(self.katas[spec.name])

    def exec_module(self, module: ModuleType) -> None:
        """`load` has run it."""


def import_package(file: Path) -> None:
    """Import a package from its `__init__.py`, under the name of its folder."""
    package = file.parent.name
    spec = importlib.util.spec_from_file_location(
        package, file, submodule_search_locations=[str(file.parent)]
    )
    assert spec and spec.loader
    module = sys.modules[package] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
