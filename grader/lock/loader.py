"""Loads the code under test in the worker: files below a scratch folder, under the
names by which katas import them.

It stands in for `grader.loading`, which with `grader.datasets` and `grader.kernels` is
all that a kata's file uses of the grader.
"""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from grader import datasets, kernels
from grader.course import statements
from grader.course.catalogue import Kata
from grader.course.served import Served, import_package


class Files:
    """The katas' files below the scratch folder, each run once."""

    def __init__(self, scratch: Path):
        self.scratch = scratch
        self.served = Served(self.prerequisite)

    def prerequisite(self, name: str) -> ModuleType:
        return sys.modules.get(name.replace("/", "_")) or self.run(name)

    def run(self, name: str) -> ModuleType:
        """Run a kata's file: papers/13_attention is
        papers/13_attention/attention.py.
        """
        path = self.scratch / Kata(self.scratch, name).file
        module = ModuleType(name.replace("/", "_"))
        module.__file__ = str(path)
        sys.modules[module.__name__] = module
        sys.modules.update(
            {
                served: module
                for served, kata in self.served.katas.items()
                if kata == name
            }
        )
        statements.run(path.read_text(encoding="utf-8"), str(path), vars(module))
        return module


def load(
    name: str, scratch: Path, katas: Sequence[str], *, with_kernels: bool
) -> ModuleType:
    """Run the kata's file with this loader in place of the grader's, and return
    the module.

    Args:
        katas: this one and those that it builds on.
        with_kernels: it may import `grader.kernels`.
    """
    files = Files(scratch)
    sys.meta_path.insert(0, files.served)
    grader, loading = ModuleType("grader"), ModuleType("grader.loading")
    vars(loading).update(prerequisite=files.prerequisite, serve=files.served.serve)
    given = {"loading": loading, "datasets": datasets} | (
        {"kernels": kernels} if with_kernels else {}
    )
    vars(grader).update(given)
    sys.modules.update(
        {"grader": grader}
        | {f"grader.{part}": module for part, module in given.items()}
    )
    package = scratch / Path(name).parent / "__init__.py"
    if "/" in name and package.is_file():
        import_package(package)
        # one may be asked by what it changes in another
        for module, kata in files.served.katas.items():
            if kata in katas and kata != name:
                importlib.import_module(module)
    return files.run(name)
