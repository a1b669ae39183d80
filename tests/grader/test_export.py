"""Repositories to hand out: what is in them, updates, and each platform's steps, run as the platform runs them."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from grader.course.catalogue import find
from grader.teaching import export
from grader.teaching.rules import Rules
from tests.grader.test_reports import holds_to

KATAS = ("01", "02")
EXERCISES = sum(len(find(number).exercises) for number in KATAS)


@pytest.fixture(scope="module")
def starter(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("starter") / "repository"
    export.starter(folder, map(find, KATAS), "acme/course", "0123abc", Rules())
    return folder


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """The teacher's copy; instead of an environment of its own it has this one, with the copy's grader before ours."""
    folder = tmp_path_factory.mktemp("teacher") / "course"
    export.teacher(folder, map(find, KATAS), "acme/course", "0123abc", Rules())
    tools = folder / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name, run in (
        ("kata", "from grader.cli.main import main; main()"),
        ("pytest", "import sys, pytest; sys.exit(pytest.main())"),
    ):
        (tools / name).write_text(f"#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} -c '{run}' \"$@\"\n")
        (tools / name).chmod(0o755)
    (folder / ".venv" / "installed").touch()
    return folder


@pytest.fixture
def checkout(starter, tmp_path) -> Path:
    """A student's checkout of the starter: the first of its two katas is right, nothing of the second is written."""
    folder = tmp_path / "submission"
    shutil.copytree(starter, folder)
    shutil.copy(find(KATAS[0]).reference, folder / "katas" / find(KATAS[0]).file)
    return folder


def earned() -> dict[str, int]:
    """What each exercise of that checkout is worth, as platforms name it."""
    return {f"{find(n).name} · {e.name}": int(n == KATAS[0]) for n in KATAS for e in find(n).exercises}


class TestStarter:
    def test_no_answers_are_in_it(self, starter):
        names = {path.relative_to(starter).as_posix() for path in starter.rglob("*")}
        of_the_course = [name for name in names if not name.startswith("grader/course/templates/")]
        assert not any(
            name.startswith(("solutions", "tests/")) or "mistakes" in name or "accepted" in name
            for name in of_the_course
        )
        for number in KATAS:
            folder = find(number).folder
            lesson = {path.name for path in folder.iterdir() if path.is_file()} - {"sealed.toml", "probes.py"}
            assert {f"katas/{folder.name}/{name}" for name in lesson} <= names
        assert not any(name.endswith(("sealed.toml", "probes.py")) for name in names)
        for needed in (
            "Makefile",
            "pyproject.toml",
            "conftest.py",
            "grader/cli/main.py",
            "grader/data/stubs.zip",
            f"katas/{find(KATAS[0]).name}/kata.toml",
            "grader/constraints.txt",
            "README.md",
        ):
            assert needed in names
        assert all("raise NotImplementedError" in (starter / "katas" / find(n).file).read_text() for n in KATAS)

    def test_every_link_resolves(self, starter):
        pages = [starter / "README.md", *starter.glob("katas/**/*.md")]
        links = [
            (p, link) for p in pages for link in re.findall(r"\]\(([^)#]+)[^)]*\)", p.read_text()) if "://" not in link
        ]
        assert links and [(p, link) for p, link in links if not (p.parent / link).exists()] == []

    def test_what_a_kata_builds_on_comes_along(self, tmp_path):
        export.starter(tmp_path / "s", [find("17")], "a/b", "c", Rules())
        assert sorted(p.name for p in (tmp_path / "s/katas").iterdir() if p.is_dir()) == [
            find("16").name,
            find("17").name,
            "tinytorch",  # only what its katas are given: pyproject.toml installs it
        ]

    def test_its_specs_run_and_say_what_is_not_written(self, starter):
        command = [sys.executable, "-m", "pytest", "katas/01", "-p", "no:cacheprovider"]
        done = subprocess.run(
            command,
            cwd=starter,
            capture_output=True,
            text=True,
            timeout=240,
            env=os.environ | {"PYTHONPATH": str(starter)},
        )
        assert done.returncode == 1 and "not written yet" in done.stdout and " passed" not in done.stdout, done.stdout

    def test_an_update_keeps_what_a_student_wrote(self, tmp_path):
        folder = tmp_path / "s"
        export.starter(folder, map(find, KATAS), "a/b", "c", Rules())
        written = folder / "katas" / find("01").file
        written.write_text(find("01").reference.read_text())
        (folder / "katas" / find("02").file).write_text(find("02").reference.read_text().partition("\n")[0] + "\ndef (")
        lesson = folder / "katas" / find("01").name / "README.md"
        lesson.write_text("old")
        (folder / "notes.txt").write_text("mine")
        said = export.starter(folder, map(find, KATAS), "a/b", "new", Rules())
        assert written.read_text() == find("01").reference.read_text()
        assert (folder / "katas" / find("02").file).read_text().endswith("def (")
        assert lesson.read_text() != "old" and (folder / "notes.txt").read_text() == "mine"
        assert "ref: new" in (folder / ".github/workflows/classroom.yml").read_text()
        assert said[1:] == [f"kept the student's katas/{find(n).file}" for n in KATAS]

    @pytest.mark.parametrize("what", ["a folder with something in it", "a file"])
    def test_nothing_else_is_written_over(self, tmp_path, what, kata_here):
        (tmp_path / "notes.txt").write_text("mine")
        done = kata_here("export", "starter", tmp_path / "notes.txt" if what == "a file" else tmp_path)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "holds something else" in done.stderr
        assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]

    def test_the_place_of_the_teachers_copy_has_a_form(self, tmp_path, kata_here):
        done = kata_here("export", "starter", tmp_path / "s", "--grader", "somewhere")
        assert done.returncode == 2 and "OWNER/REPOSITORY@COMMIT" in done.stderr


class TestPlatforms:
    def test_classroom_workflow(self, course, checkout, tmp_path):
        """Each step of the workflow as a shell runs it, and its output, decoded."""
        workflow = yaml.safe_load((checkout / ".github/workflows/classroom.yml").read_text())
        assert workflow["name"] == "Autograding Tests"
        steps = workflow["jobs"]["run-autograding-tests"]["steps"]
        graded = [step for step in steps if "id" in step]
        reporter = steps[-1]
        assert reporter["with"]["runners"] == ",".join(step["id"] for step in graded)
        assert set(reporter["env"]) == {f"{step['id'].upper()}_RESULTS" for step in graded}
        results = []
        for step in graded:
            output = tmp_path / f"{step['id']}.output"
            environment = os.environ | {
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
            }
            command = step["run"].replace("course/", f"{course}/").replace(" submission ", f" {checkout} ")
            subprocess.run(
                ["bash", "-e", "-c", command],
                cwd=tmp_path,
                env=environment,
                check=True,
                timeout=240,
                capture_output=True,
            )
            [line] = output.read_text().splitlines()
            results.append(json.loads(base64.b64decode(line.removeprefix("result="))))
        for result in results:
            holds_to("classroom", result)
        assert [result["status"] for result in results] == ["pass", "fail"]
        assert {test["name"]: test["score"] for result in results for test in result["tests"]} == earned()
        assert sum(result["max_score"] for result in results) == EXERCISES
        assert "points" in (tmp_path / "summary.md").read_text()

    def test_a_step_that_cannot_grade_reports_an_error(self, course, tmp_path):
        output = tmp_path / "output"
        command = ["bash", course / "platforms/step.sh", "01", tmp_path / "no such checkout", "8"]
        subprocess.run(
            command, env=os.environ | {"GITHUB_OUTPUT": str(output)}, check=True, timeout=240, capture_output=True
        )
        result = json.loads(base64.b64decode(output.read_text().removeprefix("result=")))
        holds_to("classroom", result)
        assert (result["status"], result["max_score"]) == ("error", 8)

    def test_the_older_list_of_commands(self, course, checkout):
        data = json.loads((checkout / ".github/classroom/autograding.json").read_text())
        holds_to("autograding", data)
        assert len(data["tests"]) == EXERCISES
        (checkout / ".course").symlink_to(course)
        first = [next(t for t in data["tests"] if t["name"].startswith(find(number).name)) for number in KATAS]
        codes = []
        for test in first:
            command = test["run"].replace("--code ../katas", f"--code {checkout}/katas")
            codes.append(
                subprocess.run(["bash", "-c", command], cwd=checkout, capture_output=True, timeout=240).returncode
            )
        assert codes == [0, 1]

    def test_classroom_50(self, course, checkout):
        environment = os.environ | {
            "KATA_COURSE": str(course),
            "CLASSROOM": "c",
            "ASSIGNMENT": "a",
            "SUBMISSION_TAG": "submit/1",
            "COMMIT_URL": "https://x",
            "RELEASE_URL": "https://y",
            "REVIEW_URL": "https://z",
        }
        command = [sys.executable, course / "platforms/autograder.py"]
        subprocess.run(command, cwd=checkout, env=environment, check=True, timeout=240, capture_output=True)
        result = json.loads((checkout / "result.json").read_text())
        holds_to("classroom50", result)
        assert {test["test-name"]: test["score"] for test in result["tests"]} == earned()
        assert (result["score"], result["max-score"]) == (sum(earned().values()), EXERCISES)

    def test_gradescope(self, course, checkout, tmp_path):
        root = tmp_path / "autograder"
        root.mkdir()
        (root / "source").symlink_to(course)
        (root / "submission").symlink_to(checkout)
        command = ["bash", course / "platforms/run_autograder"]
        subprocess.run(
            command, env=os.environ | {"KATA_AUTOGRADER": str(root)}, check=True, timeout=240, capture_output=True
        )
        result = json.loads((root / "results/results.json").read_text())
        holds_to("gradescope", result)
        assert {test["name"]: test["score"] for test in result["tests"]} == earned()
        assert result["score"] == sum(earned().values())
        assert sum(test["max_score"] for test in result["tests"]) == EXERCISES

    def test_gradescopes_archive_is_whole(self, course):
        with zipfile.ZipFile(course / "platforms/gradescope.zip") as archive:
            names = set(archive.namelist())
            assert archive.getinfo("run_autograder").external_attr >> 16 & 0o111
        assert {"setup.sh", "run_autograder", "Makefile", "grader/cli/main.py", f"solutions/{find('01').file}"} <= names
        assert not any(name.startswith((".venv", ".git/")) for name in names)
