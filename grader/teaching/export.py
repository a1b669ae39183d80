"""Writes what a course hands out: a starter without answers, the teacher's copy that
grades, Classroom 50's bundle.
"""

import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from grader.course import catalogue, handouts, papers, places, stubs
from grader.course.catalogue import ROOT, TEACHER, Kata, with_prerequisites
from grader.errors import ExportFailure
from grader.reports import words
from grader.teaching import platform_files, rules, template_files
from grader.teaching.platform_files import Place
from grader.teaching.rules import Rules

# a file that marks a folder as an export, which another export may update
MARK = ".kata-starter"
# the same for a bundle, in which an update keeps nothing
BUNDLE_MARK = ".kata-classroom50"
KEPT_OUT = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info")
MOST_BYTES = 10 * 1024 * 1024  # of a packed bundle, which Classroom 50 takes
STARTER_MAKEFILE = """\
# make setup   build .venv
# make grade   set up, then grade katas/ (KATA=16 one kata)

include grader/setup.mk
"""


def starter(
    folder: Path, katas: Iterable[Kata], place: Place | None, course: Rules
) -> list[str]:
    """Write or update a starter repository. Returns one sentence per thing done.

    Students' work is kept: the file of a kata is replaced only while it equals its
    stub. The katas that the chosen ones build on are included: a starter has no
    reference to stand in for them.

    Args:
        place: the teacher's copy that the starter's workflow grades with; None for a
            starter without a workflow.
        course: what katas, exercises and edges are worth.
    Raises:
        ExportFailure: the folder is not an export.
    """
    katas = with_prerequisites(katas)
    root = katas[0].root
    prepare(folder)
    kept = [kata for kata in katas if not _copy_kata(kata, folder)]
    _copy(root, folder, [*handouts.SHARED, *handouts.PAGES, *_given(root)])
    _replace_grader(root, folder)
    for name in (editor for editor in handouts.EDITORS if (root / editor).is_dir()):
        _replace_folder(root / name, folder / name)
    stubs.pack(katas, folder)
    _unlink_missing(folder)
    (folder / "Makefile").write_text(STARTER_MAKEFILE, "utf-8")
    template_files.write(
        folder / "README.md",
        "starter_README.md",
        katas="".join(
            f"- [{kata.number} {kata.title}](katas/{kata.name}/README.md)\n"
            for kata in katas
        ),
        first=katas[0].number,
        first_folder=f"katas/{katas[0].name}",
        first_file=katas[0].file.name,
    )
    _write_rules(folder, katas, course)
    platform_files.write_for_students(folder, katas, place)
    return [
        f"{words.counted(len(katas), 'kata')} in {folder}",
        *(f"kept the student's katas/{kata.file}" for kata in kept),
        *_left_out(katas),
    ]


def teacher(folder: Path, katas: Iterable[Kata], course: Rules) -> list[str]:
    """Write or update the teacher's copy: specs, references, grader, and the scripts of
    each platform.

    Raises:
        ExportFailure: the folder is not an export.
        MisplacedSpecs: specs of the teacher's own would not count.
    """
    katas = with_prerequisites(katas)
    catalogue.refuse_misplaced_specs(katas[0].root)
    prepare(folder)
    write_course(folder, katas, course)
    archive = platform_files.write_for_teacher(folder, katas)
    hidden = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.glob(f"katas/**/{TEACHER}/test_*.py"))
    ]
    return [
        f"{words.counted(len(katas), 'kata')} in {folder}",
        *([f"with hidden specs: {', '.join(hidden)}"] if hidden else []),
        *_left_out(katas),
        f"Gradescope's autograder is {archive}",
    ]


def bundle(
    folder: Path, katas: Iterable[Kata], released: Iterable[Kata], course: Rules
) -> list[str]:
    """Write or replace Classroom 50's bundle: `autograder.py`, and beside it all that
    it grades with.

    The bundle is public, so it holds the reference of no kata but the released ones.

    Args:
        katas: the katas to grade. Those that they build on come along.
        released: the katas whose reference students may see.
        course: what katas, exercises and edges are worth.
    Raises:
        ExportFailure: the folder is not a bundle, a released kata is not in it, or it
            is too large for the platform.
    """
    graded, released = list(katas), list(released)
    katas = with_prerequisites(graded)
    if unknown := [kata.name for kata in released if kata not in katas]:
        raise ExportFailure(
            f"--released {', '.join(unknown)}: not among the katas of this bundle"
        )
    if lost := [kata.name for kata in released if not kata.reference.is_file()]:
        raise ExportFailure(
            f"--released {', '.join(lost)}: there is no reference of it here"
        )
    root = katas[0].root
    prepare(folder, BUNDLE_MARK)
    for name in ("katas", "solutions"):
        shutil.rmtree(folder / name, ignore_errors=True)
    files = [path for kata in katas for path in handouts.of_the_grader(kata)]
    files += [path for kata in released for path in handouts.of_the_teacher(kata)]
    _copy(
        root,
        folder,
        [
            *handouts.SHARED,
            *_given(root),
            *(path.relative_to(root).as_posix() for path in files),
        ],
    )
    _replace_grader(root, folder)
    (folder / "Makefile").write_text(_makefile(katas), "utf-8")
    _write_rules(folder, katas, course)
    platform_files.write_for_classroom50(folder, graded)
    size = platform_files.packed_size(folder)
    if size > MOST_BYTES:
        largest = max(
            katas,
            key=lambda kata: sum(path.stat().st_size for path in kata.folder.iterdir()),
        )
        raise ExportFailure(
            f"{folder} packs to {size / 1e6:.1f} MB, and Classroom 50 takes "
            f"{MOST_BYTES / 1e6:.1f} MB: "
            f"leave out katas, of which {largest.name} is the largest"
        )
    unreleased = [kata.number for kata in katas if kata not in released]
    packed = (
        f"{words.counted(len(katas), 'kata')} in {folder}, {size / 1e6:.1f} MB packed"
    )
    return [
        f"{packed}: copy it to CLASSROOM/autograders/ASSIGNMENT",
        *(
            [f"without the references of {', '.join(unreleased)}: the bundle is public"]
            if unreleased
            else []
        ),
    ]


def write_course(folder: Path, katas: list[Kata], course: Rules) -> None:
    """Write the katas, with reference and sealed lists, and the grader."""
    root = katas[0].root
    for kata in katas:
        _replace_kata(kata, folder / "katas" / kata.name)
        _replace_named(
            handouts.of_the_teacher(kata),
            kata,
            kata.reference.parent,
            folder / "solutions" / kata.name,
        )
    _replace_grader(root, folder)
    _copy(root, folder, [*handouts.SHARED, "README.md", *handouts.PAGES, *_given(root)])
    (folder / "Makefile").write_text(_makefile(katas), "utf-8")
    _write_rules(folder, katas, course)
    _unlink_missing(folder)


def prepare(folder: Path, mark: str = MARK) -> None:
    """Make the folder, or check that it is an earlier export with this mark."""
    if folder.resolve() == ROOT:
        raise ExportFailure(f"{folder} is this course itself: give another folder")
    if folder.exists() and (
        not folder.is_dir()
        or any(p.name != ".git" for p in folder.iterdir())
        and not (folder / mark).exists()
    ):
        raise ExportFailure(
            f"{folder} holds something else: give an empty folder, or one that was "
            "exported before"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / mark).write_text(
        "Made by kata export, which may update this folder.\n", "utf-8"
    )


def _copy_kata(kata: Kata, folder: Path) -> bool:
    """Copy the kata's files. False if the student's file was kept: it is neither this
    stub nor that of the folder.
    """
    target = folder / "katas" / kata.name
    target.mkdir(parents=True, exist_ok=True)
    begun = all(
        stubs.is_changed(one, target / kata.file.name)
        for one in (kata, Kata(folder, kata.name))
    )
    for path in handouts.of_the_learner(kata):
        if not (begun and path == kata.code):
            place = target / path.relative_to(kata.folder)
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(papers.handed_out(kata, path))
    return not begun


def _makefile(katas: Iterable[Kata]) -> str:
    """What sets up a folder that grades, with Triton if a kata needs it."""
    extras = (
        "EXTRAS := [kernels]\n"
        if any("triton" in kata.description.needs for kata in katas)
        else ""
    )
    return f"{extras}include grader/setup.mk\n"


def _left_out(katas: Iterable[Kata]) -> list[str]:
    """A sentence for each file that the author may have meant to hand out."""
    lost = [
        path.relative_to(kata.root).as_posix()
        for kata in katas
        for path in handouts.others(kata)
    ]
    return [
        f"left out {name}: name it in its kata.toml to hand it out: files = [...]"
        for name in lost
    ]


def _given(root: Path) -> list[str]:
    """The files of the tracks that are packages, which pyproject.toml installs."""
    return [path.relative_to(root).as_posix() for path in handouts.of_the_tracks(root)]


def _copy(root: Path, folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if (root / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)


def _replace_grader(root: Path, folder: Path) -> None:
    """Replace the grader by that of the tree at `root`, or by this one where the course
    came without it.
    """
    own = root / "grader"
    _replace_folder(own if own.is_dir() else places.PACKAGE, folder / "grader")


def _replace_folder(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target, ignore=KEPT_OUT)


def _replace_named(
    files: Iterable[Path], kata: Kata, source: Path, target: Path
) -> None:
    """Replace the target by these files of the source folder."""
    shutil.rmtree(target, ignore_errors=True)
    for path in files:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(papers.handed_out(kata, path))


def _replace_kata(kata: Kata, target: Path) -> None:
    """Replace the folder of a kata. Hidden specs that were written there are kept if
    the course has none of its own.
    """
    written = {
        path.name: path.read_bytes()
        for path in (target / TEACHER).glob("*")
        if path.is_file()
    }
    _replace_named(handouts.of_the_learner(kata), kata, kata.folder, target)
    if kata.hidden_specs:
        shutil.copytree(kata.folder / TEACHER, target / TEACHER, ignore=KEPT_OUT)
    if not kata.hidden_specs:
        for name, content in written.items():
            (target / TEACHER).mkdir(exist_ok=True)
            (target / TEACHER / name).write_bytes(content)


def _unlink_missing(folder: Path) -> None:
    """Turn the lessons' links to files that were not exported into plain text."""
    for page in folder.glob("katas/**/*.md"):
        text = page.read_text(encoding="utf-8")
        linked = handouts.without_lost_links(text, partial(_is_there, page.parent))
        if linked != text:
            page.write_text(linked, encoding="utf-8")


def _is_there(folder: Path, link: str) -> bool:
    return (folder / link).exists()


def _write_rules(folder: Path, katas: list[Kata], course: Rules) -> None:
    """Write the rules where `kata grade` looks for them; no file if every exercise is
    worth a point.
    """
    for name in (rules.NAME, rules.OLD_NAME):
        (folder / name).unlink(missing_ok=True)
    if text := rules.text(course, katas):
        (folder / rules.NAME).write_text(text, encoding="utf-8")
