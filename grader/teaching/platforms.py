"""Writes the files that course platforms run: Classroom 50, plain GitHub Actions, Gradescope."""

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.course.catalogue import Kata
from grader.results import plain, rounded
from grader.teaching import template_files
from grader.teaching.rules import Rules

FOR_STUDENTS = "--report markdown=/dev/stderr >/dev/null"  # they read the log, which the terminal's table is not for
MINUTES = 10  # a platform's time limit per kata
NOT_COURSE = (".venv", ".git", ".kata", "platforms")  # what a folder may hold beside the course
STEP = """\
      - name: {name}
        id: {id}
        if: ${{{{ !cancelled() && steps.setup.outcome == 'success' }}}}
        timeout-minutes: {minutes}
        run: bash course/platforms/step.sh {number} submission {points}
"""


@dataclass(frozen=True)
class Place:
    """The teacher's copy on GitHub, and its commit that grades."""

    repository: str  # OWNER/NAME
    ref: str


def write_for_students(folder: Path, katas: list[Kata], place: Place | None, rules: Rules) -> None:
    """Write the workflow for GitHub Actions, and the older list of commands that grades the same way.

    Without a place there is neither: those of an earlier export are removed.
    """
    workflow, commands = folder / ".github/workflows/classroom.yml", folder / ".github/classroom/autograding.json"
    if place is None:
        for path in (workflow, commands):
            path.unlink(missing_ok=True)
        return
    worth = {kata: rules.worth(kata.name, [exercise.name for exercise in kata.exercises]) for kata in katas}
    most = {kata: plain(sum(exercises.values()), digits=2) for kata, exercises in worth.items()}
    _write_workflow(workflow, most, place)
    tests = [test for kata in katas for test in _tests(kata, worth[kata], rules.edges)]
    _write_commands(commands, tests, place)


def write_for_teacher(folder: Path, katas: list[Kata]) -> Path:
    """Write the scripts that platforms run, into `platforms/`. Returns Gradescope's archive."""
    scripts = folder / "platforms"
    (scripts / "autograder.py").unlink(missing_ok=True)  # of an older export
    template_files.write(scripts / "step.sh", "classroom_step.sh")
    template_files.write(scripts / "points.py", "classroom_points.py.template")
    template_files.write(scripts / "setup.sh", "gradescope_setup.sh")
    numbers = " ".join(kata.number for kata in katas)
    template_files.write(scripts / "run_autograder", "gradescope_run_autograder", katas=numbers)
    _write_archive(folder, scripts / "gradescope.zip")
    return scripts / "gradescope.zip"


def write_for_classroom50(folder: Path, katas: list[Kata]) -> None:
    """Write the script that Classroom 50 runs, and the page that says what the folder is."""
    numbers = [kata.number for kata in katas]
    template_files.write(folder / "autograder.py", "classroom50_autograder.py.template", katas=json.dumps(numbers))
    template_files.write(folder / "README.md", "classroom50_README.md", katas=", ".join(numbers))


def packed_size(folder: Path) -> int:
    """The size in bytes of the folder as a .tar.gz, as Classroom 50 packs it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as archive:
        for file, inside in _files(folder):
            archive.add(file, inside)
    return packed.tell()


def _tests(kata: Kata, worth: dict[str, float], edges: float) -> list[tuple[str, str, float]]:
    """The name, the options of `kata grade` and the points of each exercise's test, and of its star's if they count."""
    tests = []
    for exercise in kata.exercises:
        name, asked, points = f"{kata.name} · {exercise.name}", f"{kata.number}::{exercise.name}", worth[exercise.name]
        star = points * edges / 100
        tests.append((name, f"{asked} --fail-under {plain(100 - edges)}", points - star))
        if edges:
            tests.append((f"{name} \N{BLACK STAR}", f"{asked} --fail-under 100", star))
    return tests


def _write_workflow(path: Path, most: dict[Kata, float], place: Place) -> None:
    """One step per kata, with the most points that it can give."""
    ids = {kata: f"kata{re.sub('[^0-9a-z]', '', kata.number)}" for kata in most}
    steps = [
        STEP.format(name=kata.name, id=ids[kata], minutes=MINUTES, number=kata.number, points=points)
        for kata, points in most.items()
    ]
    results = [f"          {name.upper()}_RESULTS: ${{{{ steps.{name}.outputs.result }}}}\n" for name in ids.values()]
    template_files.write(
        path,
        "classroom.yml",
        repository=place.repository,
        ref=place.ref,
        steps="".join(steps),
        results="".join(results),
        graded=" ".join(ids.values()),
    )


def _write_commands(path: Path, tests: list[tuple[str, str, float]], place: Place) -> None:
    """One command per test. The first one sets the course up, beside the checkout, where no commit can have put it."""
    course = '"${RUNNER_TEMP:-/tmp}/kata-course"'
    fetch = f"git clone -q https://github.com/{place.repository} {course} && git -C {course} checkout -q {place.ref}"
    lost = f"the course {place.repository}@{place.ref} could not be set up, so nothing was graded"
    commands = [
        {
            "name": name,
            "setup": f"test -e {course}/.venv/installed || "
            f"{{ rm -rf {course} && {fetch} && make -C {course} setup; }} || {{ echo '{lost}' >&2; exit 1; }}",
            "run": f"{course}/.venv/bin/kata grade {options} --sealed --code katas {FOR_STUDENTS}",
            "input": "",
            "output": "",
            "comparison": "included",
            "timeout": MINUTES,
            "points": points,
        }
        for (name, options, _), points in zip(tests, rounded(points for *_, points in tests), strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tests": commands}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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
        if file.is_file() and inside.parts[0] not in NOT_COURSE and "__pycache__" not in inside.parts:
            yield file, inside
