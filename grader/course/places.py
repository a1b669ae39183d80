"""Where things are: the package, the course that it came with, and the folder in which
its user works.

In a checkout, and in what `kata export` wrote, the three are one tree. An installed
package brings the course as an archive outside of itself, where no import and no
sandbox finds it. `kata start` lays out a workspace from it: a folder with the katas,
without references and grader.
"""

import importlib.metadata
import os
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from grader.errors import NotPossible

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parent
# below the folder that an environment is installed to
ARCHIVE = Path("share", "torch-katas", "course.zip")
# a file that marks a folder as a workspace; those that exist have this one
MARK = ".kata-room"
# of a workspace, whose pyproject.toml would be the learner's
CONFIGURATION = "pytest.ini"
REFERENCES = Path(".kata", "solutions")  # of a workspace, unpacked at their first use


def is_checkout() -> bool:
    """Tell if the package is in a tree with the course around it."""
    return (CHECKOUT / "katas").is_dir() and (CHECKOUT / "pyproject.toml").is_file()


def address() -> str:
    """Where the course is on the web, by [project.urls] of pyproject.toml: empty while
    it says nothing.
    """
    if is_checkout():
        project = tomllib.loads(
            (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
        ).get("project", {})
        return str(project.get("urls", {}).get("Repository", ""))
    entries = importlib.metadata.metadata("torch-katas").get_all("Project-URL") or []
    return dict(entry.split(", ", 1) for entry in entries).get("Repository", "")


def is_course(folder: Path) -> bool:
    """Tell if this folder is a checkout of the course, whether the package that runs is
    its own or not.
    """
    return (
        (folder / "katas").is_dir()
        and (folder / "grader" / "course").is_dir()
        and (folder / "pyproject.toml").is_file()
    )


def is_workspace(folder: Path) -> bool:
    """Tell if `kata start` made this folder."""
    return (folder / MARK).is_file()


def root() -> Path:
    """The folder whose katas/ the user works in: the workspace or checkout around the
    current folder, the workspace around the program, or the checkout of the package.
    Where there is none of these, the current folder.

    Of another checkout than the package's, its katas are taken, and never its grader.
    """
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    starts = [
        os.path.join(os.getcwd(), "any"),
        *([os.path.abspath(program)] if program else []),
    ]
    for start in map(Path, starts):
        for folder in start.parents:
            if is_workspace(folder) or is_course(folder):
                return folder.resolve()
    return CHECKOUT if is_checkout() else Path.cwd()


def elsewhere(root: Path) -> str:
    """A line on which folder is graded, and by what, where that is not plain from the
    current folder; else empty.
    """
    by = (
        f" by the grader in {CHECKOUT}"
        if is_checkout() and root != CHECKOUT and not is_workspace(root)
        else ""
    )
    return f"katas in {root}{by}" if by or not Path.cwd().is_relative_to(root) else ""


def import_own_tracks() -> None:
    """Let this program import the workspace's tracks that are packages, as an installed
    checkout does: tinytorch.
    """
    here = root()
    if is_workspace(here):
        sys.path.insert(0, str(here / "katas"))


def configuration(root: Path) -> Path:
    """The file with pytest's options of the tree at `root`."""
    return root / (CONFIGURATION if is_workspace(root) else "pyproject.toml")


@cache
def references(root: Path) -> Path:
    """The folder with the references of the tree at `root`: its solutions/. A workspace
    has them out of sight.
    """
    if not is_workspace(root):
        return root / "solutions"
    place, packed = root / REFERENCES, archive()
    if packed is None:
        return CHECKOUT / "solutions"
    if not place.is_dir():
        # in a workspace that cannot be written to, they are missing as in a starter
        with suppress(OSError):
            place.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(
                prefix=".solutions-", dir=place.parent
            ) as folder:
                with zipfile.ZipFile(packed) as course:
                    course.extractall(
                        folder,
                        [
                            name
                            for name in course.namelist()
                            if name.startswith("solutions/")
                        ],
                    )
                # fails where another process was faster
                os.rename(Path(folder, "solutions"), place)
    return place


@contextmanager
def course() -> Iterator[Path]:
    """The folder of the course that the package came with: the checkout, or the
    archive, unpacked for the block.

    Raises:
        NotPossible: there is neither.
    """
    packed = archive()
    if packed is None:
        if not is_checkout():
            raise NotPossible(
                "the course that belongs to this installation is missing: install the "
                "wheel again"
            )
        yield CHECKOUT
        return
    with tempfile.TemporaryDirectory(prefix="kata-course-") as folder:
        with zipfile.ZipFile(packed) as content:
            content.extractall(folder)
        yield Path(folder)


def pack(archive: Path, root: Path, contents: Mapping[Path, bytes]) -> None:
    """Write these files of the tree at `root` as the archive. Equal contents give an
    equal archive.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for path, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix())
            packed.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)


@cache
def archive() -> Path | None:
    """The archive of an installed package; None in a checkout."""
    if is_checkout():
        return None
    with suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("torch-katas") or ():
            if file.name == ARCHIVE.name and Path(str(file.locate())).is_file():
                return Path(str(file.locate())).resolve()
    beside = CHECKOUT / ARCHIVE  # pip install --target
    return beside if beside.is_file() else None
