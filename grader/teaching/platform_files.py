"""Writes the files that course platforms run: Classroom 50, plain GitHub
Actions, Gradescope.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.course.catalogue import Kata
from grader.teaching import template_files

MINUTES = 10  # a platform's time limit per kata
# what a folder may hold beside the course
NOT_COURSE = (".venv", ".git", ".kata", "platforms")
STEP = """\
      - name: {name}
        if: ${{{{ !cancelled() && steps.setup.outcome == 'success' }}}}
        timeout-minutes: {minutes}
        run: bash course/platforms/step.sh {number} submission
"""


@dataclass(frozen=True)
class Place:
    """The teacher's copy on GitHub, and its commit that grades."""

    repository: str  # OWNER/NAME
    ref: str


def write_for_students(folder: Path, katas: list[Kata], place: Place | None) -> None:
    """Write the workflow for GitHub Actions, with a step per kata. Without a place, an
    earlier export's is removed.
    """
    workflow = folder / ".github/workflows/classroom.yml"
    if place is None:
        workflow.unlink(missing_ok=True)
        return
    steps = [
        STEP.format(name=kata.name, minutes=MINUTES, number=kata.number)
        for kata in katas
    ]
    graded = " ".join(kata.number for kata in katas)
    where = {"repository": place.repository, "ref": place.ref}
    template_files.write(
        workflow, "workflow.yml", **where, steps="".join(steps), graded=graded
    )


def write_for_teacher(folder: Path, katas: list[Kata]) -> Path:
    """Write the scripts that platforms run, into `platforms/`. Returns
    Gradescope's archive.
    """
    scripts = folder / "platforms"
    (scripts / "autograder.py").unlink(missing_ok=True)  # of an older export
    template_files.write(scripts / "step.sh", "workflow_step.sh")
    template_files.write(scripts / "points.py", "workflow_points.py.template")
    template_files.write(scripts / "setup.sh", "gradescope_setup.sh")
    numbers = " ".join(kata.number for kata in katas)
    template_files.write(
        scripts / "run_autograder", "gradescope_run_autograder", katas=numbers
    )
    _write_archive(folder, scripts / "gradescope.zip")
    return scripts / "gradescope.zip"


def write_for_classroom50(folder: Path, katas: list[Kata]) -> None:
    """Write the script that Classroom 50 runs, and the page that says what the
    folder is.
    """
    numbers = [kata.number for kata in katas]
    template_files.write(
        folder / "autograder.py",
        "classroom50_autograder.py.template",
        katas=json.dumps(numbers),
    )
    template_files.write(
        folder / "README.md", "classroom50_README.md", katas=", ".join(numbers)
    )


def packed_size(folder: Path) -> int:
    """The size in bytes of the folder as a .tar.gz, as Classroom 50 packs it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as archive:
        for file, inside in _files(folder):
            archive.add(file, inside)
    return packed.tell()


def _write_archive(folder: Path, path: Path) -> None:
    """Gradescope's archive: the teacher's copy, with the two scripts at the top."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, inside in _files(folder):
            archive.write(file, inside)
        for name in ("setup.sh", "run_autograder"):
            archive.write(folder / "platforms" / name, name)


def _files(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The files of the course in a folder, each with its path there."""
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        if (
            file.is_file()
            and inside.parts[0] not in NOT_COURSE
            and "__pycache__" not in inside.parts
        ):
            yield file, inside
