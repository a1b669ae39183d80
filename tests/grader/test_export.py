"""Repositories to hand out: what is in them, updates, and each platform's steps, run as
the platform runs them.
"""

import ast
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

from grader.course import stubs
from grader.course.catalogue import ROOT, Kata, all_katas, find
from grader.errors import ExportFailure, MisplacedSpecs
from grader.teaching import export
from grader.teaching.platform_files import Place
from grader.teaching.rules import Rules
from tests.conftest import SOUND
from tests.grader.test_reports import holds_to
from workshop import inspect_tasks
from workshop.inspect_tasks import Asked

KATAS = ("01", "02")
PLACE = Place("acme/course", "0123abc")
EXERCISES = sum(len(find(number).exercises) for number in KATAS)


@pytest.fixture(scope="module")
def starter(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("starter") / "repository"
    export.starter(folder, map(find, KATAS), PLACE, Rules())
    return folder


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "course"
    export.teacher(folder, map(find, KATAS), Rules())
    return set_up(folder)


@pytest.fixture
def bundle(tmp_path) -> Path:
    """Classroom 50's bundle, with the reference of the first kata."""
    folder = tmp_path / "bundle"
    export.bundle(folder, map(find, KATAS), [find(KATAS[0])], Rules())
    return set_up(folder)


def set_up(folder: Path) -> Path:
    """Give an export this environment instead of one of its own, with the export's
    grader before ours.
    """
    tools = folder / ".venv" / "bin"
    tools.mkdir(parents=True)
    run = "from grader.cli.main import main; main()"
    for name, what in (("kata", f"-P -c '{run}'"), ("python", "")):
        (tools / name).write_text(
            f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} {what} "$@"\n'
        )
        (tools / name).chmod(0o755)
    (folder / ".venv" / "installed").touch()
    return folder


@pytest.fixture
def checkout(starter, tmp_path) -> Path:
    """A student's checkout of the starter: the first of its two katas is right, nothing
    of the second is written.
    """
    folder = tmp_path / "submission"
    shutil.copytree(starter, folder)
    shutil.copy(find(KATAS[0]).reference, folder / "katas" / find(KATAS[0]).file)
    return folder


@pytest.fixture
def hostile(checkout) -> Path:
    """That checkout, as somebody changes it who wants points or the grader's rights:
    each trap leaves a file here.
    """
    kata = find(KATAS[1])
    trap = f"open({str(checkout / 'trapped')!r}, 'a').write(__file__)\n"
    (checkout / "katas" / kata.specs.relative_to(ROOT / "katas")).write_text(trap)
    (checkout / "katas" / kata.name / "kata.toml").write_text("")
    for name in (
        "conftest.py",
        "sitecustomize.py",
        "usercustomize.py",
        "katas/conftest.py",
        "katas/torch.py",
    ):
        (checkout / name).write_text(trap)
    (checkout / "evil.pth").write_text(f"import sys; {trap}")
    (checkout / "pytest.ini").write_text("[pytest]\naddopts = -p sitecustomize\n")
    (checkout / "setup.cfg").write_text("[tool:pytest]\naddopts = -p sitecustomize\n")
    (checkout / "grading.toml").write_text("edges = 99\n")
    program = checkout / "program"
    program.write_text(f"#!/bin/sh\ntouch {checkout}/trapped\n")
    program.chmod(0o755)
    commit = (
        "git init -q && git add -A && git -c user.name=a -c user.email=a@b.c commit "
        "-qm x"
    )
    subprocess.run(commit, shell=True, cwd=checkout, check=True, capture_output=True)
    told = (
        "core.fsmonitor core.sshCommand core.pager gpg.program diff.external "
        "credential.helper filter.f.smudge"
    )
    for key in [*told.split(), "filter.f.clean", "alias.log"]:
        subprocess.run(["git", "config", key, str(program)], cwd=checkout, check=True)
    for key, value in (("log.showSignature", "true"), ("core.hooksPath", ".")):
        subprocess.run(["git", "config", key, value], cwd=checkout, check=True)
    (checkout / ".gitattributes").write_text("* filter=f diff=f\n")
    (checkout / ".gitmodules").write_text(
        f'[submodule "x"]\npath = x\nurl = {checkout}\nupdate = !{program}\n'
    )
    (checkout / ".kata").mkdir()
    (checkout / ".kata/known.sqlite").write_bytes(b"no database")
    (checkout / ".kata-room").touch()
    return checkout


def output_of(
    command: list[str], folder: Path, environment: dict[str, str]
) -> tuple[int, str]:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


def earned() -> dict[str, int]:
    """The worth of each exercise of that checkout, as platforms name it."""
    return {
        f"{find(n).name} · {e.name}": int(n == KATAS[0])
        for n in KATAS
        for e in find(n).exercises
    }


def test_what_grades_kernels_installs_triton(tmp_path, course):
    export.teacher(tmp_path / "kernels", [find("kernels/01")], Rules())
    for folder, asked in (
        (tmp_path / "kernels", "-e '.[kernels]'"),
        (course, "-e '.'"),
    ):
        said = subprocess.run(
            ["make", "-nB", "setup"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert asked in said.stdout


class TestStarter:
    def test_no_answers_are_in_it(self, starter):
        names = {path.relative_to(starter).as_posix() for path in starter.rglob("*")}
        of_the_course = [name for name in names if not name.startswith("grader/")]
        assert not any(
            name.startswith(("solutions", "tests/", "workshop"))
            or "mistakes" in name
            or "accepted" in name
            for name in of_the_course
        )
        for number in KATAS:
            folder = find(number).folder
            lesson = {path.name for path in folder.iterdir() if path.is_file()}
            assert {f"katas/{folder.name}/{name}" for name in lesson} <= names
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
        assert all(
            "raise NotImplementedError"
            in (starter / "katas" / find(n).file).read_text()
            for n in KATAS
        )

    def test_pictures_are_in_it_and_their_sources_are_not(self, tmp_path):
        export.starter(tmp_path / "s", [find("12")], PLACE, Rules())
        names = {
            path.name for path in (tmp_path / "s/katas" / find("12").name).iterdir()
        }
        assert {"figure.png", "rnn.svg", "lstm.svg", "gru.svg"} <= names
        assert not any(name.endswith(".diagram") for name in names)

    def test_every_link_resolves(self, starter):
        pages = [starter / "README.md", *starter.glob("katas/**/*.md")]
        links = [
            (p, link)
            for p in pages
            for link in re.findall(r"\]\(([^)#]+)[^)]*\)", p.read_text())
            if "://" not in link
        ]
        assert (
            links
            and [(p, link) for p, link in links if not (p.parent / link).exists()] == []
        )

    def test_what_a_kata_builds_on_comes_along(self, tmp_path):
        export.starter(tmp_path / "s", [find("17")], PLACE, Rules())
        assert sorted(
            p.name for p in (tmp_path / "s/katas").iterdir() if p.is_dir()
        ) == [
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
            env=os.environ | {"PYTHONPATH": str(starter)},
        )
        assert (
            done.returncode == 1
            and "not written yet" in done.stdout
            and " passed" not in done.stdout
        ), done.stdout

    def test_an_update_keeps_what_a_student_wrote(self, tmp_path):
        folder = tmp_path / "s"
        export.starter(folder, map(find, KATAS), PLACE, Rules())
        written = folder / "katas" / find("01").file
        written.write_text(find("01").reference.read_text())
        (folder / "katas" / find("02").file).write_text(
            find("02").reference.read_text().partition("\n")[0] + "\ndef ("
        )
        lesson = folder / "katas" / find("01").name / "README.md"
        lesson.write_text("old")
        (folder / "notes.txt").write_text("mine")
        said = export.starter(folder, map(find, KATAS), Place("a/b", "new"), Rules())
        assert written.read_text() == find("01").reference.read_text()
        assert (folder / "katas" / find("02").file).read_text().endswith("def (")
        assert (
            lesson.read_text() != "old" and (folder / "notes.txt").read_text() == "mine"
        )
        assert "ref: new" in (folder / ".github/workflows/classroom.yml").read_text()
        assert said[1:] == [f"kept the student's katas/{find(n).file}" for n in KATAS]

    def test_an_update_replaces_what_equals_its_stub_and_keeps_a_comment(
        self, tmp_path
    ):
        folder, kata = tmp_path / "s", find("00")
        export.starter(folder, [kata], PLACE, Rules())
        written = folder / "katas" / kata.file
        with zipfile.ZipFile(folder / "grader/data/stubs.zip", "w") as packed:
            packed.writestr(kata.file.as_posix(), "def of_the_last_release(): ...\n")
        written.write_bytes(b"def of_the_last_release(): ...\r\n")
        export.starter(folder, [kata], PLACE, Rules())
        assert written.read_text() == stubs.stub_of(kata)
        written.write_text(f"{stubs.stub_of(kata)}# ask about the second one\n")
        said = export.starter(folder, [kata], PLACE, Rules())
        assert written.read_text().endswith("# ask about the second one\n")
        assert said[1:] == [f"kept the student's katas/{kata.file}"]

    @pytest.mark.parametrize("what", ["a folder with something in it", "a file"])
    def test_nothing_else_is_written_over(self, tmp_path, what, kata_here):
        (tmp_path / "notes.txt").write_text("mine")
        folder = tmp_path / "notes.txt" if what == "a file" else tmp_path
        done = kata_here("export", "teacher", folder, "--katas", "00")
        assert (
            done.returncode == 2
            and done.stderr.count("\n") == 1
            and "holds something else" in done.stderr
        )
        assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]

    @pytest.mark.parametrize(
        "options",
        [
            *(
                ["--grader", place]
                for place in (
                    "somewhere",
                    "a/b@main",
                    "a/b@v1.2",
                    "a/b@0123abc",
                    f"a/b@{'x' * 40}",
                )
            ),
            [],
            ["--no-workflow", "--grader", f"a/b@{'c' * 40}"],
        ],
    )
    def test_the_place_of_the_teachers_copy_is_asked_for(
        self, tmp_path, kata_here, options
    ):
        done = kata_here("export", "starter", tmp_path / "s", *options)
        assert (
            done.returncode == 2
            and done.stderr.count("\n") == 1
            and "OWNER/REPOSITORY@COMMIT" in done.stderr
        )
        assert not (tmp_path / "s").exists()

    def test_it_has_no_workflow_where_another_platform_grades(self, tmp_path):
        folder = tmp_path / "s"
        export.starter(folder, [find("01")], PLACE, Rules())
        export.starter(folder, [find("01")], None, Rules())
        assert not list(folder.glob(".github/*/*"))


class TestHiddenSpecs:
    """A teacher's own specs go where the teacher grades, and nowhere else."""

    @pytest.fixture
    def kata(self, tmp_path) -> Kata:
        """01_sums in a tree of its own, with a hidden spec."""
        shutil.copytree(SOUND, tmp_path / "tree")
        (tmp_path / "tree/grader").symlink_to(ROOT / "grader")
        kata = all_katas(tmp_path / "tree")[0]
        (kata.folder / "teacher").mkdir()
        (kata.folder / "teacher/test_mine.py").write_text("SECRET = 1\n")
        return kata

    def test_what_students_get_has_none(self, kata, tmp_path):
        export.starter(tmp_path / "out/starter", [kata], PLACE, Rules())
        export.bundle(tmp_path / "out/bundle", [kata], [kata], Rules())
        files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        assert files and not any(
            "teacher" in path.parts or b"SECRET = 1" in path.read_bytes()
            for path in files
        )

    def test_the_teachers_copy_has_them(self, kata, tmp_path):
        place = "katas/01_sums/teacher/test_mine.py"
        said = export.teacher(tmp_path / "course", [kata], Rules())
        assert (
            said[1] == f"with hidden specs: {place}"
            and (tmp_path / "course" / place).is_file()
        )
        with zipfile.ZipFile(tmp_path / "course/platforms/gradescope.zip") as archive:
            assert place in archive.namelist()

    def test_those_written_there_outlive_an_update(self, kata, tmp_path):
        there = tmp_path / "course/katas/01_sums/teacher"
        export.teacher(tmp_path / "course", [kata], Rules())
        (there / "test_mine.py").write_text("old")
        export.teacher(tmp_path / "course", [kata], Rules())
        assert (there / "test_mine.py").read_text() == "SECRET = 1\n", (
            "the course has its own"
        )
        shutil.rmtree(kata.folder / "teacher")
        (there / "test_mine.py").write_text("SECRET = 2\n")
        export.teacher(tmp_path / "course", [kata], Rules())
        assert (there / "test_mine.py").read_text() == "SECRET = 2\n"

    def test_those_that_would_not_count_are_refused(self, kata, tmp_path):
        (kata.folder / "teacher/mine.py").write_text("def test_it(self, kata): ...")
        with pytest.raises(MisplacedSpecs, match="teacher/mine.py"):
            export.teacher(tmp_path / "course", [kata], Rules())

    def test_a_course_is_not_exported_over_itself(self, kata, tmp_path, monkeypatch):
        monkeypatch.setattr(export, "ROOT", tmp_path / "course")
        with pytest.raises(ExportFailure, match="is this course itself"):
            export.teacher(tmp_path / "course", [kata], Rules())

    def test_gradescope_keeps_the_report_that_says_nothing_of_them(
        self, course, tmp_path
    ):
        """The error on the terminal names the file and is for the teacher."""
        tools = tmp_path / "source/.venv/bin"
        tools.mkdir(parents=True)
        (tools / "kata").write_text(
            "#!/bin/sh\nfor last; do :; done\n"
            'echo SECRET >&2; echo "{}" >"${last#gradescope=}"; exit 2\n'
        )
        (tools / "kata").chmod(0o755)
        command = ["bash", course / "platforms/run_autograder"]
        environment = os.environ | {"KATA_AUTOGRADER": str(tmp_path)}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        assert (tmp_path / "results/results.json").read_text() == "{}\n"


class TestInspect:
    """Tasks for inspect-ai. What its scorer says is tried nightly, by
    tests.bench.inspected.
    """

    def test_a_task_asks_with_the_stub_and_its_course_grades(self, tmp_path):
        first, second = map(find, KATAS)
        mine = tmp_path / "mine" / first.name
        mine.mkdir(parents=True)
        for name in ("test_mine.py", first.specs.name):
            (mine / name).write_text("SECRET = 1\n")
        asked = [Asked(first), Asked(second, second.exercises[1])]
        said = inspect_tasks.for_inspect(tmp_path / "tasks", asked, tmp_path / "mine")
        assert said[1] == (
            f"with private specs: {first.name}/test_mine.py, "
            f"{first.name}/{first.specs.name}"
        )
        about = json.loads((tmp_path / "tasks/tasks.json").read_text())
        queries = ["01", f"02::{second.exercises[1].name}"]
        assert [*about] == queries and about[queries[1]]["exercises"] == [
            second.exercises[1].name
        ]
        tree = ast.parse((tmp_path / "tasks/tasks.py").read_text())
        assert {"kata_01", f"kata_02_{second.exercises[1].name}"} <= {
            getattr(node, "name", "") for node in tree.body
        }
        for kata in (first, second):
            assert (tmp_path / "tasks/katas" / kata.file).read_text() == stubs.stub_of(
                kata
            )
        assert (
            tmp_path
            / "tasks/solutions"
            / second.author.relative_to(ROOT / "solutions")
            / "sealed.toml"
        ).is_file()
        there = tmp_path / "tasks/katas" / first.name
        assert [
            (there / name).read_text()
            for name in ("teacher/test_mine.py", first.specs.name)
        ] == ["SECRET = 1\n"] * 2
        assert inspect_tasks.with_own_specs(tmp_path / "tasks", tmp_path / "mine") == [
            Kata(tmp_path / "tasks", first.name)
        ]

    def test_what_could_not_be_scored_is_refused(self, tmp_path):
        kata = find("tinytorch/08")
        with pytest.raises(
            ExportFailure, match="08::batch_scaling: no second lock judges any"
        ):
            inspect_tasks.for_inspect(
                tmp_path / "tasks", [Asked(kata, kata.exercise("batch_scaling"))], None
            )
        with pytest.raises(ExportFailure, match="has no private specs for these katas"):
            inspect_tasks.for_inspect(tmp_path / "tasks", [Asked(kata)], tmp_path)


class TestPlatforms:
    def test_actions_are_named_by_commit(self, checkout):
        """A tag can be moved to other code."""
        files = [
            checkout / ".github/workflows/classroom.yml",
            *(ROOT / ".github/workflows").glob("*.yml"),
        ]
        actions = [
            line
            for file in files
            for line in file.read_text().splitlines()
            if " uses: " in line
        ]
        assert actions and all(
            re.search(r"@[0-9a-f]{40} # v\d", line) for line in actions
        )

    def test_the_workflow(self, course, checkout, tmp_path):
        """Each step of the workflow as a shell runs it."""
        workflow = yaml.safe_load(
            (checkout / ".github/workflows/classroom.yml").read_text()
        )
        steps = workflow["jobs"]["grade"]["steps"]
        graded = [step for step in steps if "step.sh" in step.get("run", "")]
        there = {
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        }
        for step in graded:
            command = (
                step["run"]
                .replace("course/", f"{course}/")
                .replace(" submission", f" {checkout}")
            )
            assert output_of(["bash", "-e", "-c", command], tmp_path, there) == (0, "")
        files = [tmp_path / "kata-reports" / f"{number}.json" for number in KATAS]
        reports = [json.loads(file.read_text()) for file in files]
        for report in reports:
            holds_to("report", report)
        assert [report["katas"][0]["status"] for report in reports] == [
            "passed",
            "not started",
        ]
        assert "points" in (tmp_path / "summary.md").read_text()
        right, most = sum(earned().values()), len(earned())
        asked = (
            ["bash", "-e", "-c", steps[-1]["run"].replace("course/", f"{course}/")],
            tmp_path,
            there,
        )
        assert output_of(*asked) == (
            1,
            f"::notice title=Grading complete::Points {right}/{most}\n",
        )
        files[1].unlink()  # the other step was cut short
        code, line = output_of(*asked)
        assert (
            code == 1
            and line.startswith("::error")
            and "Not graded: 02." in line
            and "Points" not in line
        )
        shutil.copy(files[0], files[1])
        assert output_of(*asked)[0] == 0

    def test_a_step_that_cannot_grade_is_not_counted(self, course, tmp_path):
        there = {"RUNNER_TEMP": str(tmp_path)}
        step = [
            "bash",
            course / "platforms/step.sh",
            "01",
            tmp_path / "no such checkout",
        ]
        assert output_of(step, tmp_path, there) == (0, "")
        code, line = output_of(
            ["python3", course / "platforms/points.py", "01"], tmp_path, there
        )
        assert code == 1 and line.startswith(
            "::error title=Grading incomplete::Not graded: 01."
        )

    def test_the_workflow_says_that_a_course_could_not_be_checked_out(
        self, starter, tmp_path
    ):
        workflow = yaml.safe_load(
            (starter / ".github/workflows/classroom.yml").read_text()
        )
        steps = {step.get("name"): step for step in workflow["jobs"]["grade"]["steps"]}
        assert steps["Check out the teacher's specs and grader"]["continue-on-error"]
        says = steps["Say why nothing is graded"]
        assert says["if"] == "steps.course.outcome == 'failure'"
        environment = os.environ | {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
        done = subprocess.run(
            ["bash", "-e", "-c", says["run"]],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1 and done.stdout.startswith(
            "::error::Nothing was graded: acme/course at 0123abc"
        )
        assert "GRADER_TOKEN" in (tmp_path / "summary").read_text()
        newest = next(
            step["with"]["python-version"]
            for step in steps.values()
            if step.get("id") == "python"
        )
        script = (ROOT / "grader/python.sh").read_text()
        assert f"python install --no-progress {newest} " in script, (
            "the newest that the pins have wheels for"
        )
        assert "Graded with" in steps["Set up"]["run"]
        for name in (*(find(number).name for number in KATAS), "Report the points"):
            assert "steps.setup.outcome == 'success'" in steps[name]["if"]

    def test_gradescope(self, course, checkout, tmp_path):
        root = tmp_path / "autograder"
        root.mkdir()
        (root / "source").symlink_to(course)
        (root / "submission").symlink_to(checkout)
        command = ["bash", course / "platforms/run_autograder"]
        subprocess.run(
            command,
            env=os.environ | {"KATA_AUTOGRADER": str(root)},
            check=True,
            capture_output=True,
        )
        result = json.loads((root / "results/results.json").read_text())
        holds_to("gradescope", result)
        assert {test["name"]: test["score"] for test in result["tests"]} == earned()
        assert result["score"] == sum(earned().values())
        assert sum(test["max_score"] for test in result["tests"]) == EXERCISES

    def test_a_checkout_changes_no_mark_and_runs_nothing(
        self, course, hostile, tmp_path
    ):
        """Also where the current folder is the checkout, as many services have it."""
        there = {
            "RUNNER_TEMP": str(tmp_path),
            "KATA_AUTOGRADER": str(tmp_path / "root"),
        }
        (tmp_path / "root").mkdir()
        (tmp_path / "root/source").symlink_to(course)
        (tmp_path / "root/submission").symlink_to(hostile)
        page = (ROOT / "docs/handing_out.md").read_text(encoding="utf-8")
        [line] = re.findall(r"^cd course && (.+)$", page, re.MULTILINE)
        line = (
            line.replace("grade 16", "grade 02")
            .replace("../submission", str(hostile))
            .replace("../", f"{tmp_path}/")
        )
        shutil.copytree(hostile, tmp_path / "class/mallory")
        grade = (
            f".venv/bin/kata class {tmp_path}/class 01 02 --report "
            f"json={tmp_path}/class.json"
        )
        for command in (
            ["bash", "-c", f"cd {course} && {grade}"],
            ["bash", course / "platforms/step.sh", "02", "."],
            ["bash", course / "platforms/run_autograder"],
            ["bash", "-c", f"cd {course} && {line.replace('--fail-under 60', '')}"],
        ):
            assert output_of(command, hostile, there)[0] == 0
        [kata] = json.loads((tmp_path / "kata-reports/02.json").read_text())["katas"]
        assert kata["status"] == "not started" and len(kata["exercises"]) == len(
            find("02").exercises
        )
        tests = json.loads((tmp_path / "root/results/results.json").read_text())[
            "tests"
        ]
        assert {test["name"]: test["score"] for test in tests} == earned()
        assert "not written yet" in (tmp_path / "report.xml").read_text()
        [mallory] = json.loads((tmp_path / "class.json").read_text())["students"]
        assert mallory["report"]["points"] == sum(earned().values())
        assert not (hostile / "trapped").exists()

    def test_gradescope_gives_no_score_without_a_grader(self, checkout, tmp_path):
        export.teacher(tmp_path / "source", [find("01")], Rules())
        command = ["bash", tmp_path / "source/platforms/run_autograder"]
        environment = os.environ | {"KATA_AUTOGRADER": str(tmp_path)}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        result = json.loads((tmp_path / "results/results.json").read_text())
        assert "score" not in result and "tests" not in result
        assert (
            "was not graded" in result["output"] and "No such file" in result["output"]
        )

    def test_gradescopes_archive_is_whole(self, course):
        with zipfile.ZipFile(course / "platforms/gradescope.zip") as archive:
            names = set(archive.namelist())
            assert archive.getinfo("run_autograder").external_attr >> 16 & 0o111
        assert {
            "setup.sh",
            "run_autograder",
            "Makefile",
            "grader/cli/main.py",
            f"solutions/{find('01').file}",
        } <= names
        assert not any(name.startswith((".venv", ".git/")) for name in names)


class TestClassroom50:
    """The bundle as the platform runs it: in the student's checkout, with
    its variables.
    """

    def ran(self, bundle: Path, checkout: Path) -> subprocess.CompletedProcess:
        links = {
            name: f"https://{name}"
            for name in ("COMMIT_URL", "RELEASE_URL", "REVIEW_URL")
        }
        names = {
            "CLASSROOM": "c",
            "ASSIGNMENT": "a",
            "SUBMISSION_TAG": "submit/1",
            "OWNER": "ann",
        }
        command = [sys.executable, bundle / "autograder.py"]
        return subprocess.run(
            command,
            cwd=checkout,
            env=os.environ | links | names,
            capture_output=True,
            text=True,
        )

    def result(self, bundle: Path, checkout: Path) -> dict:
        done = self.ran(bundle, checkout)
        assert done.returncode == 0, done.stderr
        result = json.loads((checkout / "result.json").read_text())
        holds_to("classroom50", result)
        return result

    def test_half_of_the_katas(self, bundle, checkout):
        """The submission's time is its commit's."""
        commit = (
            "git init -q && git add -A && git -c user.name=a -c user.email=a@b.c "
            "commit -qm x"
        )
        when = {"GIT_COMMITTER_DATE": "2026-01-02T03:04:05+01:00"}
        subprocess.run(
            commit, shell=True, cwd=checkout, env=os.environ | when, check=True
        )
        result = self.result(bundle, checkout)
        assert {
            test["test-name"]: test["score"] for test in result["tests"]
        } == earned()
        assert (result["score"], result["max-score"]) == (
            sum(earned().values()),
            EXERCISES,
        )
        assert result["datetime"] == "2026-01-02T02:04:05Z" != result["graded_at"]
        page = (checkout / "release-body.md").read_text()
        name = find(KATAS[0]).exercises[0].name
        assert "not written yet" in page and f"| `{name}` | ★ | works" in page

    def test_a_checkout_changes_no_mark_and_runs_nothing(self, bundle, hostile):
        result = self.result(bundle, hostile)
        assert {
            test["test-name"]: test["score"] for test in result["tests"]
        } == earned()
        assert (
            result["datetime"] != result["graded_at"]
            and not (hostile / "trapped").exists()
        )

    def test_nothing(self, bundle, starter, tmp_path):
        untouched = shutil.copytree(starter, tmp_path / "untouched")
        assert self.result(bundle, untouched)["score"] == 0

    def test_all_and_what_only_a_probe_seals_is_not_sealed_without_a_reference(
        self, tmp_path, submission
    ):
        gradients = find("05")
        export.bundle(tmp_path / "b", [gradients], [], Rules())
        checkout = submission(
            gradients, gradients.reference.read_text(), tmp_path / "s" / "katas"
        ).parent
        result = self.result(set_up(tmp_path / "b"), checkout)
        assert result["score"] == result["max-score"] == len(gradients.exercises)
        page = (checkout / "release-body.md").read_text()
        assert (
            re.search(r"`describe_graph` \| . \| works", page)
            and "unconfirmed" not in page
        )

    def test_a_hostile_file_costs_its_own_kata(self, bundle, checkout):
        (checkout / "result.json").symlink_to(bundle / "pyproject.toml")
        hostile = (
            "import os, pathlib\npathlib.Path('result.json').write_text('{}')\n"
            "os._exit(0)\n"
        )
        (checkout / "katas" / find(KATAS[1]).file).write_text(hostile)
        assert self.result(bundle, checkout)["score"] == sum(earned().values())
        assert (bundle / "pyproject.toml").read_text().startswith("[build-system]")

    @pytest.mark.parametrize(
        "missing",
        ["grader/python.sh", f"katas/{find(KATAS[0]).name}/test_tensors.py", "katas"],
    )
    def test_a_broken_bundle_gives_no_marks(self, bundle, checkout, missing):
        shutil.move(bundle / missing, bundle / "elsewhere")
        done = self.ran(bundle, checkout)
        assert (
            done.returncode == 1
            and "::error::This submission was not graded" in done.stderr
        )
        assert not (checkout / "result.json").exists()

    def test_time_that_is_up_gives_no_marks(self, bundle, checkout):
        script = bundle / "autograder.py"
        script.write_text(script.read_text().replace("MINUTES = 13", "MINUTES = 0"))
        done = self.ran(bundle, checkout)
        assert (
            done.returncode == 1
            and "installing the grader failed (more than 0 minutes)" in done.stderr
        )
        assert not (checkout / "result.json").exists()

    def test_only_released_references_are_in_it(self, bundle):
        of_others = [find(KATAS[1]), *map(find, ("03", "16"))]
        assert (bundle / "solutions" / find(KATAS[0]).file).exists()
        texts = [path.read_bytes() for path in bundle.rglob("*") if path.is_file()]
        assert texts and not any(
            kata.reference.read_bytes() in texts for kata in of_others
        )
        export.bundle(bundle, map(find, KATAS), [], Rules())
        left = {
            path.name for path in (bundle / "solutions").rglob("*") if path.is_file()
        }
        assert left == {"sealed.toml"}

    def test_what_a_kata_builds_on_comes_along_ungraded(self, tmp_path):
        export.bundle(tmp_path / "b", [find("17")], [find("16")], Rules(edges=20))
        assert 'KATAS = ["17"]' in (tmp_path / "b/autograder.py").read_text()
        assert (
            tmp_path / "b/solutions" / find("16").name / "author/sealed.toml"
        ).exists()
        assert (tmp_path / "b/grading.toml").read_text() == "edges = 20\n"

    def test_a_released_kata_is_one_of_the_bundle(self, tmp_path, kata_here):
        done = kata_here(
            "export", "classroom50", tmp_path / "b", "--katas", "01", "--released", "16"
        )
        assert (
            done.returncode == 2
            and f"--released {find('16').name}" in done.stderr
            and done.stderr.count("\n") == 1
        )

    def test_one_that_is_too_large_is_refused(self, tmp_path, kata_here, monkeypatch):
        monkeypatch.setattr(export, "MOST_BYTES", 100_000)
        done = kata_here("export", "classroom50", tmp_path / "b", "--katas", "01")
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert (
            "takes 0.1 MB" in done.stderr
            and f"{find('01').name} is the largest" in done.stderr
        )

    def test_a_students_starter_is_not_written_over(self, starter, kata_here):
        done = kata_here("export", "classroom50", starter, "--katas", "01")
        assert done.returncode == 2 and "holds something else" in done.stderr
        assert (starter / "katas" / find("01").file).exists()
