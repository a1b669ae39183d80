"""The files that leave the course, by name. What is not named here stays.

The author's files go into an installed package, which is the course itself, and into
nothing that is handed out.
"""

import re
import subprocess
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from grader.course import stubs
from grader.course.catalogue import TEACHER, Kata, all_katas
from grader.errors import NotPossible

LESSON = ("kata.toml", "README.md", "lesson.py", "hints.md", "figure.png")
# in the author's folder: what the second lock asks
SEALED, PROBES = "sealed.toml", "probes.py"
# of every copy that grades
SHARED = ("conftest.py", "pyproject.toml", "LICENSE", ".gitignore", ".gitattributes")
EDITORS = (".vscode", ".devcontainer")
PAGES = ("katas/GLOSSARY.md", "katas/COVERAGE.md")
LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\(([^)\s]+)\)")
# of a picture; it stays beside the picture, and no learner needs it
SOURCE = ".diagram"


def notebook_path(kata: Kata) -> Path:
    """The path of a paper's notebook: pt_13_attention_is_all_you_need.ipynb."""
    return kata.folder / f"pt_{kata.folder.name}.ipynb"


def own_notebook_path(kata: Kata) -> Path:
    """The path of the same notebook with the learner's own code in its cells."""
    return kata.folder / f"own_{kata.folder.name}.ipynb"


def of_the_learner(kata: Kata) -> list[Path]:
    """The files that a learner opens. kata.toml names those under `files` that not
    every kata has, or their folder.
    """
    named = [kata.folder / name for name in (*LESSON, *kata.description.files)]
    named += [path for folder in named for path in sorted(folder.glob("*.*"))]
    named += [
        kata.code,
        kata.specs,
        notebook_path(kata),
        *sorted(kata.folder.glob("*.svg")),
    ]
    return [path for path in named if path.is_file()]


def of_the_grader(kata: Kata) -> list[Path]:
    """The files that grade where the reference may not be seen: description, specs, the
    list of sealed specs.
    """
    return [
        path
        for path in (kata.folder / LESSON[0], kata.specs, kata.author / SEALED)
        if path.is_file()
    ]


def of_the_teacher(kata: Kata) -> list[Path]:
    """The reference, and what the second lock asks beside it."""
    return [
        path
        for path in (kata.reference, kata.author / SEALED, kata.author / PROBES)
        if path.is_file()
    ]


def of_the_tracks(root: Path) -> list[Path]:
    """What the tracks that are packages give beside their katas: modules that the
    katas import.
    """
    tracks = [path.parent for path in sorted(root.glob("katas/*/__init__.py"))]
    return [path for track in tracks for path in sorted(track.glob("*.py"))]


def pages(root: Path) -> list[Path]:
    """The pages that belong to no kata: glossary, coverage, and those of the tracks."""
    katas = {kata.folder for kata in all_katas(root)}
    found = [*root.glob("katas/*.md"), *root.glob("katas/*/*.md")]
    return sorted(path for path in found if path.parent not in katas)


def packed(root: Path) -> dict[Path, bytes]:
    """What an installed package brings: all that learners open or that their commands
    read, and what exports need.

    Raises:
        NotPossible: a file of the course differs from the last commit.
    """
    katas = all_katas(root)
    shared = [root / name for name in (*SHARED, "README.md", "CHANGELOG.md")]
    shared += [path for name in EDITORS for path in sorted((root / name).iterdir())]
    of_authors = [kata.reference for kata in katas]
    for kata in katas:
        of_authors += [
            path for path in kata.author.rglob("*.*") if path.suffix in (".py", ".toml")
        ]
    of_the_course = {*pages(root), *given(root, katas), *of_authors}
    refuse_changed(root, of_the_course)
    contents = {path: path.read_bytes() for path in (*shared, *of_the_course)}
    return contents | {kata.code: stubs.content(kata) for kata in katas}


def given(root: Path, katas: Iterable[Kata]) -> set[Path]:
    """What these katas hand out beside their stubs, which are made anew, and the
    modules of the tracks.
    """
    katas = list(katas)
    files = {
        path
        for kata in katas
        for path in (*of_the_learner(kata), *of_the_teacher(kata))
    }
    return files.union(of_the_tracks(root)) - {kata.code for kata in katas}


def refuse_changed(root: Path, files: Collection[Path]) -> None:
    """Refuse to hand out what somebody has changed in a clone and has not committed: it
    may be their own work.

    Raises:
        NotPossible: one of these files differs from the last commit.
    """
    diff = [
        "git",
        "-C",
        str(root),
        "diff",
        "--name-only",
        "--relative",
        "-z",
        "HEAD",
        "--",
        "katas",
        "solutions",
    ]
    try:
        found = subprocess.run(diff, capture_output=True, text=True)
    except OSError:  # there is no git
        return
    changed = [name for name in found.stdout.split("\0") if root / name in files]
    if changed:
        raise NotPossible(
            f"{', '.join(changed)}: changed since the last commit; commit it, or git "
            "restore it"
        )


def without_lost_links(page: str, is_there: Callable[[str], bool]) -> str:
    """The page with links to files that were not handed out as plain text."""

    def kept(match: re.Match[str]) -> str:
        target = match[2].partition("#")[0]
        return (
            match[0] if "://" in target or not target or is_there(target) else match[1]
        )

    return LINK.sub(kept, page)


def others(kata: Kata) -> list[Path]:
    """The files and folders in the kata's folder that nobody is handed."""
    # by kata notebook
    made_here = {kata.folder / f"{kata.folder.name}.ipynb", own_notebook_path(kata)}
    handed_out = of_the_learner(kata)
    known = {
        *handed_out,
        *(path.parent for path in handed_out),
        *kata.folder.glob(f"*{SOURCE}"),
        *made_here,
    }
    own = (TEACHER, "__pycache__")
    there = [
        path
        for path in kata.folder.iterdir()
        if path.name not in own and not path.name.startswith(".")
    ]
    return sorted(path for path in there if path not in known)
