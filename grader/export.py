"""Repositories to hand out: a starter without answers for students, and what the grading job needs for the teacher."""

import json
import re
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from string import Template

from grader import catalogue, hints, loading, runner, stubs, weights
from grader.catalogue import Kata
from grader.results import shares

TEMPLATES = Path(__file__).parent / "templates"
MARK = ".kata-starter"  # stands in a folder that an export may update
KEPT_OUT = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info")
SHARED = ("conftest.py", "pyproject.toml", "LICENSE", ".gitignore")
EDITORS = (".vscode", ".devcontainer")
PAGES = ("GLOSSARY.md", "COVERAGE.md")
MINUTES = 10  # that a platform gives one kata


class ExportFailure(Exception):
    """The export cannot be made. The message is one line."""


def starter(folder: Path, katas: Iterable[Kata], repository: str, ref: str, worth: dict[str, int]) -> list[str]:
    """Write or update a starter repository; the sentences that say what was done.

    What a student wrote stays: the file of a kata is replaced only while nothing in it is written. Katas that the chosen ones
    build on come along, as without the solutions nothing else could stand in for them. `worth` holds the points of the katas that
    are not worth one an exercise.

    Raises:
        ExportFailure: the folder holds something else, or a stub here is no longer one.
    """
    katas = runner.with_prerequisites(katas)
    for kata in katas:
        text = loading.read_source(kata.folder / kata.file.name)
        if len(stubs.unwritten(kata, text)) < len(catalogue.exercises(kata)):
            raise ExportFailure(f"katas/{kata.file} is no stub any more: take your own code out of it first")
    root = katas[0].root
    _prepare(folder)
    kept = []
    for kata in katas:
        target = folder / "katas" / kata.name
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(kata.folder.iterdir()):
            if path.suffix in (".md", ".py", ".png", ".ipynb") and not (path.name == kata.file.name and stubs.is_begun(kata, target / path.name)):
                shutil.copyfile(path, target / path.name)
            elif path.name == kata.file.name:
                kept.append(f"kept the student's katas/{kata.file}")
    _copy(root, folder, [*SHARED, *(f"katas/{page}" for page in PAGES)])
    for name in ("grader", *(editor for editor in EDITORS if (root / editor).is_dir())):
        _replace_folder(root / name, folder / name)
    _unlink_missing(folder)
    (folder / "Makefile").write_text("# make setup   build .venv\n# make grade   set up, then grade katas/ (KATA=16 one kata)\n\ninclude grader/setup.mk\n")
    _write(folder / "README.md", "starter_README.md", katas=_listing(katas), first=katas[0].number,
           first_folder=f"katas/{katas[0].name}", first_file=katas[0].file.name)  # fmt: skip
    _write_weights(folder, katas, worth)
    _write_workflow(folder, katas, repository, ref, worth)
    return [f"{len(katas)} katas in {folder}", *kept]


def teacher(folder: Path, katas: Iterable[Kata], repository: str, ref: str, worth: dict[str, int]) -> list[str]:
    """Write or update what grading needs: specs, references, grader, and a folder `platforms` with the scripts of each platform.

    Raises:
        ExportFailure: the folder holds something else.
    """
    katas = runner.with_prerequisites(katas)
    root = katas[0].root
    _prepare(folder)
    for kata in katas:
        _replace_folder(kata.folder, folder / "katas" / kata.name)
        _replace_folder(kata.reference.parent, folder / "solutions" / kata.name)
    _replace_folder(root / "grader", folder / "grader")
    _copy(root, folder, [*SHARED, "README.md", *(f"katas/{page}" for page in PAGES)])
    (folder / "Makefile").write_text("include grader/setup.mk\n")
    _write_weights(folder, katas, worth)
    _unlink_missing(folder)
    numbers = [kata.number for kata in katas]
    platforms = folder / "platforms"
    platforms.mkdir(exist_ok=True)
    _write(platforms / "step.sh", "classroom_step.sh", plain=True)
    _write(platforms / "autograder.py", "autograder.py", repository=repository, ref=ref, katas=json.dumps(numbers))
    _write(platforms / "setup.sh", "gradescope_setup.sh", plain=True)
    text = (TEMPLATES / "gradescope_run_autograder").read_text(encoding="utf-8").replace("$katas", " ".join(numbers))
    (platforms / "run_autograder").write_text(text, encoding="utf-8")
    (platforms / "run_autograder").chmod(0o755)
    _write_archive(folder, platforms / "gradescope.zip")
    return [f"{len(katas)} katas in {folder}", f"Gradescope's autograder is {platforms / 'gradescope.zip'}"]


def _prepare(folder: Path) -> None:
    """Make the folder, or see that it is one which an export has made before."""
    if folder.exists() and (not folder.is_dir() or any(p.name != ".git" for p in folder.iterdir()) and not (folder / MARK).exists()):
        raise ExportFailure(f"{folder} holds something else: give an empty folder, or one that was exported before")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("Made by kata export, which may update this folder.\n")


def _copy(root: Path, folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if (root / name).exists():
            shutil.copyfile(root / name, folder / name)


def _replace_folder(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target, ignore=KEPT_OUT)


def _unlink_missing(folder: Path) -> None:
    """Links of the lessons to what was not exported become plain text."""
    for page in folder.glob("katas/**/*.md"):
        text = page.read_text(encoding="utf-8")

        def kept(match: re.Match) -> str:
            target = match[2].partition("#")[0]
            return match[0] if "://" in target or not target or (page.parent / target).exists() else match[1]

        linked = re.sub(r"(?<!!)\[([^\]\n]*)\]\(([^)\s]+)\)", kept, text)
        if linked != text:
            page.write_text(linked, encoding="utf-8")


def _listing(katas: list[Kata]) -> str:
    return "".join(f"- [{kata.number} {hints.title(kata)}](katas/{kata.name}/README.md)\n" for kata in katas)


def _write_weights(folder: Path, katas: list[Kata], worth: dict[str, int]) -> None:
    """Where `kata grade` finds it by itself; none if every exercise is worth a point."""
    path = folder / weights.NAME
    path.unlink(missing_ok=True)
    if text := weights.text(worth, katas):
        path.write_text(text, encoding="utf-8")


def _write_workflow(folder: Path, katas: list[Kata], repository: str, ref: str, worth: dict[str, int]) -> None:
    """The workflow with one step a kata, and the same as the older list of commands."""
    numbers = {kata: len(catalogue.exercises(kata)) for kata in katas}
    points = {kata: shares(worth.get(kata.name, number), number) for kata, number in numbers.items()}
    ids = {kata: f"kata{re.sub('[^0-9a-z]', '', kata.number)}" for kata in katas}
    step = (
        "      - name: {name}\n        id: {id}\n        if: always()\n        timeout-minutes: {minutes}\n"
        "        run: bash course/platforms/step.sh {number} submission {points}\n"
    )
    steps = "".join(
        step.format(name=kata.name, id=ids[kata], minutes=MINUTES, number=kata.number, points=sum(points[kata]))
        for kata in katas
    )
    results = "".join(f"          {ids[k].upper()}_RESULTS: ${{{{ steps.{ids[k]}.outputs.result }}}}\n" for k in katas)
    _write(folder / ".github/workflows/classroom.yml", "classroom.yml", repository=repository, ref=ref, steps=steps, results=results,
           runners=",".join(ids.values()))  # fmt: skip
    course = f"git clone -q https://github.com/{repository} .course && git -C .course checkout -q {ref} && make -C .course setup"
    tests = [
        {
            "name": f"{kata.name} · {exercise.name}",
            "setup": f"test -e .course || ({course})",
            "run": f"cd .course && .venv/bin/pytest -q {_spec_file(kata)}::{exercise.spec_class} --code ../katas",
            "input": "",
            "output": "",
            "comparison": "included",
            "timeout": MINUTES,
            "points": worth_,
        }
        for kata in katas
        for exercise, worth_ in zip(catalogue.exercises(kata), points[kata], strict=True)
    ]
    path = folder / ".github/classroom/autograding.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tests": tests}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _spec_file(kata: Kata) -> str:
    return kata.specs.relative_to(kata.root).as_posix()


def _write(path: Path, template: str, *, plain: bool = False, **values: str) -> None:
    """A template's text with its `$names` filled in, executable if it is a script."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if plain else Template(text).substitute(values), encoding="utf-8")
    if text.startswith("#!"):
        path.chmod(0o755)


def _write_archive(folder: Path, path: Path) -> None:
    """Gradescope's zip: the teacher's copy, with its two scripts at the top."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if file.is_file() and inside.parts[0] not in (".venv", ".git", ".kata", "platforms") and "__pycache__" not in inside.parts:
                archive.write(file, inside)
        for name in ("setup.sh", "run_autograder"):
            archive.write(folder / "platforms" / name, name)
