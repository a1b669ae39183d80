"""Writes the files that course platforms run: GitHub Classroom, Classroom 50, Gradescope."""

import json
import re
import zipfile
from pathlib import Path

from grader.course.catalogue import Kata
from grader.results import plain, rounded
from grader.teaching import template_files
from grader.teaching.rules import Rules

MINUTES = 10  # a platform's time limit per kata
STEP = """\
      - name: {name}
        id: {id}
        if: always()
        timeout-minutes: {minutes}
        run: bash course/platforms/step.sh {number} submission {points}
"""


def write_for_students(folder: Path, katas: list[Kata], repository: str, ref: str, rules: Rules) -> None:
    """Write GitHub Classroom's workflow, and the older list of commands that grades the same way."""
    worth = {kata: rules.worth(kata.name, [exercise.name for exercise in kata.exercises]) for kata in katas}
    most = {kata: plain(sum(exercises.values()), digits=2) for kata, exercises in worth.items()}
    _write_workflow(folder / ".github/workflows/classroom.yml", most, repository, ref)
    tests = [test for kata in katas for test in _tests(kata, worth[kata], rules.edges / 100)]
    _write_commands(folder / ".github/classroom/autograding.json", tests, repository, ref)


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


def _tests(kata: Kata, worth: dict[str, float], star_share: float) -> list[tuple[str, str, float]]:
    """The name, the pytest arguments and the points of each exercise's test, and of its star's if that counts."""
    specs = kata.specs.relative_to(kata.root).as_posix()
    tests = []
    for exercise in kata.exercises:
        name, place, points = f"{kata.name} · {exercise.name}", f"{specs}::{exercise.spec_class}", worth[exercise.name]
        tests.append((name, place, points * (1 - star_share)))
        if star_share:
            tests.append((f"{name} \N{BLACK STAR}", f"{place} --edges", points * star_share))
    return tests


def _write_workflow(path: Path, most: dict[Kata, float], repository: str, ref: str) -> None:
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
        repository=repository,
        ref=ref,
        steps="".join(steps),
        results="".join(results),
        runners=",".join(ids.values()),
    )


def _write_commands(path: Path, tests: list[tuple[str, str, float]], repository: str, ref: str) -> None:
    """One command per test."""
    clone = f"git clone -q https://github.com/{repository} .course"
    course = f"{clone} && git -C .course checkout -q {ref} && make -C .course setup"
    commands = [
        {
            "name": name,
            "setup": f"test -e .course || ({course})",
            "run": f"cd .course && .venv/bin/pytest -q {arguments} --code ../katas",
            "input": "",
            "output": "",
            "comparison": "included",
            "timeout": MINUTES,
            "points": points,
        }
        for (name, arguments, _), points in zip(tests, rounded(points for *_, points in tests), strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tests": commands}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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
