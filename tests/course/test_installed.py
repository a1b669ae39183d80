"""A learner's day with a release: the wheel in an environment of the runtime
dependencies, far from any checkout.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.course import places, stubs
from grader.course.catalogue import ROOT, Kata, all_katas, find
from grader.isolation import sandbox
from grader.learner import workspace as workspaces
from tests.conftest import KATA, SOUND
from tests.course import bare

SIXTEEN, FIRST = find("16"), find("01")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
MOST_BYTES = 10e6
READS = """

for place in {places}:
    try:
        open(place, "rb").read()
    except OSError:
        continue
    raise RuntimeError(f"{{place}} is open to code under test")
"""


def wheel_of(checkout: Path, folder: Path) -> Path:
    """Build the wheel of a checkout, without a network."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*command, "-w", folder, checkout], check=True)
    [found] = folder.glob("torch_katas-*.whl")
    return found


def install(wheel: Path, environment: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        environment / "bin" / "python",
        "install",
        "-q",
        "--no-deps",
    ]
    subprocess.run([*command, "--no-index", wheel], check=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the repository, to build from."""
    folder = tmp_path_factory.mktemp("source") / "torch-katas"
    bare.copy(folder)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout) -> Path:
    return wheel_of(checkout, checkout.parent / "dist")


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheel) -> Path:
    """An environment with the wheel, and with a package of the name of one of the
    course's tracks.
    """
    folder = tmp_path_factory.mktemp("e") / "env"
    packages = bare.link(
        folder, [found for found in bare.needed() if found.name != "torch-katas"]
    )
    install(wheel, folder)
    (packages / "tinytorch").mkdir(exist_ok=True)
    assert not list((packages / "tinytorch").iterdir()), "the wheel has a tinytorch"
    (packages / "tinytorch/__init__.py").write_text(
        "raise ImportError('another tinytorch')\n"
    )
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, environment) -> Path:
    """What `kata start` has laid out. Tests share it, as days share a
    learner's folder.
    """
    place = tmp_path_factory.mktemp("r")
    done = run(environment, place, "kata start my-katas")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == (
        f"{place / 'my-katas'} has {len(all_katas())} katas, and data/ for larger "
        "data sets"
    ), said
    assert said[-2:] == [
        "Next: cd my-katas",
        "      kata watch 00, and open katas/00_first_look/first_look.py",
    ]
    return place / "my-katas"


def run(
    environment: Path, folder: Path, line: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command line in a folder, with the environment activated."""
    return subprocess.run(
        line, shell=True, cwd=folder, env=activated(environment) | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )  # fmt: skip


def activated(environment: Path) -> dict[str, str]:
    keep = {
        name: os.environ[name]
        for name in ("HOME", "LANG", "TMPDIR")
        if name in os.environ
    }
    return keep | {
        "PATH": f"{environment / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": str(environment),
    }


@pytest.fixture
def written(workspace) -> Iterator[Path]:
    """The workspace while its 16 is written."""
    code = workspace / "katas" / SIXTEEN.file
    stub = code.read_bytes()
    shutil.copy(SIXTEEN.reference, code)
    yield workspace
    code.write_bytes(stub)


def visible(workspace: Path) -> list[Path]:
    """The files that a learner sees."""
    hidden = (workspace / ".kata", workspace / ".git")
    return [
        path
        for path in workspace.rglob("*")
        if path.is_file() and not any(map(path.is_relative_to, hidden))
    ]


def test_the_wheel_holds_the_package_and_the_course(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {
        "grader",
        f"torch_katas-{VERSION}.data",
        f"torch_katas-{VERSION}.dist-info",
    }
    assert [name for name in names if ".data/" in name] == [
        f"torch_katas-{VERSION}.data/data/{places.ARCHIVE}"
    ]
    assert "grader/constraints.txt" in names and "grader/setup.mk" in names
    assert wheel.stat().st_size < MOST_BYTES


def test_the_archive_holds_what_learners_open_and_what_their_commands_read(environment):
    names = zipfile.ZipFile(environment / places.ARCHIVE).namelist()
    assert {name.partition("/")[0] for name in names if "/" in name} == {
        ".devcontainer",
        ".vscode",
        "katas",
        "solutions",
    }
    assert (
        f"katas/{SIXTEEN.name}/figure.png" in names
        and f"solutions/{SIXTEEN.name}/author/textbook.py" in names
    )
    assert not [
        name for name in names if "__pycache__" in name or name.endswith(".diagram")
    ]


@pytest.mark.parametrize("line", ["kata list", "kata lesson 00"])
def test_without_a_room_one_line_says_how_to_get_one(environment, tmp_path, line):
    done = run(environment, tmp_path, line)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "kata: there are no katas here: kata start my-katas lays them out, then "
        "cd my-katas\n"
    )
    assert not list(tmp_path.iterdir())


def test_pytest_elsewhere_is_as_without_the_course(environment, tmp_path):
    (tmp_path / "test_mine.py").write_text("def test_mine():\n    pass\n")
    done = run(environment, tmp_path, "pytest -q")
    assert done.returncode == 0 and done.stdout.startswith("."), (
        done.stdout + done.stderr
    )


def test_a_workspace_has_nothing_of_the_author_in_sight(workspace):
    names = {path.name for path in workspace.iterdir()}
    known = {
        "katas",
        "data",
        "README.md",
        "conftest.py",
        "pytest.ini",
        ".vscode",
        ".gitignore",
        ".git",
        ".kata",
    }
    assert names == known | {places.MARK}
    assert {path.name for path in visible(workspace)} & {
        "textbook.py",
        "mistakes.py",
        "probes.py",
        "sealed.toml",
    } == set()
    seen = b"".join(path.read_bytes() for path in visible(workspace))
    public = b"".join(
        path.read_bytes()
        for path in (ROOT / "katas").rglob("*.*")
        if path.suffix in (".py", ".md")
    )
    # papers' notebooks have the textbook's answers
    public += public.replace(b"kata.", b"")
    for kata in (SIXTEEN, find("papers/01")):
        own = {
            line.strip()
            for line in kata.textbook.read_bytes().splitlines()
            if len(line.strip()) >= 40
        }
        secret = {line for line in own if line not in public}
        assert len(secret) >= 5 and not {line for line in secret if line in seen}


def test_what_is_the_courses_is_as_in_the_course(workspace):
    for kata in (FIRST, SIXTEEN, find("tinytorch/02")):
        there = Kata(workspace, kata.name)
        for path in (there.code, there.specs, there.folder / "figure.png"):
            assert (
                path.read_bytes() == (ROOT / path.relative_to(workspace)).read_bytes()
            )
    own = json.loads((workspace / ".vscode/settings.json").read_text())
    assert Path(own["python.defaultInterpreterPath"]).is_file()


def test_it_is_a_repository_of_the_learners_files(workspace):
    done = subprocess.run(
        ["git", "ls-files"], cwd=workspace, capture_output=True, text=True, check=True
    )
    kept = done.stdout.splitlines()
    assert SIXTEEN.code.relative_to(ROOT).as_posix() in kept and not any(
        name.startswith(".kata/") for name in kept
    )


def test_a_folder_with_something_in_it_is_refused(environment, workspace):
    before = (workspace / "README.md").read_bytes()
    done = run(environment, workspace.parent, "kata start my-katas")
    assert done.returncode == 2 and done.stderr.endswith(
        "my-katas is not empty: kata start lays out a new folder\n"
    )
    assert (workspace / "README.md").read_bytes() == before


def test_pytest_fails_on_the_stub_and_passes_on_right_code(environment, workspace):
    done = run(environment, workspace, "pytest katas/16")
    assert (
        done.returncode == 1
        and "split_heads                  not written yet" in done.stdout
    ), done.stdout
    shutil.copy(SIXTEEN.textbook, workspace / "katas" / SIXTEEN.file)
    done = run(environment, workspace / "katas", "pytest 16 -q")
    assert (
        done.returncode == 0 and "split_heads                  works ★" in done.stdout
    ), done.stdout
    done = run(environment, workspace, "kata next")
    assert done.returncode == 0 and done.stdout.startswith("17 "), (
        done.stdout + done.stderr
    )
    run(environment, workspace, "kata reset 16")
    assert (
        workspace / "katas" / SIXTEEN.file
    ).read_bytes() == SIXTEEN.code.read_bytes()


def test_a_later_kata_builds_on_the_packed_reference(environment, workspace):
    later = find("17")
    code = workspace / "katas" / later.file
    stub = code.read_bytes()
    shutil.copy(later.reference, code)
    done = run(environment, workspace, "pytest katas/17 -q")
    code.write_bytes(stub)
    assert (
        done.returncode == 0
        and "16_multi_head_attention: the reference stands in" in done.stdout
    ), done.stdout


def test_points_are_sealed(environment, written):
    """By what the archive says: which specs ask from another process, and
    the probes.
    """
    done = run(environment, written, "kata grade 16 --sealed --fail-under 100")
    assert done.returncode == 0 and "works · sealed" in done.stdout, (
        done.stdout + done.stderr
    )


def test_code_under_test_reads_neither_archive_nor_references(environment, workspace):
    """Where the system has Landlock; elsewhere the report says what is reduced."""
    code = workspace / "katas" / FIRST.file
    stub = code.read_bytes()
    open_to_it = [
        str(environment / places.ARCHIVE),
        str(workspace / places.REFERENCES / FIRST.file),
    ]
    assert all(map(os.path.isfile, open_to_it)), (
        "a later kata has had the references unpacked"
    )
    code.write_text(FIRST.reference.read_text() + READS.format(places=open_to_it))
    done = run(environment, workspace, "kata grade 01 --report json=report.json")
    code.write_bytes(stub)
    (workspace / "report.json").unlink()
    said = "was left out" in done.stdout
    assert done.returncode == 0 and said == bool(sandbox.gaps()), (
        done.stdout + done.stderr
    )


def test_solutions_and_hints_are_at_hand(environment, written):
    done = run(environment, written, "kata solution 16 split_heads --now --full")
    assert (
        done.returncode == 0 and "your code is the same as solutions/16" in done.stdout
    ), done.stdout + done.stderr
    assert "hint 1 of" in run(environment, written, "kata hint 16 split_heads").stdout
    assert "line" in run(environment, written, "kata debug 16 merge_heads").stdout


def test_the_workspaces_tinytorch_comes_before_any_other(environment, workspace):
    two = find("tinytorch/02")
    code = workspace / "katas" / two.file
    stub = code.read_bytes()
    shutil.copy(two.reference, code)
    tests = run(environment, workspace, "pytest katas/tinytorch/02 -q")
    lesson = run(
        environment,
        workspace.parent,
        f"python {workspace}/katas/tinytorch/02_tensor/lesson.py",
    )
    line = (
        "python -c 'import tinytorch.tensor as here; print(here.Tensor.__module__, "
        "here.__file__)'"
    )
    program = run(environment, workspace, line, PYTHONPATH="katas")
    code.write_bytes(stub)
    assert tests.returncode == 0, tests.stdout
    assert (
        lesson.returncode == 0 and "tinytorch/02_tensor: your own code" in lesson.stdout
    ), lesson.stdout + lesson.stderr
    assert program.stdout.endswith(f" {code}\n"), program.stdout + program.stderr


def test_watch_shows_the_first_exercise(environment, workspace):
    with subprocess.Popen(
        ["kata", "watch", "16"], cwd=workspace, env=activated(environment),
        stdout=subprocess.PIPE, text=True
    ) as watching:  # fmt: skip
        said = ""
        for line in watching.stdout or ():
            said += line
            if "split_heads" in line:
                watching.send_signal(signal.SIGINT)
                break
        watching.communicate()
    assert "split_heads" in said


def test_exports_are_of_the_course_and_not_of_what_was_written(
    environment, written, tmp_path
):
    done = run(
        environment,
        written,
        f"kata export starter {tmp_path}/starter --no-workflow --katas 16",
    )
    assert done.returncode == 0, done.stderr
    starter = tmp_path / "starter"
    assert (starter / "katas" / SIXTEEN.file).read_bytes() == SIXTEEN.code.read_bytes()
    assert (starter / "grader/setup.mk").is_file() and (
        starter / "grader/constraints.txt"
    ).is_file()
    assert not (starter / "solutions").exists() and not list(
        starter.rglob("course.zip")
    )
    done = run(
        environment, written, f"kata export teacher {tmp_path}/teacher --katas 16"
    )
    assert done.returncode == 0, done.stderr
    assert (
        tmp_path / "teacher/solutions" / SIXTEEN.file
    ).read_bytes() == SIXTEEN.reference.read_bytes()


def test_what_only_a_checkout_has_is_said_in_a_line(environment, workspace):
    for line in ("kata promises 16", "kata generate", "kata update somewhere"):
        done = run(environment, workspace, line)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, (
            line + done.stderr
        )


def test_the_machine_is_looked_at(environment, workspace):
    done = run(environment, workspace, "kata doctor")
    assert (
        f"{len(all_katas())}, with the references of the installed release"
        in done.stdout
        and "make" not in done.stdout
    ), done.stdout


def test_an_environment_that_cannot_be_made_leaves_nothing(environment, tmp_path):
    done = run(
        environment,
        tmp_path,
        "kata start my-katas --venv",
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS="",
    )
    assert done.returncode == 2 and "uv cannot be installed" in done.stderr, (
        done.stdout + done.stderr
    )
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_the_installed_package_can_be_packed_as_the_wheel_again(
    environment, wheel, tmp_path
):
    line = (
        'python -c "from grader.learner import environment as e; import pathlib; '
        'e.wheel(pathlib.Path())"'
    )
    done = run(environment, tmp_path, line)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(tmp_path / wheel.name) as other:
        names = [name for name in one.namelist() if not name.endswith("/RECORD")]
        assert sorted(other.namelist()) == sorted(one.namelist())
        assert all(one.read(name) == other.read(name) for name in names)


def test_a_newer_release_keeps_what_was_written(environment, workspace, checkout):
    """Last, because it installs another release."""
    newer(checkout)
    before = {path: path.read_bytes() for path in visible(workspace)}
    mine = workspace / "katas" / FIRST.file
    mine.write_text(FIRST.reference.read_text() + "# mine\n")
    install(wheel_of(checkout, checkout.parent / "newer"), environment)
    assert (
        "of another version than the installed release: kata update"
        in run(environment, workspace, "kata doctor").stdout
    )
    done = run(environment, workspace, "kata update")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert (
        said[:2] == ["## 99.0.0", "- Something newer."]
        and "specs have changed: 01_tensors" in said
    ), said
    assert (
        f"katas/{FIRST.file.with_suffix('.new.py')} is the new stub; "
        f"katas/{FIRST.file} is yours, unchanged"
    ) in said
    assert mine.read_text().endswith("# mine\n")
    after = {path: path.read_bytes() for path in visible(workspace)}
    changed = {
        path.relative_to(workspace).as_posix()
        for path in after
        if after[path] != before.get(path)
    }
    specs = FIRST.specs.relative_to(ROOT).as_posix()
    assert changed == {
        f"katas/{FIRST.file}",
        f"katas/{FIRST.file.with_suffix('.new.py')}",
        specs,
        places.MARK,
    }
    assert "Something newer" in (workspace / places.REFERENCES / FIRST.file).read_text()
    again = run(environment, workspace, "kata update").stdout
    assert again.startswith(
        "this is the newest course already: that of the installed release"
    ), again
    run(environment, workspace, "kata update --back")
    assert (
        workspace / specs
    ).read_bytes() == FIRST.specs.read_bytes() and mine.read_text().endswith("# mine\n")


def newer(checkout: Path) -> None:
    """Make the checkout's version 99.0.0, with other specs, another reference and so
    another stub of 01.
    """
    one = Kata(checkout, FIRST.name)
    one.reference.write_text(
        one.reference.read_text().replace('"""', '"""Something newer. ', 1)
    )
    one.code.write_text(stubs.stub_of(one) or "")
    one.specs.write_text(one.specs.read_text() + "\nNEWER = True\n")
    for name, was, now in [
        ("pyproject.toml", f'version = "{VERSION}"', 'version = "99.0.0"'),
        ("CHANGELOG.md", "\n## ", "\n## 99.0.0\n- Something newer.\n\n## "),
    ]:
        text = (checkout / name).read_text()
        assert was in text
        (checkout / name).write_text(text.replace(was, now, 1))


class TestInterrupted:
    """`kata start` in this process, with a small course."""

    @pytest.fixture(autouse=True)
    def a_small_course(self, monkeypatch):
        small = {Path("katas/a.py"): b"", Path(places.MARK): b""}
        monkeypatch.setattr(workspaces, "of_the_course", lambda course: small)

    @pytest.mark.parametrize("exists", [False, True])
    def test_nothing_half_made_is_left(self, monkeypatch, tmp_path, exists):
        folder = tmp_path / "my-katas"
        if exists:
            folder.mkdir()
        renamed = Path.rename

        def interrupted(path: Path, target: Path) -> Path:
            if path.name in ("my-katas", places.MARK):
                raise KeyboardInterrupt
            return renamed(path, target)

        monkeypatch.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            workspaces.start(folder, None, print)
        assert [path.name for path in tmp_path.rglob("*")] == (
            ["my-katas"] if exists else []
        )

    def test_an_empty_folder_is_filled(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        workspaces.start(Path("."), None, print)
        assert places.is_workspace(tmp_path) and (tmp_path / "katas/a.py").is_file()

    def test_the_katas_are_the_first_commit(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
        said = workspaces.start(tmp_path / "workspace", None, print)
        assert said[1] == "it is a git repository, and the katas are its first commit"
        git = ["git", "-C", str(tmp_path / "workspace")]
        kept = subprocess.run(
            [*git, "ls-files"], capture_output=True, text=True
        ).stdout.split()
        assert "katas/a.py" in kept and places.MARK in kept
        assert (
            subprocess.run([*git, "status", "--short"], capture_output=True).stdout
            == b""
        )

    def test_no_repository_inside_another_one_or_without_git(
        self, tmp_path, monkeypatch
    ):
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        workspaces.start(tmp_path / "inner", None, print)
        assert not (tmp_path / "inner/.git").exists()
        monkeypatch.setenv("PATH", str(tmp_path))
        workspaces.start(tmp_path / "other", None, print)
        assert places.is_workspace(tmp_path / "other")


def test_another_checkout_is_found_from_inside_of_it_and_its_grader_does_not_run(
    tmp_path,
):
    """Its katas are taken, and each screen that grades says so."""
    shutil.copytree(SOUND, tmp_path / "other")
    (tmp_path / "other/grader/course").mkdir(parents=True)
    (tmp_path / "other/grader/__init__.py").write_text(
        "raise SystemExit('the grader of another checkout')"
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "other")
    shutil.copy(SOUND / "solutions/01_sums/sums.py", tmp_path / "other/katas/01_sums")
    done = subprocess.run(
        [KATA, "grade", "01"], cwd=tmp_path / "other", capture_output=True, text=True
    )
    assert "3 of 3 points" in done.stdout, done
    assert done.stderr == f"katas in {tmp_path / 'other'} by the grader in {ROOT}\n"
    done = subprocess.run([KATA, "list"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == f"katas in {ROOT}\n"


def test_a_room_is_found_from_inside_of_it_and_by_its_own_programs(
    tmp_path, monkeypatch
):
    inner = tmp_path / "my-katas/katas/16"
    inner.mkdir(parents=True)
    (tmp_path / "my-katas" / places.MARK).touch()
    assert places.root() == ROOT
    monkeypatch.chdir(inner)
    assert places.root() == tmp_path / "my-katas"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys.modules["__main__"],
        "__file__",
        str(tmp_path / "my-katas/.venv/bin/kata"),
        raising=False,
    )
    assert places.root() == tmp_path / "my-katas"
