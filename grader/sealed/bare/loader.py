"""Loads the code under test in the worker: files below a scratch folder, under the names by which katas import them.

It stands in for `grader.loading`, which with `grader.datasets` is all that a kata's file uses of the grader.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from grader import datasets
from grader.sealed.bare import probing

KATA_FOLDER = re.compile(r"^(?:\d\d|appendix_[a-z])_")


class Finder(MetaPathFinder, Loader):
    """Finds `grader.loading`, which is this module, and the modules of tracks that are packages."""

    def __init__(self, scratch: Path):
        self.scratch = scratch
        self.packages: dict[str, Path] = {}
        self.katas: dict[str, str] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self.katas:
            return ModuleSpec(fullname, self)
        package, _, module = fullname.partition(".")
        if (self.scratch / package / "__init__.py").is_file() and not module:
            return spec_from_file_location(
                fullname, self.scratch / package / "__init__.py", submodule_search_locations=[]
            )
        file = self.packages.get(package, self.scratch) / f"{module}.py"
        return spec_from_file_location(fullname, file) if package in self.packages and file.is_file() else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.prerequisite(self.katas[spec.name])

    def exec_module(self, module: ModuleType) -> None:
        """`prerequisite` has run it."""

    def prerequisite(self, name: str) -> ModuleType:
        known = sys.modules.get(name.replace("/", "_"))
        return known or self.run(name)

    def serve(self, package: str, folder: Path, modules: Mapping[str, str]) -> None:
        self.packages[package] = folder
        self.katas |= {f"{package}.{module}": f"{package}/{place}" for module, place in modules.items()}

    def run(self, name: str) -> ModuleType:
        """Run a kata's file: papers/13_attention is papers/13_attention/attention.py."""
        place = self.scratch / name
        path = place / (KATA_FOLDER.sub("", place.name) + ".py")
        module = ModuleType(name.replace("/", "_"))
        module.__file__ = str(path)
        sys.modules[module.__name__] = module
        for served, kata in self.katas.items():
            if kata == name:
                sys.modules[served] = module
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True), vars(module))
        return module


def load(name: str, scratch: Path, replaced: Sequence[str]) -> ModuleType:
    """Run the kata's file with this loader in place of the grader's, and return the module.

    Args:
        replaced: names whose definitions in `reference.py` stand in for the file's own.
    """
    finder = Finder(scratch)
    sys.meta_path.insert(0, finder)
    grader, loading = ModuleType("grader"), ModuleType("grader.loading")
    vars(loading).update(prerequisite=finder.prerequisite, serve=finder.serve, probe=probing.probe)
    vars(grader).update(loading=loading, datasets=datasets)
    sys.modules.update({"grader": grader, "grader.loading": loading, "grader.datasets": datasets})
    package = name.partition("/")[0]
    if "/" in name and (scratch / package / "__init__.py").is_file():
        __import__(package)
    if not replaced:
        return finder.run(name)
    theirs = ModuleType("reference")
    sys.modules["reference"] = theirs
    text = (scratch / "reference.py").read_text(encoding="utf-8")
    exec(compile(text, "reference.py", "exec", dont_inherit=True), vars(theirs))
    module = finder.run(name)
    for one in replaced:
        setattr(module, one, getattr(theirs, one))
    return module
