"""Writes repositories to hand out: a starter without answers for students, and the teacher's copy that grades them."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from grader.course import stubs
from grader.course.catalogue import Kata, with_prerequisites
from grader.errors import ExportFailure
from grader.reports import words
from grader.teaching import platforms, rules, template_files
from grader.teaching.rules import Rules

MARK = ".kata-starter"  # a file that marks a folder as an export, which another export may update
KEPT_OUT = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info")
SHARED = ("conftest.py", "pyproject.toml", "LICENSE", ".gitignore")
EDITORS = (".vscode", ".devcontainer")
PAGES = ("katas/GLOSSARY.md", "katas/COVERAGE.md")
LESSON_FILES = (".md", ".py", ".png", ".ipynb", ".toml")
OF_THE_SECOND_LOCK = ("sealed.toml", "probes.py")
STARTER_MAKEFILE = """\
# make setup   build .venv
# make grade   set up, then grade katas/ (KATA=16 one kata)

include grader/setup.mk
"""


def starter(folder: Path, katas: Iterable[Kata], repository: str, ref: str, course: Rules) -> list[str]:
    """Write or update a starter repository. Returns one sentence per thing done.

    Students' work is kept: the file of a kata is replaced only while it is an untouched stub. The katas that the
    chosen ones build on are included: a starter has no reference to stand in for them.

    Args:
        repository: the teacher's copy on GitHub, as OWNER/NAME.
        ref: the commit of the teacher's copy that grades.
        course: what katas, exercises and edges are worth.
    Raises:
        ExportFailure: the folder is not an export, or a stub in this tree has been edited.
    """
    katas = with_prerequisites(katas)
    for kata in katas:
        if stubs.is_begun(kata, kata.code):
            raise ExportFailure(
                f"katas/{kata.file} is not a stub any more: kata reset {kata.number} puts the stub back"
            )
    root = katas[0].root
    _prepare(folder)
    kept = [kata for kata in katas if not _copy_kata(kata, folder)]
    _copy(root, folder, [*SHARED, *PAGES, *_given(root)])
    for name in ("grader", *(editor for editor in EDITORS if (root / editor).is_dir())):
        _replace_folder(root / name, folder / name)
    stubs.pack(katas, folder)
    _unlink_missing(folder)
    (folder / "Makefile").write_text(STARTER_MAKEFILE)
    template_files.write(
        folder / "README.md",
        "starter_README.md",
        katas="".join(f"- [{kata.number} {kata.title}](katas/{kata.name}/README.md)\n" for kata in katas),
        first=katas[0].number,
        first_folder=f"katas/{katas[0].name}",
        first_file=katas[0].file.name,
    )
    _write_rules(folder, katas, course)
    platforms.write_for_students(folder, katas, repository, ref, course)
    return [
        f"{words.counted(len(katas), 'kata')} in {folder}",
        *(f"kept the student's katas/{kata.file}" for kata in kept),
    ]


def teacher(folder: Path, katas: Iterable[Kata], repository: str, ref: str, course: Rules) -> list[str]:
    """Write or update the teacher's copy: specs, references, grader, and the scripts of each platform.

    The arguments are those of `starter`.

    Raises:
        ExportFailure: the folder is not an export.
    """
    katas = with_prerequisites(katas)
    root = katas[0].root
    _prepare(folder)
    for kata in katas:
        _replace_folder(kata.folder, folder / "katas" / kata.name)
        _replace_folder(kata.reference.parent, folder / "solutions" / kata.name)
    _replace_folder(root / "grader", folder / "grader")
    _copy(root, folder, [*SHARED, "README.md", *PAGES, *_given(root)])
    (folder / "Makefile").write_text("include grader/setup.mk\n")
    _write_rules(folder, katas, course)
    _unlink_missing(folder)
    archive = platforms.write_for_teacher(folder, katas, repository, ref)
    return [f"{words.counted(len(katas), 'kata')} in {folder}", f"Gradescope's autograder is {archive}"]


def _prepare(folder: Path) -> None:
    """Make the folder, or check that it is an earlier export."""
    if folder.exists() and (
        not folder.is_dir() or any(p.name != ".git" for p in folder.iterdir()) and not (folder / MARK).exists()
    ):
        raise ExportFailure(f"{folder} holds something else: give an empty folder, or one that was exported before")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("Made by kata export, which may update this folder.\n")


def _copy_kata(kata: Kata, folder: Path) -> bool:
    """Copy the kata's files. False if the student's file was kept because they have written in it."""
    target = folder / "katas" / kata.name
    target.mkdir(parents=True, exist_ok=True)
    begun = stubs.is_begun(kata, target / kata.file.name)
    for path in kata.folder.iterdir():
        if path.name in OF_THE_SECOND_LOCK or path.suffix not in LESSON_FILES:
            continue
        if not (begun and path.name == kata.file.name):
            shutil.copyfile(path, target / path.name)
    return not begun


def _given(root: Path) -> list[str]:
    """The files of the tracks that are packages, which pyproject.toml installs."""
    tracks = [path.parent for path in sorted(root.glob("katas/*/__init__.py"))]
    return [path.relative_to(root).as_posix() for track in tracks for path in sorted(track.glob("*.py"))]


def _copy(root: Path, folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if (root / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)


def _replace_folder(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target, ignore=KEPT_OUT)


def _unlink_missing(folder: Path) -> None:
    """Turn the lessons' links to files that were not exported into plain text."""
    for page in folder.glob("katas/**/*.md"):
        text = page.read_text(encoding="utf-8")

        def kept(match: re.Match[str]) -> str:
            target = match[2].partition("#")[0]
            return match[0] if "://" in target or not target or (page.parent / target).exists() else match[1]

        linked = re.sub(r"(?<!!)\[([^\]\n]*)\]\(([^)\s]+)\)", kept, text)
        if linked != text:
            page.write_text(linked, encoding="utf-8")


def _write_rules(folder: Path, katas: list[Kata], course: Rules) -> None:
    """Write the rules where `kata grade` looks for them; no file if every exercise is worth a point."""
    for name in (rules.NAME, rules.OLD_NAME):
        (folder / name).unlink(missing_ok=True)
    if text := rules.text(course, katas):
        (folder / rules.NAME).write_text(text, encoding="utf-8")
