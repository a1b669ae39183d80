"""`kata update`: a newer course over a checkout with work in it, and the way back."""

import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from unittest.mock import Mock

import pytest

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.errors import NotPossible
from grader.learner.update import go_back, update
from tests.conftest import SOUND

SUMS, REUSE = "01_sums/sums.py", "02_reuse/reuse.py"


def course(folder: Path) -> Path:
    """A small course with its grader and its changelog."""
    shutil.copytree(SOUND, folder)
    (folder / "grader").mkdir()
    (folder / "grader" / "old.py").write_text("old")
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## 1 (2026-11-29)\n- first\n")
    return folder


@pytest.fixture
def here(tmp_path) -> Path:
    """A checkout in which 01 has been begun."""
    root = course(tmp_path / "here")
    (root / "katas" / SUMS).write_text(
        (root / "solutions" / SUMS).read_text() + "\n# mine\n"
    )
    return root


@pytest.fixture
def newer(tmp_path) -> Path:
    """The course with another module of the grader, other specs, a picture, and another
    exercise in both katas.
    """
    root = course(tmp_path / "newer")
    (root / "grader" / "old.py").rename(root / "grader" / "new.py")
    (root / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 2\n- second\n\n## 1 (2026-11-29)\n- reworded\n"
    )
    (root / "katas/01_sums/line.svg").write_text("<svg/>")
    for name in ("01_sums", "02_reuse"):
        kata = Kata(root, name)
        more = '\n\ndef more(x):\n    """More."""\n    return x\n'
        kata.reference.write_text(kata.reference.read_text() + more)
        kata.specs.write_text(kata.specs.read_text() + "\nNEWER = True\n")
        text = (kata.folder / "kata.toml").read_text()
        (kata.folder / "kata.toml").write_text(
            text.replace(
                "exercises = [", 'exercises = [\n{ name = "more", asks = "" },', 1
            )
        )
        kata.code.write_text(stubs.stub_of(Kata(root, name)))
    return root


def everything(root: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and ".kata" not in p.parts
    }


def test_work_is_kept_and_all_else_is_new(here, newer):
    mine = (here / "katas" / SUMS).read_text()
    told = update(here, str(newer))
    found, wanted = everything(here), everything(newer)
    assert found.pop(f"katas/{SUMS}").decode() == mine
    assert found.pop(f"katas/{SUMS}".replace(".py", ".new.py")) == wanted.pop(
        f"katas/{SUMS}"
    )
    assert found == wanted, "and grader/old.py is gone"
    assert "katas/01_sums/line.svg" in found, "pictures come along"
    assert (
        told[0] == "## 2"
        and told[1] == "- second"
        and not {"## 1 (2026-11-29)", "- reworded"} & {*told}
    )
    assert any(
        line.startswith("specs have changed: 01_sums, 02_reuse") for line in told
    )
    assert (
        any("sums.new.py is the new stub" in line for line in told)
        and "kata update --back" in told[-1]
    )


def test_a_comment_is_kept(here, newer):
    mine = here / "katas" / REUSE
    mine.write_text(f"{mine.read_text()}# ask about this\n")
    told = update(here, str(newer))
    assert mine.read_text().endswith("# ask about this\n") and any(
        "reuse.new.py is the new stub" in one for one in told
    )
    go_back(here)
    assert (
        mine.read_text().endswith("# ask about this\n")
        and not mine.with_suffix(".new.py").exists()
    )


def test_another_layout_is_nothing_new(here, tmp_path):
    """A file that has been begun gets no new stub beside it. No spec has changed."""
    newer = course(tmp_path / "newer")
    sums = Kata(newer, "01_sums")
    text = sums.reference.read_text()
    assert text.startswith('"""')
    sums.reference.write_text(text.replace(" ", "\n", 1))
    sums.code.write_text(stubs.stub_of(sums))
    sums.specs.write_text(f"{sums.specs.read_text()}\n# a comment\n")
    told = update(here, str(newer))
    assert not list(here.glob("katas/**/*.new.py"))
    assert not [line for line in told if "stub" in line or "specs" in line]


def test_the_way_back_keeps_what_was_written_since(here, newer):
    before = everything(here)
    update(here, str(newer))
    (here / "katas" / SUMS).write_text(before[f"katas/{SUMS}"].decode() + "# since\n")
    go_back(here)
    after = everything(here)
    assert after.pop(f"katas/{SUMS}").endswith(b"# since\n")
    assert after == {
        name: content for name, content in before.items() if name != f"katas/{SUMS}"
    }
    with pytest.raises(NotPossible, match="nothing to go back to"):
        go_back(here)


def test_the_way_back_is_from_the_last_update_whatever_the_clock_says(
    here, newer, monkeypatch
):
    update(here, str(newer))
    between = everything(here)
    monkeypatch.setattr(
        "grader.learner.update.datetime", Mock(now=lambda: datetime(2001, 1, 1))
    )
    (newer / "CHANGELOG.md").write_text("## 3\n")
    update(here, str(newer))
    assert "newest course already" in update(here, str(newer))[0]
    go_back(here)
    assert everything(here) == between


def test_the_newest_course_changes_nothing(here, newer):
    update(here, str(newer))
    before = everything(here)
    assert update(here, str(newer)) == ["this is the newest course already"]
    assert everything(here) == before


def test_it_is_fetched_from_a_repository(here, newer):
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", "-C", newer, *command], check=True)
    update(here, f"file://{newer}")
    assert (here / "grader" / "new.py").exists()


def test_what_is_no_course_is_said(here, tmp_path):
    with pytest.raises(NotPossible, match="cannot be fetched"):
        update(here, str(tmp_path / "nowhere"))
    with pytest.raises(NotPossible, match="is this checkout itself"):
        update(here, str(here))
    (tmp_path / "empty" / "grader").mkdir(parents=True)
    with pytest.raises(NotPossible, match="holds no katas"):
        update(here, str(tmp_path / "empty"))


def test_what_says_that_it_was_replaced_leads_out_of_no_folder(here, tmp_path):
    """Somebody who hands in a folder may have written what its update has kept."""
    kept = here / ".kata/updates/0001_x"
    kept.mkdir(parents=True)
    (tmp_path / "outside").write_text("mine")
    (kept / "replaced.json").write_text(
        json.dumps({"../outside": False, str(tmp_path / "outside"): False})
    )
    go_back(here)
    assert (tmp_path / "outside").read_text() == "mine"


def test_an_interrupted_update_can_be_undone(here, newer, monkeypatch):
    before = everything(here)
    written = []

    def full(path, content):
        if path.name == "replaced.json" or len(written) < 3:
            written.append(path)
            return path.parent.mkdir(parents=True, exist_ok=True) or path.write_bytes(
                content if isinstance(content, bytes) else content.encode()
            )
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("grader.learner.update.files.write", full)
        with pytest.raises(OSError, match="No space"):
            update(here, str(newer))
    go_back(here)
    assert everything(here) == before
