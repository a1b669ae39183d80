"""Makes virtual environments that have only the runtime dependencies: for a copy of
this repository, or for a wheel.
"""

import os
import shutil
import sys
import sysconfig
import venv
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement

from grader.course.catalogue import ROOT

HERE = Path(sysconfig.get_path("purelib"))
LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".kata",
    "data",
    "runs",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)


def make(folder: Path) -> Path:
    """Copy the repository to `folder`, and link the dependencies of this environment
    into a new `.venv` there.
    """
    copy(folder)
    environment = folder / ".venv"
    there = link(environment, needed())
    for file in there.glob("__editable__*"):  # says where the project itself is
        text = file.read_text(encoding="utf-8").replace(str(ROOT), str(folder))
        file.unlink()
        file.write_text(text, encoding="utf-8")
    for stamp in ("torch", "installed"):
        (environment / stamp).write_text("cpu\n")
    return folder


def copy(folder: Path) -> None:
    """Copy the repository to `folder`, without what a person made in it."""
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT, dirs_exist_ok=True)
    shutil.copytree(ROOT / "grader/data", folder / "grader/data", dirs_exist_ok=True)


def link(environment: Path, packages: Iterable[Distribution]) -> Path:
    """Make a virtual environment, and link these packages into it. Returns the folder
    where its packages are.
    """
    venv.create(environment, symlinks=True)
    there = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    for found in packages:
        for file in found.files or ():
            if ".." not in file.parts and (HERE / file).is_file():
                _put(HERE / file, there / file)
        for script in found.entry_points.select(group="console_scripts"):
            _write_script(
                environment / "bin" / script.name,
                environment,
                script.module,
                script.attr,
            )
    return there


def needed() -> Iterator[Distribution]:
    """The project, and what it requires without extras, directly or not, as the
    metadata of each package says.
    """
    names, seen = [("torch-katas", "")], set()
    while names:
        name, extra = names.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        [found] = Distribution.discover(name=name, path=[str(HERE)])
        for requirement in map(Requirement, found.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate(
                {"extra": extra}
            ):
                names += [
                    (requirement.name, extra) for extra in ["", *requirement.extras]
                ]
        if not extra:
            yield found


def _put(source: Path, target: Path) -> None:
    """Link a file, or copy it to another disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:
        shutil.copy2(source, target)


def _write_script(path: Path, environment: Path, module: str, function: str) -> None:
    """Write what pip writes for a program of a package."""
    python = environment / "bin" / Path(sys.executable).name
    path.write_text(
        f"#!{python}\nimport sys\nfrom {module} import {function}\n"
        f"sys.exit({function}())\n"
    )
    path.chmod(0o755)
