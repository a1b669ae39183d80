"""Writes the files that course platforms run: GitHub Classroom, Classroom 50, Gradescope."""

import json
import re
import zipfile
from pathlib import Path

from grader.course.catalogue import Kata
from grader.results import shares
from grader.teaching import template_files

MINUTES = 10  # a platform's time limit per kata
STEP = """\
      - name: {name}
        id: {id}
        if: always()
        timeout-minutes: {minutes}
        run: bash course/platforms/step.sh {number} submission {points}
"""


def write_for_students(folder: Path, katas: list[Kata], repository: str, ref: str, worth: dict[str, int]) -> None:
    """Write GitHub Classroom's workflow, and the older list of commands that grades the same way."""
    points = {kata: _points(kata, worth) for kata in katas}
    _write_workflow(folder / ".github/workflows/classroom.yml", points, repository, ref)
    _write_commands(folder / ".github/classroom/autograding.json", points, repository, ref)


def write_for_teacher(folder: Path, katas: list[Kata], repository: str, ref: str) -> Path:
    """Write the scripts that platforms run, into `platforms/`. Returns Gradescope's archive."""
    numbers = [kata.number for kata in katas]
    scripts = folder / "platforms"
    template_files.write(scripts / "step.sh", "classroom_step.sh")
    template_files.write(
        scripts / "autograder.py",
        "classroom50_autograder.py.template",
        repository=repository,
        ref=ref,
        katas=json.dumps(numbers),
    )
    template_files.write(scripts / "setup.sh", "gradescope_setup.sh")
    template_files.write(scripts / "run_autograder", "gradescope_run_autograder", katas=" ".join(numbers))
    _write_archive(folder, scripts / "gradescope.zip")
    return scripts / "gradescope.zip"


def _points(kata: Kata, worth: dict[str, int]) -> list[int]:
    """The points of each exercise."""
    number = len(kata.exercises)
    return shares(worth.get(kata.name, number), number)


def _write_workflow(path: Path, points: dict[Kata, list[int]], repository: str, ref: str) -> None:
    """One step per kata."""
    ids = {kata: f"kata{re.sub('[^0-9a-z]', '', kata.number)}" for kata in points}
    steps = [
        STEP.format(name=kata.name, id=ids[kata], minutes=MINUTES, number=kata.number, points=sum(shared))
        for kata, shared in points.items()
    ]
    results = [f"          {name.upper()}_RESULTS: ${{{{ steps.{name}.outputs.result }}}}\n" for name in ids.values()]
    template_files.write(
        path,
        "classroom.yml",
        repository=repository,
        ref=ref,
        steps="".join(steps),
        results="".join(results),
        runners=",".join(ids.values()),
    )


def _write_commands(path: Path, points: dict[Kata, list[int]], repository: str, ref: str) -> None:
    """One test per exercise."""
    clone = f"git clone -q https://github.com/{repository} .course"
    course = f"{clone} && git -C .course checkout -q {ref} && make -C .course setup"
    tests = [
        {
            "name": f"{kata.name} · {exercise.name}",
            "setup": f"test -e .course || ({course})",
            "run": f"cd .course && .venv/bin/pytest -q {_spec_file(kata)}::{exercise.spec_class} --code ../katas",
            "input": "",
            "output": "",
            "comparison": "included",
            "timeout": MINUTES,
            "points": number,
        }
        for kata, shared in points.items()
        for exercise, number in zip(kata.exercises, shared, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tests": tests}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _spec_file(kata: Kata) -> str:
    return kata.specs.relative_to(kata.root).as_posix()


def _write_archive(folder: Path, path: Path) -> None:
    """Gradescope's archive: the teacher's copy, with the two scripts at the top."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if (
                file.is_file()
                and inside.parts[0] not in (".venv", ".git", ".kata", "platforms")
                and "__pycache__" not in inside.parts
            ):
                archive.write(file, inside)
        for name in ("setup.sh", "run_autograder"):
            archive.write(folder / "platforms" / name, name)
