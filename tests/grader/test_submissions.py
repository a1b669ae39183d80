"""A class: what counts as a submission, no student's failure another's, nothing run twice, interruption."""

import csv
import json
import os
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import nbformat
import pytest

from grader.course import notebooks
from grader.course.catalogue import ROOT, find
from grader.errors import NoSubmissions
from grader.execution.jobs import SourceText
from grader.execution.result_cache import ResultCache
from grader.protocol import RunOptions
from grader.teaching import class_grading, submissions
from tests.conftest import KATA, SOUND
from tests.grader.test_progress import RIGHT, STUB, runs  # noqa: F401  (a fixture)

pytestmark = pytest.mark.usefixtures("warm_workers")

REUSE = (SOUND / "solutions/02_reuse/reuse.py").read_text()


@pytest.fixture
def hand_in(tmp_path):
    """A function that writes a file of a student's submission."""

    def write(path: str, text: str | bytes) -> Path:
        file = tmp_path / "class" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "class"

    return write


def pack(path: Path, files: dict[str, str | bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def graded(folder: Path, katas, cache: ResultCache) -> dict[str, dict[str, int]]:
    points: dict[str, dict[str, int]] = {}
    options = RunOptions(spec_seconds=1.0)
    for student, result in class_grading.grade_class(submissions.collect(folder), katas, cache=cache, options=options):
        points.setdefault(student, {})[result.kata] = result.points
    return points


class TestCollect:
    def test_folders_and_archives_and_nothing_else(self, hand_in, tmp_path):
        hand_in("bob/01_sums/sums.py", RIGHT), hand_in(".git/config", ""), hand_in("notes.txt", "")
        pack(tmp_path / "class/alice.zip", {"sums.py": RIGHT})
        pack(tmp_path / "class/bob.zip", {"sums.py": RIGHT})
        assert [s.student for s in submissions.collect(tmp_path / "class")] == ["alice", "bob", "bob.zip"]

    def test_none_is_said(self, hand_in):
        with pytest.raises(NoSubmissions, match="holds no submissions"):
            submissions.collect(hand_in("notes.txt", ""))

    @pytest.mark.parametrize(
        "path", ["01_sums/sums.py", "katas/01_sums/sums.py", "course-main/katas/01_sums/sums.py", "sums.py"]
    )
    @pytest.mark.parametrize("packed", [False, True])
    def test_the_katas_file_is_found_where_people_put_it(self, hand_in, tmp_path, sound, path, packed):
        if packed:
            pack(tmp_path / "class/alice.zip", {path: RIGHT, "__MACOSX/01_sums/._sums.py": "junk"})
        else:
            hand_in(f"alice/{path}", RIGHT)
        [alice] = submissions.collect(tmp_path / "class")
        assert submissions.sources(alice, sound[:1]) == {sound[0]: SourceText(RIGHT)}

    def test_what_was_not_handed_in_is_said(self, hand_in, sound):
        [alice] = submissions.collect(hand_in("alice/readme.txt", ""))
        assert submissions.sources(alice, sound[:1])[sound[0]] == SourceText("", "sums.py: not handed in")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"not a zip", "alice.zip: is not a zip archive"),
            (b"PK\x05\x06" + b"\x00" * 18, "sums.py: not handed in"),
        ],
    )
    def test_a_broken_archive(self, hand_in, sound, content, said):
        [alice] = submissions.collect(hand_in("alice.zip", content))
        assert said in submissions.sources(alice, sound[:1])[sound[0]].problem

    def test_a_notebook_is_the_submission_of_its_kata(self, tmp_path):
        one, two = find("01"), find("02")
        (tmp_path / "class").mkdir()
        nbformat.write(notebooks.build(one, one.reference.read_text()), tmp_path / "class/alice.ipynb")
        (tmp_path / "class/bob.ipynb").write_text("{")
        alice, bob = submissions.collect(tmp_path / "class")
        assert submissions.sources(alice, [one, two]) == {
            one: SourceText(one.reference.read_text()),
            two: SourceText("", f"{two.file.name}: not handed in"),
        }
        assert "bob.ipynb: line 1" in submissions.sources(bob, [one])[one].problem

    def test_an_archive_that_unpacks_to_too_much(self, tmp_path, sound):
        pack(tmp_path / "class/alice.zip", {"01_sums/sums.py": b"#" * 300_000_000})
        [alice] = submissions.collect(tmp_path / "class")
        source = submissions.sources(alice, sound[:1])[sound[0]]
        assert source.text == "" and "the limit is 1 MB" in source.problem

    @pytest.mark.parametrize("link", ["katas", "01_sums", "01_sums/sums.py"])
    def test_no_link_leads_to_somebody_elses_work(self, hand_in, tmp_path, sound, link):
        hand_in("bob/katas/01_sums/sums.py", RIGHT)
        target = {"katas": "bob/katas", "01_sums": "bob/katas/01_sums", "01_sums/sums.py": "bob/katas/01_sums/sums.py"}[
            link
        ]
        place = hand_in("alice/notes.txt", "") / "alice" / link
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(tmp_path / "class" / target)
        alice, _ = submissions.collect(tmp_path / "class")
        assert "symbolic link" in submissions.sources(alice, sound[:1])[sound[0]].problem


class TestGrade:
    def test_one_students_failure_is_never_anothers(self, hand_in, tmp_path, sound):
        hand_in("alice/01_sums/sums.py", RIGHT), hand_in("alice/02_reuse/reuse.py", REUSE)
        hand_in("bob/01_sums/sums.py", "import os\nos._exit(0)\n"), hand_in("bob/02_reuse/reuse.py", REUSE)
        hand_in("carol/01_sums/sums.py", STUB)
        hand_in("dave.zip", b"junk")
        looping = RIGHT + "\n\ndef double(x):\n    while True:\n        pass\n"
        hand_in("eve/01_sums/sums.py", looping)
        points = graded(tmp_path / "class", sound, ResultCache(tmp_path))
        assert points == {
            "alice": {"01_sums": 3, "02_reuse": 1},
            "bob": {"01_sums": 0, "02_reuse": 1},
            "carol": {"01_sums": 0, "02_reuse": 0},
            "dave": {"01_sums": 0, "02_reuse": 0},
            "eve": {"01_sums": 2, "02_reuse": 0},  # total, and the layer with the reference's double
        }

    def test_the_same_code_is_run_once(self, hand_in, tmp_path, sound, runs):  # noqa: F811
        for student in ("alice", "bob", "carol"):
            hand_in(f"{student}/01_sums/sums.py", RIGHT)
        hand_in("dave/01_sums/sums.py", STUB)
        first = graded(tmp_path / "class", sound[:1], ResultCache(tmp_path))
        assert len(runs) == 2 and len(first) == 4
        assert graded(tmp_path / "class", sound[:1], ResultCache(tmp_path)) == first
        assert len(runs) == 2


class TestTheCommand:
    @pytest.fixture
    def course(self, tmp_path) -> Path:
        """Twelve students: right, untouched, and different in every one's first line."""
        kata = find("01")
        for number in range(12):
            text = (kata.reference if number % 3 else kata.folder / kata.file.name).read_text()
            path = tmp_path / "class" / f"student{number:02}" / kata.file
            path.parent.mkdir(parents=True)
            path.write_text(text + f"\n# {tmp_path} {number if number % 3 else 0}\n")
        return tmp_path / "class"

    def test_reports_of_a_class(self, course, tmp_path, kata_here):
        done = kata_here(
            "grade",
            "01",
            "--submissions",
            course,
            "--report",
            f"html={tmp_path}/c.html",
            "--report",
            f"csv={tmp_path}/c.csv",
            "--report",
            f"json={tmp_path}/c.json",
            "--results",
            f"{tmp_path}/r.jsonl",
            "--feedback",
            f"{tmp_path}/pages",
        )
        assert done.returncode == 0, done.stderr
        exercises = len(find("01").exercises)
        assert f"student00: 0 of {exercises} points · 0 of {exercises} stars · sealed\n" in done.stdout
        assert f"student01: {exercises} of {exercises} points" in done.stdout
        rows = list(csv.DictReader(open(tmp_path / "c.csv")))
        assert [row["points"] for row in rows] == ["0", str(exercises), str(exercises)] * 4
        assert json.loads((tmp_path / "c.json").read_text())["complete"] is True
        assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 12
        assert len(list((tmp_path / "pages").glob("*.html"))) == 12
        assert "12 students" in (tmp_path / "c.html").read_text()

    def test_interrupted_and_gone_on_with(self, course, tmp_path, kata_here):
        results, last = tmp_path / "r.jsonl", course / "student11" / find("01").file
        right = last.read_text()
        last.write_text("import time\ntime.sleep(600)\n")  # the interrupt comes before the end
        command = [KATA, "grade", "01", "--submissions", course, "--jobs", "1", "--results", results]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (results.exists() and results.read_text().count("\n") >= 2):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 130 and "run the same command again to continue" in said
        last.write_text(right)
        done = kata_here("grade", "01", "--submissions", course, "--results", results)
        assert done.returncode == 0 and results.read_text().count("\n") == 12

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--submissions", "no/such/folder"], "no such folder"),
            (["--submissions", "grader/reports"], "holds no submissions"),
            (["--submissions", "katas", "--report", "junit=x"], "FORMAT is json, csv, html"),
            (["--submissions", "katas", "--fail-under", "50"], "not for a class"),
            (["--submissions", "katas", "--results", "no/such/r.jsonl"], "no/such/r.jsonl"),
            (["--results", os.devnull], "give --submissions DIR"),
        ],
    )
    def test_trouble_is_one_line(self, arguments, said, kata_here):
        done = kata_here("grade", "01", *arguments)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
