"""A workspace: the folder in which a learner works with an installed package, laid out
from its course.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from string import Template

from grader.course import catalogue, handouts, papers, places
from grader.errors import NotPossible
from grader.learner import environment
from grader.reports import words

Contents = dict[Path, bytes]  # by path in the workspace

PAGE = Path(__file__).parent / "templates" / "workspace_README.md"
EDITOR = Path(".vscode", "settings.json")
IGNORED = (
    "/mine.html\n/.kata/\n/.venv/\n/data/\n__pycache__/\n.pytest_cache/\n.hypothesis/\n"
)
CHANGES = Path(".kata", "CHANGELOG.md")  # by which an update tells what is new


def start(folder: Path, build: str | None, say: Callable[[str], None]) -> list[str]:
    """Lay out a workspace. Returns a sentence per thing done. What is interrupted
    leaves nothing behind.

    Args:
        build: of PyTorch, cpu or cuda, for an environment of the workspace's own. None:
            it has the one that runs this.
        say: is told what takes its time.
    Raises:
        NotPossible: there is something in the folder, or the environment cannot
            be made.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NotPossible(f"{folder} is not empty: kata start lays out a new folder")
    existed = folder.exists()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with places.course() as course:
        used = folder / environment.NAME if build else environment.running()
        laid_out = of_the_course(course) | _of_the_learner(course, used)
        katas = catalogue.all_katas(course)
    with tempfile.TemporaryDirectory(prefix=".kata-start-", dir=folder.parent) as place:
        made = Path(place, folder.name)
        for path, content in laid_out.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_bytes(content)
        (made / "data").mkdir()
        _put(made, folder)
    if build:
        try:
            environment.make(folder, build, say)
        except BaseException:
            _empty(folder)
            if not existed:
                folder.rmdir()
            raise
    return [
        (
            f"{folder} has {words.counted(len(katas), 'kata')}, and data/ for larger "
            "data sets"
        ),
        *_git(folder),
    ]


def mark() -> str:
    """What the file says that marks a folder as a workspace: the version of
    its course.
    """
    return f"Laid out by kata start of torch-katas {version('torch-katas')}.\n"


def of_the_course(course: Path) -> Contents:
    """The files that an update replaces: the katas as they are handed out, and what
    runs their specs.
    """
    katas = catalogue.all_katas(course)
    found = {
        path.relative_to(course): papers.handed_out(kata, path)
        for kata in katas
        for path in handouts.of_the_learner(kata)
    }
    others = [
        *handouts.pages(course),
        *handouts.of_the_tracks(course),
        course / "conftest.py",
    ]
    found |= {path.relative_to(course): path.read_bytes() for path in others}
    folders = {parent for path in found for parent in (path, *path.parents)}
    for page in [path for path in found if path.suffix == ".md"]:
        there = partial(_leads_somewhere, page, folders)
        found[page] = handouts.without_lost_links(found[page].decode(), there).encode()
    options = tomllib.loads((course / "pyproject.toml").read_text(encoding="utf-8"))[
        "tool"
    ]["pytest"]["ini_options"]
    found[Path(places.CONFIGURATION)] = _configuration(options).encode()
    found[CHANGES] = (course / "CHANGELOG.md").read_bytes()
    found[Path(places.MARK)] = mark().encode()
    return found


def references(course: Path) -> Contents:
    """The references and what else is the author's, where a workspace has them."""
    top = course / "solutions"
    files = [path for path in sorted(top.rglob("*.*")) if path.is_file()]
    return {
        places.REFERENCES / path.relative_to(top): path.read_bytes() for path in files
    }


def _of_the_learner(course: Path, used: Path | None) -> Contents:
    """The files that are the learner's own from the start, for a workspace with this
    virtual environment.
    """
    page = Template(PAGE.read_text(encoding="utf-8")).substitute(
        version=version("torch-katas"),
        environment=f"`{used or sys.prefix}`",
        activate=f"{environment.activation(used)}   # in every new terminal\n"
        if used
        else "",
    )
    editor = json.loads((course / EDITOR).read_text(encoding="utf-8"))
    editor["python.defaultInterpreterPath"] = (
        str(environment.program(used, "python")) if used else sys.executable
    )
    editor["python.analysis.extraPaths"] = ["katas"]
    return {
        Path("README.md"): page.encode(),
        Path(".gitignore"): IGNORED.encode(),
        EDITOR: f"{json.dumps(editor, indent=2)}\n".encode(),
    }


def _leads_somewhere(page: Path, there: set[Path], link: str) -> bool:
    return Path(os.path.normpath(page.parent / link)) in there


def _configuration(options: dict[str, str | list[str]]) -> str:
    """pytest's options of the course as an ini file, for a workspace.
    `import tinytorch` finds the workspace's.
    """
    own = options | {"testpaths": ["katas"], "pythonpath": ["katas"]}
    lines = (
        f"{name} = {value if isinstance(value, str) else ' '.join(value)}"
        for name, value in own.items()
    )
    return "\n".join(["[pytest]", *lines, ""])


def _put(made: Path, folder: Path) -> None:
    """Move what has been laid out to where it belongs, the file that marks a
    workspace last.
    """
    if not folder.exists():
        made.rename(folder)
        return
    try:
        for path in sorted(made.iterdir(), key=lambda path: path.name == places.MARK):
            path.rename(folder / path.name)
    except BaseException:
        _empty(folder)
        raise


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _git(folder: Path) -> list[str]:
    """Make the folder a repository, unless it is in one already or there is no git."""
    try:
        inside = subprocess.run(
            ["git", "-C", folder, "rev-parse", "--git-dir"], capture_output=True
        )
        made = (
            inside.returncode
            and not subprocess.run(
                ["git", "init", "-q", folder], capture_output=True
            ).returncode
        )
    except FileNotFoundError:
        return []
    if not made:
        return []
    # where git knows none yet
    name = ["-c", "user.name=kata start", "-c", "user.email=kata@localhost"]
    known = not subprocess.run(
        ["git", "-C", folder, "config", "user.email"], capture_output=True
    ).returncode
    subprocess.run(["git", "-C", folder, "add", "-A"], capture_output=True)
    commit: list[str | Path] = [
        "git",
        *([] if known else name),
        "-C",
        folder,
        "commit",
        "-q",
        "-m",
        "The katas as they were laid out",
    ]
    committed = not subprocess.run(commit, capture_output=True).returncode
    return [
        "it is a git repository"
        + (
            ", and the katas are its first commit"
            if committed
            else ": commit when you like"
        )
    ]
