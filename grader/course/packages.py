"""Tracks that are packages: `tinytorch.tensor` is the file of the track's
kata 02_tensor.

A process has one version of each module at a time, so that there is one Tensor class.
It is what the kata under test builds on, and the kata itself. `begin` and `enter`
change from one kata to another.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from grader.course.catalogue import Kata, with_prerequisites
from grader.course.served import import_package
from grader.errors import LoadFailure


@dataclass(frozen=True)
class _View:
    """A package as one kata under test sees it."""

    modules: dict[str, ModuleType]  # by name, the package itself among them
    # of each of them after loading: a failing spec may leave a flag set
    variables: dict[ModuleType, dict[str, object]]


_views: dict[ModuleType, _View] = {}  # by module under test


def module_name(kata: Kata) -> str:
    """The name by which other katas import this one: "tinytorch.tensor". Empty if its
    track is no package.
    """
    return (
        f"{kata.folder.parent.name}.{kata.module}"
        if (kata.folder.parent / "__init__.py").is_file()
        else ""
    )


def siblings(kata: Kata) -> list[str]:
    """The modules of the kata's package that it may import, and itself; none if its
    track is no package.
    """
    if not module_name(kata):
        return []
    given = [
        path.stem for path in kata.folder.parent.glob("*.py") if path.stem != "__init__"
    ]
    return given + [earlier.module for earlier in with_prerequisites([kata])]


def begin(kata: Kata) -> None:
    """Forget the package's modules. The package itself comes from the kata's tree,
    never from a code folder.
    """
    package = module_name(kata).partition(".")[0]
    if not package:
        return
    for name in _modules(package):
        del sys.modules[name]
    import_package(kata.folder.parent / "__init__.py")


def register(kata: Kata, module: ModuleType) -> None:
    """Let other katas of the package import this module by its name."""
    if name := module_name(kata):
        sys.modules[name] = module
        setattr(sys.modules[name.partition(".")[0]], kata.module, module)


def remember(kata: Kata, module: ModuleType) -> None:
    """Keep what the package looks like now that this module under test is loaded,
    for `enter`.
    """
    if name := module_name(kata):
        parts = _modules(name.partition(".")[0])
        _views[module] = _View(
            parts, {part: dict(vars(part)) for part in parts.values()}
        )


def enter(module: ModuleType) -> None:
    """Put the package back as it was when this module under test had been loaded."""
    if view := _views.get(module):
        sys.modules.update(view.modules)
        for part, variables in view.variables.items():
            vars(part).update(variables)


@contextmanager
def nothing_else_changes(kata: Kata, path: Path) -> Iterator[None]:
    """Refuse a module that, while it is imported in the block, changes the classes and
    functions of earlier ones.

    Raises:
        LoadFailure: it names what was changed.
    """
    parts = _modules(module_name(kata).partition(".")[0]).values()
    # a listener is put into the given recorder
    earlier = [part for part in parts if not _is_given(part, kata)]
    owners: list[ModuleType | type] = [
        *earlier,
        *(owner for part in earlier for owner in _classes(part)),
    ]
    before = [(owner, dict(vars(owner))) for owner in owners]
    yield
    for owner, variables in before:
        for name, value in variables.items():
            if vars(owner).get(name) is not value and callable(value):
                changed = (
                    f"{path.name}: changes {owner.__name__}.{name}, which belongs to "
                    "an earlier module"
                )
                raise LoadFailure(changed, "import failed")


def _modules(package: str) -> dict[str, ModuleType]:
    """The package and those of its modules that are imported, by name; none if
    `package` is empty.
    """
    return (
        {
            name: part
            for name, part in sys.modules.items()
            if name.partition(".")[0] == package
        }
        if package
        else {}
    )


def _classes(module: ModuleType) -> list[type]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]


def _is_given(part: ModuleType, kata: Kata) -> bool:
    return Path(part.__file__ or "").parent == kata.folder.parent
