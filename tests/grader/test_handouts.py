"""What leaves the course is named: no way of handing it out carries a line of the
author's files along.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from grader.course import handouts
from grader.course.catalogue import ROOT, Kata, find
from grader.errors import NotPossible
from grader.learner import history
from grader.learner.update import update
from grader.teaching import export
from grader.teaching.rules import Rules

QUERIES = ("05", "16", "papers/01")  # the first with a probe, the last with a notebook
KATAS = [find(query) for query in QUERIES]


def text_of(path: Path) -> str:
    """The file's text; of a notebook, that of its cells."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix != ".ipynb":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


def lines_of(paths) -> set[str]:
    """The lines that are long enough to be somebody's own."""
    texts = [text_of(path) for path in paths if path.is_file()]
    return {
        line.strip()
        for text in texts
        for line in text.splitlines()
        if len(line.strip()) >= 30
    }


@pytest.fixture(scope="module")
def secrets() -> dict[str, set[str]]:
    """The lines of the author's files by name, without those elsewhere; papers'
    notebooks have the textbook's.
    """
    pages = [path for path in (ROOT / "katas").rglob("*.*") if path.suffix != ".ipynb"]
    public = lines_of([*(ROOT / "grader").rglob("*.*"), *pages])
    public |= lines_of(kata.reference for kata in KATAS)
    found: dict[str, set[str]] = {}
    for kata in KATAS:
        for path in kata.author.rglob("*.*"):
            name = path.name if path.parent == kata.author else "accepted"
            found[name] = found.get(name, set()) | lines_of([path]) - public
    names = {"textbook.py", "mistakes.py", "accepted", "probes.py", "sealed.toml"}
    assert found.keys() == names and all(found.values())
    return found


def leaked(folder: Path, secrets: dict[str, set[str]]) -> set[str]:
    """The author's files of which lines are in this folder."""
    lines = lines_of(path for path in folder.rglob("*") if path.suffix != ".pyc")
    return {name for name, own in secrets.items() if own & lines}


@pytest.fixture
def checkout(tmp_path) -> Path:
    """The three katas and their references, with what else a wheel has, as in
    a clone.
    """
    for name in (*handouts.SHARED, *handouts.EDITORS, "README.md", "CHANGELOG.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (tmp_path / "clone").mkdir(exist_ok=True)
        copy(ROOT / name, tmp_path / "clone" / name)
    for kata in KATAS:
        shutil.copytree(kata.folder, tmp_path / "clone/katas" / kata.name)
        shutil.copytree(kata.reference.parent, tmp_path / "clone/solutions" / kata.name)
    return tmp_path / "clone"


def test_a_starter_has_none_of_them(tmp_path, secrets):
    export.starter(tmp_path / "starter", KATAS, None, Rules())
    assert (
        leaked(tmp_path / "starter", secrets) == set()
        and not (tmp_path / "starter/solutions").exists()
    )


def test_a_copy_that_grades_has_what_the_second_lock_asks(tmp_path, secrets):
    export.teacher(tmp_path / "course", KATAS, Rules())
    assert leaked(tmp_path / "course", secrets) == {"probes.py", "sealed.toml"}


def test_a_public_bundle_has_the_probes_of_what_is_released(tmp_path, secrets):
    export.bundle(tmp_path / "bundle", KATAS, [], Rules())
    assert leaked(tmp_path / "bundle", secrets) == {"sealed.toml"}
    export.bundle(tmp_path / "bundle", KATAS, [find("05")], Rules())
    assert leaked(tmp_path / "bundle", secrets) == {"probes.py", "sealed.toml"}


def test_swapping_the_reference_in_and_out(checkout, secrets):
    """By its files, or with the whole folder: specs, stub and grading are those
    of before.
    """
    kata = Kata(checkout, find("16").name)
    before = {path.name for path in kata.folder.iterdir()}
    subprocess.run(
        "cp solutions/16*/*.py katas/16*/", shell=True, cwd=checkout, check=True
    )
    assert {path.name for path in kata.folder.iterdir()} == before
    assert (
        kata.code.read_bytes() == kata.reference.read_bytes()
        and leaked(kata.folder, secrets) == set()
    )
    history.reset(kata)
    assert (
        kata.code.read_bytes() == find("16").code.read_bytes()
        and leaked(kata.folder, secrets) == set()
    )
    subprocess.run("cp -r solutions/16* katas/", shell=True, cwd=checkout, check=True)
    assert (
        kata.spec_files == [kata.specs]
        and kata.code.read_bytes() == kata.reference.read_bytes()
    )
    assert kata.author.name not in {
        path.parent.name for path in handouts.of_the_learner(kata)
    }


def test_what_the_author_has_written_into_a_stub_is_not_handed_out(checkout, tmp_path):
    """Whoever teaches also learns here: a starter and a wheel have the stub that the
    reference makes.
    """
    kata = Kata(checkout, find("16").name)
    shutil.copy(kata.reference, kata.code)
    export.starter(tmp_path / "starter", [kata], None, Rules())
    stub = find("16").code.read_bytes()
    assert (
        (tmp_path / "starter/katas" / kata.file).read_bytes()
        == stub
        == handouts.packed(checkout)[kata.code]
    )


def test_a_given_file_that_is_changed_in_a_clone_is_named_and_refused(checkout):
    kata = Kata(checkout, find("16").name)
    files = handouts.given(checkout, [kata])
    git = ["git", "-C", checkout, "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["commit", "-q", "-m", "The course"],
    ):
        subprocess.run([*git, *command], check=True)
    shutil.copy(kata.reference, kata.code)
    handouts.refuse_changed(checkout, files)
    kata.specs.write_text("")
    other = find("05").specs
    (checkout / "katas" / other.parent.name / other.name).write_text("")
    with pytest.raises(NotPossible) as refused:
        handouts.refuse_changed(checkout, files)
    named = kata.specs.relative_to(checkout).as_posix()
    assert (
        str(refused.value)
        == f"{named}: changed since the last commit; commit it, or git restore it"
    )


@pytest.mark.parametrize(
    ("has", "gets"), [((), set()), (("solutions",), {"probes.py", "sealed.toml"})]
)
def test_an_update_brings_what_the_checkout_may_have(tmp_path, secrets, has, gets):
    """A starter gets no reference, and a copy that grades gets no mistakes."""
    for name in ("katas", "grader", *has):
        (tmp_path / "here" / name).mkdir(parents=True)
    newer = tmp_path / "newer"
    shutil.copytree(
        ROOT / "grader", newer / "grader", ignore=shutil.ignore_patterns("__pycache__")
    )
    for kata in KATAS:
        for tree in ("katas", "solutions"):
            shutil.copytree(ROOT / tree / kata.name, newer / tree / kata.name)
    (newer / "tests").mkdir()
    (newer / "tests/test_course.py").write_text("")
    update(tmp_path / "here", str(newer))
    assert leaked(tmp_path / "here", secrets) == gets
    assert (tmp_path / "here/solutions" / find("16").file).exists() == bool(has)
    assert (tmp_path / "here/katas" / find("16").file).exists() and not (
        tmp_path / "here/tests"
    ).exists()
