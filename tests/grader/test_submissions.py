"""A class: what counts as a submission, no student's failure another's, nothing run
twice, interruption.
"""

import codecs
import csv
import json
import os
import re
import signal
import subprocess
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

from grader.cli import regrade
from grader.course import hint_file, notebooks
from grader.course.catalogue import ROOT, Kata, find
from grader.errors import NoSubmissions
from grader.execution.result_cache import ResultCache
from grader.failure import not_handed_in
from grader.protocol import RunOptions
from grader.reports.json_report import kata_as_dict
from grader.results import KataResult
from grader.teaching import (
    attribution,
    class_grading,
    dates,
    intake,
    submissions,
    times,
)
from grader.teaching.contents import Row
from grader.workers.jobs import SourceText
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


@pytest.fixture(scope="module")
def new(tmp_path_factory) -> str:
    """A comment that makes code for which no verdict is on file before these tests."""
    return f"# {tmp_path_factory.mktemp('new')}"


def pack(path: Path, files: dict[str, str | bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def graded(folder: Path, katas, cache: ResultCache) -> dict[str, dict[str, int]]:
    points: dict[str, dict[str, int]] = {}
    options = RunOptions(spec_seconds=1.0)
    handed_in = submissions.attempts(submissions.collect(folder), katas)
    for one in class_grading.grade_class(
        handed_in, katas, cache=cache, options=options
    ):
        points.setdefault(one.student, {})[one.result.kata] = one.result.so_far.points
    return points


class TestCollect:
    def test_folders_and_archives_and_nothing_else(self, hand_in, tmp_path):
        (
            hand_in("bob/01_sums/sums.py", RIGHT),
            hand_in(".git/config", ""),
            hand_in("notes.txt", ""),
        )
        pack(tmp_path / "class/alice.zip", {"sums.py": RIGHT})
        pack(tmp_path / "class/bob.zip", {"sums.py": RIGHT})
        assert [s.student for s in submissions.collect(tmp_path / "class")] == [
            "alice",
            "bob",
        ]

    def test_files_with_canvass_names_are_their_students(self, hand_in):
        for name in (
            "lovelaceada_12_34_sums.py",
            "lovelaceada_LATE_12_56_reuse-1.py",
            "lovelaceada_9_78_sums.py",
        ):
            hand_in(name, RIGHT)
        found = submissions.collect(hand_in("notes.txt", ""))
        assert [(s.student, len(s.places)) for s in found] == [
            ("lovelaceada_12", 2),
            ("lovelaceada_9", 1),
        ]
        assert [
            one.student for one in submissions.strangers(found[0].places[0].parent)
        ] == ["notes"]

    def test_a_name_that_is_not_utf_8_is_read_as_latin_1(self, tmp_path):
        os.mkdir(os.fsencode(tmp_path) + b"/jos\xe9")
        assert [s.student for s in submissions.collect(tmp_path)] == ["josé"]

    def test_none_is_said(self, hand_in):
        with pytest.raises(NoSubmissions, match="holds no submissions"):
            submissions.collect(hand_in("notes.txt", ""))

    @pytest.mark.parametrize(
        "path",
        [
            "01_sums/sums.py",
            "katas/01_sums/sums.py",
            "course-main/katas/01_sums/sums.py",
            "sums.py",
            "katas/01/sums.py",
            "homework/alice_12_34_sums.py",
        ],
    )
    @pytest.mark.parametrize("packed", [False, True])
    def test_the_katas_file_is_found_where_people_put_it(
        self, hand_in, tmp_path, sound, path, packed
    ):
        if packed:
            pack(
                tmp_path / "class/alice.zip",
                {path: RIGHT, "__MACOSX/01_sums/._sums.py": "junk"},
            )
        else:
            hand_in(f"alice/{path}", RIGHT)
        [alice] = submissions.collect(tmp_path / "class")
        assert submissions.sources(alice, sound[:1]) == {sound[0]: SourceText(RIGHT)}

    def test_what_was_not_handed_in_is_said(self, hand_in, sound):
        [alice] = submissions.collect(hand_in("alice/readme.txt", ""))
        assert submissions.sources(alice, sound[:1])[sound[0]] == SourceText(
            "", not_handed_in("sums.py")
        )

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"not a zip", "alice.zip: is not a zip archive"),
            (b"PK\x05\x06" + b"\x00" * 18, "sums.py: not handed in"),
        ],
    )
    def test_a_broken_archive(self, hand_in, sound, content, said):
        [alice] = submissions.collect(hand_in("alice.zip", content))
        assert said in submissions.sources(alice, sound[:1])[sound[0]].problem.line

    def test_a_notebook_is_the_submission_of_its_kata(self, tmp_path):
        one, two = find("01"), find("02")
        (tmp_path / "class").mkdir()
        nbformat.write(
            notebooks.build(one, one.reference.read_text()),
            tmp_path / "class/alice.ipynb",
        )
        (tmp_path / "class/bob.ipynb").write_text("{")
        alice, bob = submissions.collect(tmp_path / "class")
        assert submissions.sources(alice, [one, two]) == {
            one: SourceText(one.reference.read_text()),
            two: SourceText("", not_handed_in(two.file.name)),
        }
        assert "bob.ipynb: line 1" in submissions.sources(bob, [one])[one].problem.line

    def test_an_archive_that_unpacks_to_too_much(self, tmp_path, sound):
        pack(tmp_path / "class/alice.zip", {"01_sums/sums.py": b"#" * 300_000_000})
        [alice] = submissions.collect(tmp_path / "class")
        source = submissions.sources(alice, sound[:1])[sound[0]]
        assert source.text == "" and "the limit is 1 MB" in source.problem.line

    @pytest.mark.parametrize("link", ["katas", "01_sums", "01_sums/sums.py"])
    def test_no_link_leads_to_somebody_elses_work(self, hand_in, tmp_path, sound, link):
        hand_in("bob/katas/01_sums/sums.py", RIGHT)
        target = {
            "katas": "bob/katas",
            "01_sums": "bob/katas/01_sums",
            "01_sums/sums.py": "bob/katas/01_sums/sums.py",
        }[link]
        place = hand_in("alice/notes.txt", "") / "alice" / link
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(tmp_path / "class" / target)
        alice, _ = submissions.collect(tmp_path / "class")
        assert (
            "symbolic link"
            in submissions.sources(alice, sound[:1])[sound[0]].problem.line
        )


class TestWhichFileCounts:
    """Of several files one counts, and a person is told about the others."""

    def found(self, folder: Path, kata: Kata, *more: Kata) -> tuple[str, list[str]]:
        """The text that counts for the kata, and the findings shown on a terminal."""
        [submission] = submissions.collect(folder)
        contents = attribution.look(submission.places, [kata, *more])
        text = (
            contents.katas[kata].text
            if kata in contents.files
            else contents.katas[kata].note
        )
        return text, intake.lines(intake.rows(submission, contents, [kata]))

    def test_below_katas_before_the_top(self, hand_in, sound):
        hand_in("alice/katas/01_sums/sums.py", RIGHT)
        text, said = self.found(hand_in("alice/sums.py", "old"), sound[0])
        assert (text, said) == (
            RIGHT,
            ["alice: alice/sums.py: ignored: alice/katas/01_sums/sums.py counts"],
        )

    def test_the_last_resubmission_whatever_its_date(self, hand_in, sound):
        hand_in("ada_12_34_sums-10.py", RIGHT), hand_in("ada_12_35_sums-9.py", "old")
        text, said = self.found(hand_in("ada_12_36_sums.py", "older"), sound[0])
        assert (
            text == RIGHT
            and said[0] == "ada_12: ada_12_34_sums-10.py: resubmission 10"
            and len(said) == 2
        )

    @pytest.mark.parametrize(("year", "counts"), [(1990, "alice"), (2090, "alice.zip")])
    def test_of_a_folder_and_an_archive_the_newer_one(
        self, hand_in, tmp_path, sound, year, counts
    ):
        folder = hand_in("alice/sums.py", "alice")
        with zipfile.ZipFile(folder / "alice.zip", "w") as archive:
            archive.writestr(
                zipfile.ZipInfo("katas/01_sums/sums.py", (year, 1, 1, 0, 0, 0)),
                "alice.zip",
            )
        assert self.found(folder, sound[0]) == (
            counts,
            [
                (
                    f"alice: where alice and alice.zip hold the same kata, {counts} "
                    "counts, which is newer"
                )
            ],
        )

    def test_a_name_that_two_katas_share(self, hand_in):
        losses, other = find("20"), find("tinytorch/06")
        folder = hand_in("alice/losses.py", "mine")
        said = (
            "could be 20_losses or tinytorch/06_losses: put it into its kata's folder"
        )
        said = f"alice/losses.py: {said}"
        assert self.found(folder, losses, other) == (
            said,
            [f"alice: not recognised: {said}"],
        )
        assert self.found(folder, losses) == ("mine", [])
        hand_in("alice/tinytorch/losses.py", "theirs")
        hand_in("alice/06_losses/losses.py", "nearer")
        assert self.found(folder, other, losses)[0] == "nearer"
        hand_in("alice/20/losses.py", "numbered")
        assert self.found(folder, losses, other)[0] == "numbered"

    def test_a_copy_of_the_courses_solutions_never_counts(self, hand_in, sound):
        folder = hand_in("alice/solutions/01_sums/sums.py", RIGHT)
        assert self.found(folder, sound[0])[0] == "sums.py: not handed in"

    def test_the_archive_of_a_starter_is_nobodys_work(self, hand_in, sound):
        hand_in("alice/grader/data/stubs.zip", b"PK")
        assert self.found(hand_in("alice/katas/01_sums/sums.py", RIGHT), sound[0]) == (
            RIGHT,
            [],
        )

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("sum.py", "looks like 01_sums: call it sums.py"),
            ("katas/01/mine.py", "looks like 01_sums: call it sums.py"),
            ("all.rar", "is an archive that cannot be opened here: ask for a .zip"),
            ("essay.docx", "no file of a kata that is graded"),
        ],
    )
    def test_what_is_nearly_right_is_named(self, hand_in, sound, path, why):
        _, said = self.found(hand_in(f"alice/{path}", "x"), sound[0])
        assert said == [f"alice: not recognised: alice/{path}: {why}"]

    def test_the_courses_own_files_are_not_named(self, hand_in, sound):
        (
            hand_in("alice/katas/01_sums/test_sums.py", ""),
            hand_in("alice/conftest.py", ""),
        )
        assert self.found(hand_in("alice/katas/01_sums/sums.py", RIGHT), sound[0]) == (
            RIGHT,
            [],
        )

    def test_a_notebook_in_a_folder(self, tmp_path):
        one = find("01")
        (tmp_path / "class/alice").mkdir(parents=True)
        nbformat.write(
            notebooks.build(one, one.reference.read_text()),
            tmp_path / "class/alice/one.ipynb",
        )
        assert self.found(tmp_path / "class", one) == (one.reference.read_text(), [])
        (tmp_path / "class/alice" / one.file.name).write_text("x = 1\n")
        text, [said] = self.found(tmp_path / "class", one)
        assert text == "x = 1\n" and said.startswith(
            "alice: alice/one.ipynb: ignored: is a notebook that no kata's"
        )

    def test_what_a_notebook_lacks_is_told_to_its_student_alone(
        self, hand_in, tmp_path
    ):
        """Bob handed in the text that counts of Ann's notebook, so that it runs once
        for both.
        """
        one = find("01")
        notebook = notebooks.build(one, one.reference.read_text())
        notebook.cells = [
            cell
            for cell in notebook.cells
            if not cell.source.startswith(('"""', "import"))
        ]
        folder = hand_in("bob/tensors.py", notebooks.handed_in(notebook, one).text)
        nbformat.write(notebook, folder / "ann.ipynb")
        ann = submissions.collect(folder)[0]
        [finding] = intake.rows(ann, attribution.look(ann.places, [one]), [one])
        assert finding.odd and finding.note.startswith(
            "not in the notebook, so taken from the stub: "
        )
        handed_in = submissions.attempts(submissions.collect(folder), [one])
        results = class_grading.grade_class(
            handed_in, [one], cache=ResultCache(tmp_path), options=RunOptions()
        )
        told = {
            found.student: (found.result.message, found.result.so_far.points)
            for found in results
        }
        assert told == {
            "ann": (finding.note, len(one.exercises)),
            "bob": ("", len(one.exercises)),
        }

    def test_the_hints_that_a_student_has_counted_are_told_of_the_katas_that_are_graded(
        self, hand_in
    ):
        one = find("01")
        noted = {
            f"{one.name} count_to": 99,
            f"{one.name} filled": 1,
            f"{one.name} lost": 1,
            "16_x split_heads": 2,
        }
        [ann] = submissions.collect(hand_in("ann/hints.json", json.dumps(noted)))
        [hints] = [
            row
            for row in intake.rows(ann, attribution.look(ann.places, [one]), [one])
            if row.name
        ]
        most = len(hint_file.of(one, "count_to"))
        assert hints.note.startswith(
            f"hints taken: 01 count_to {most} of {most}, 01 filled 1 of "
        )
        assert (
            "lost" not in hints.note
            and "split_heads" not in hints.note
            and not hints.odd
        )
        [bob] = submissions.collect(hand_in("bob/hints.json", "[" * 100_000))[1:]
        assert (
            attribution.look(bob.places, [one]).unused[0].note
            == "hints taken: none of these katas"
        )

    def test_a_notebook_counts_before_an_untouched_stub(self, hand_in):
        one = find("01")
        folder = hand_in("alice/tensors.py", one.code.read_text())
        nbformat.write(
            notebooks.build(one, one.reference.read_text()), folder / "alice/one.ipynb"
        )
        said = (
            "alice: alice/tensors.py: ignored: is an untouched stub: alice/one.ipynb "
            "counts"
        )
        assert self.found(folder, one) == (one.reference.read_text(), [said])
        nbformat.write(
            notebooks.build(one, one.code.read_text()), folder / "alice/one.ipynb"
        )
        said = "alice: alice/one.ipynb: ignored: alice/tensors.py counts"
        assert self.found(folder, one) == (one.code.read_text(), [said])

    def test_a_date_after_the_last_one_that_python_knows_is_cut(
        self, hand_in, sound, monkeypatch
    ):
        monkeypatch.setattr(dates, "LATEST", 100)
        folder = hand_in("alice/sums.py", RIGHT)
        assert (
            attribution.look([folder / "alice"], sound[:1])
            .files[sound[0]]
            .modified.timestamp()
            == 100
        )

    @pytest.mark.parametrize(
        ("data", "encoding"),
        [
            (codecs.BOM_UTF8 + "é = 1\n".encode(), ""),
            ("é = 1\n".encode("utf-16"), "UTF-16"),
            ("é = 1\n".encode("latin-1"), "Latin-1"),
        ],
    )
    def test_encodings(self, hand_in, sound, data, encoding):
        said = (
            [f"alice: alice/sums.py: is {encoding}, which was converted to UTF-8"]
            if encoding
            else []
        )
        assert self.found(hand_in("alice/sums.py", data), sound[0]) == ("é = 1\n", said)

    def test_bytes_that_are_no_text(self, hand_in, sound):
        text, said = self.found(hand_in("alice/sums.py", bytes(range(256))), sound[0])
        assert text == "" and said == [
            (
                "alice: not recognised: alice/sums.py: is no text, but a file of "
                "another kind"
            )
        ]

    def test_a_terminal_gets_twenty_lines(self):
        found = [
            Row(None, None, "ignored", "x", odd=True, student=str(number))
            for number in range(30)
        ]
        said = [f"{number}: ignored: x" for number in range(30)]
        assert intake.lines(found, most=20) == [
            *said[:20],
            "… and 10 more: --intake FILE writes them all",
        ]
        assert intake.lines(found[:20], most=20) == said[:20]


class TestHandedIn:
    def hand_in_of(self, folder: Path, kata: Kata) -> times.HandIn:
        [submission] = submissions.collect(folder)
        return times.of(submission, attribution.look(submission.places, [kata]))

    @pytest.mark.parametrize("packed", [False, True])
    def test_a_checkouts_newest_commit(self, hand_in, sound, packed):
        folder = hand_in("alice/course/01_sums/sums.py", RIGHT)
        checkout = folder / "alice/course"
        date = {"GIT_COMMITTER_DATE": "2026-11-30T12:00:00+01:00"}
        who = [
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@x",
            "-c",
            "commit.gpgsign=false",
        ]
        for command in (
            ["init", "-q"],
            ["add", "."],
            [*who, "commit", "-qm", "x"],
            *[["gc", "-q"]] * packed,
        ):
            subprocess.run(
                ["git", *command], cwd=checkout, check=True, env=os.environ | date
            )
        # git fails where it reads this: it could name programs to run
        (checkout / ".git/config").write_text("[broken")
        found = self.hand_in_of(folder, sound[0])
        assert found == times.HandIn(
            datetime(2026, 11, 30, 11, tzinfo=UTC), "the newest commit"
        )

    @pytest.mark.parametrize(
        "head", ["ref: refs/heads/../../x", "junk", "0" * 40, "ref: refs/heads/main"]
    )
    def test_a_broken_checkout_has_its_files_time(self, hand_in, sound, head):
        hand_in("alice/.git/HEAD", head), hand_in("alice/.git/objects/x", "")
        folder = hand_in("alice/sums.py", RIGHT)
        os.utime(folder / "alice/sums.py", (1e9, 1e9))
        found = self.hand_in_of(folder, sound[0])
        assert found == times.HandIn(
            datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC),
            "the time of alice/sums.py",
            is_weak=True,
        )

    def test_a_member_of_an_archive_has_a_time_without_a_zone(self, hand_in, sound):
        folder = hand_in("notes.txt", "")
        with zipfile.ZipFile(folder / "alice.zip", "w") as archive:
            archive.writestr(
                zipfile.ZipInfo("sums.py", (2026, 11, 30, 12, 0, 0)), RIGHT
            )
        assert self.hand_in_of(folder, sound[0]).time == datetime(2026, 11, 30, 12)


class TestGrade:
    def test_one_students_failure_is_never_anothers(self, hand_in, tmp_path, sound):
        (
            hand_in("alice/01_sums/sums.py", RIGHT),
            hand_in("alice/02_reuse/reuse.py", REUSE),
        )
        (
            hand_in("bob/01_sums/sums.py", "import os\nos._exit(0)\n"),
            hand_in("bob/02_reuse/reuse.py", REUSE),
        )
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
            # total, and the layer with the reference's double
            "eve": {"01_sums": 2, "02_reuse": 0},
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
    def course(self, tmp_path, new) -> Path:
        """Twelve students: right, untouched, and different in every one's last line."""
        kata = find("00")
        for number in range(12):
            text = (
                kata.reference if number % 3 else kata.folder / kata.file.name
            ).read_text()
            path = tmp_path / "class" / f"student{number:02}" / kata.file
            path.parent.mkdir(parents=True)
            path.write_text(text + f"\n{new} {number if number % 3 else 0}\n")
        return tmp_path / "class"

    def test_reports_of_a_class(self, course, tmp_path, kata_here):
        """Also of one whose folder has a name that would be no pattern and no
        replacement text.
        """
        (course / "student00").rename(course / r"CAMPUS\smith")
        done = kata_here(
            "class",
            course,
            "00",
            "--report",
            f"html={tmp_path}/c.html",
            "--report",
            f"csv={tmp_path}/c.csv",
            "--report",
            f"json={tmp_path}/c.json",
            "--results",
            f"{tmp_path}/new/r.jsonl",
            "--feedback",
            f"{tmp_path}/pages",
        )
        assert done.returncode == 0, done.stderr
        exercises = len(find("00").exercises)
        assert (
            f"CAMPUS\\smith: 0 of {exercises} points · 0 of {exercises} stars\n"
            in done.stdout
        )
        assert f"student01: {exercises} of {exercises} points" in done.stdout
        rows = list(csv.DictReader(open(tmp_path / "c.csv")))
        assert [row["points"] for row in rows] == [
            "0",
            str(exercises),
            str(exercises),
        ] * 4
        assert json.loads((tmp_path / "c.json").read_text())["complete"] is True
        assert len((tmp_path / "new/r.jsonl").read_text().splitlines()) == 12
        assert len(list((tmp_path / "pages").glob("*.html"))) == 12
        page = (tmp_path / "c.html").read_text()
        assert (
            f"<h1>{find('00').title} (00)</h1>" in page
            and "<p class='dim'>12 students" in page
        )
        links = re.findall(r"<a href='([^']+)'>", page)
        assert len(set(links)) == 12 and all(
            (tmp_path / unquote(link)).is_file() for link in links
        )

    def test_files_for_programs_that_find_similar_code(
        self, course, tmp_path, kata_here
    ):
        """A file of each student who has begun: a stub with a comment is the same
        as everybody's.
        """
        done = kata_here(
            "export", "plain", tmp_path / "plain", "00", "--submissions", course
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == (
            f"{tmp_path}/plain has the files of 8 students\n"
            "nothing begun was found, so not in it: student00, student03, student06, "
            "student09\n"
        )
        files = {
            path.relative_to(tmp_path / "plain")
            for path in (tmp_path / "plain").rglob("*")
            if path.is_file()
        }
        assert files == {
            Path(f"student{n:02}") / find("00").file for n in range(12) if n % 3
        }
        for file in files:
            assert (tmp_path / "plain" / file).read_text() == (
                course / file
            ).read_text()

    def test_every_submission_is_read_once(self, course, kata_here, monkeypatch):
        """So what is graded is what the intake has told of, even if a file
        changes meanwhile.
        """
        look, read = attribution.look, []
        monkeypatch.setattr(
            attribution,
            "look",
            lambda places, *katas: read.extend(places) or look(places, *katas),
        )
        assert kata_here("class", course, "00").returncode == 0
        assert len(read) == len(set(read)) == 12

    def test_regrading_shows_whose_score_changes_and_why(
        self, course, tmp_path, kata_here
    ):
        """The earlier results differ from today's: one student had a point less,
        another one a point more.
        """
        results, names = (
            tmp_path / "r.jsonl",
            [exercise.name for exercise in find("00").exercises],
        )
        assert kata_here("class", course, "00", "--results", results).returncode == 0
        again = ["regrade", "--submissions", course, "--against", results]
        done = kata_here(*again)
        assert (done.returncode, done.stdout) == (
            0,
            "the scores of 0 of 12 students change\n",
        )

        lines = [json.loads(line) for line in results.read_text().splitlines()]
        for student, status, score in (
            ("student00", "passed", 1),
            ("student01", "failed", 0),
        ):
            [first, *_] = next(line for line in lines if line["student"] == student)[
                "exercises"
            ]
            first["score"] = score
            for spec in first["specs"]:
                spec["status"] = status
        results.write_text("".join(json.dumps(line) + "\n" for line in lines))
        said = kata_here(*again).stdout
        assert (
            f"student00: -1\n  {find('00').name} · {names[0]}: 1 → 0  (" in said
            and ": passed → failed)" in said
        )
        assert (
            f"student01: +1\n  {find('00').name} · {names[0]}: 0 → 1  (" in said
            and ": failed → passed)" in said
        )
        assert said.endswith("the scores of 2 of 12 students change\n")
        done = kata_here(*again, "--never-lower", "--report", f"csv={tmp_path}/c.csv")
        assert (
            "student00" not in done.stdout
            and "the scores of 1 of 12 students change" in done.stdout
        )
        rows = list(csv.DictReader(open(tmp_path / "c.csv")))
        assert [row["points"] for row in rows[:2]] == ["1", str(len(names))]
        results.write_text(
            results.read_text()
            .replace("student0", "guest0")
            .replace("student1", "guest1")
        )
        done = kata_here(*again)
        assert (
            done.returncode == 2
            and "none of the earlier results is of a student in " in done.stderr
        )

    @pytest.mark.parametrize(
        ("text", "said"),
        [("", "holds no results"), ("{}", "1: holds no"), ("[1", "1: holds no")],
    )
    def test_regrading_needs_results(self, text, said, tmp_path, kata_here):
        (tmp_path / "r.jsonl").write_text(text)
        done = kata_here(
            "regrade", "--submissions", "katas", "--against", tmp_path / "r.jsonl"
        )
        assert (
            done.returncode == 2
            and said in done.stderr
            and done.stderr.count("\n") == 1
        )

    def test_regrading_goes_by_the_course_whatever_came_first(
        self, tmp_path, kata_here, monkeypatch
    ):
        names = [find(number).name for number in ("03", "01", "02")]
        lines = [
            json.dumps({"student": "ann", **kata_as_dict(KataResult(name, ()))})
            for name in names
        ]
        (tmp_path / "r.jsonl").write_text("\n".join(lines) + "\n")
        graded = []
        monkeypatch.setattr(
            regrade,
            "regrade_class_folder",
            lambda asked: graded.extend(asked.assignment.katas),
        )
        done = kata_here(
            "regrade", "--submissions", tmp_path, "--against", tmp_path / "r.jsonl"
        )
        assert done.returncode == 0, done.stderr
        assert [kata.name for kata in graded] == sorted(names)

    def test_interrupted_and_gone_on_with(self, course, tmp_path, kata_here):
        results, last = tmp_path / "r.jsonl", course / "student11" / find("00").file
        for file in course.glob(f"*/{find('00').file}"):
            # has no verdict on file, and takes its time
            file.write_text(f"{file.read_text()}# {tmp_path}\n")
        right = last.read_text()
        # the interrupt comes before the end
        last.write_text("import time\ntime.sleep(600)\n")
        command = [KATA, "class", course, "00", "--jobs", "1", "--results", results]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 300
        so_far = tmp_path / "r.jsonl.part"
        while time.monotonic() < deadline and not (
            so_far.exists() and so_far.read_text().count("\n") >= 2
        ):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
        assert (
            process.returncode == 130
            and "run the same command again to continue" in said
        )
        assert "not graded yet" in said and "so far 0" not in said
        last.write_text(right)
        done = kata_here("class", course, "00", "--results", results)
        assert done.returncode == 0 and results.read_text().count("\n") == 12

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["class", "no/such/folder"], "no such folder"),
            (["class", "grader/isolation"], "holds no submissions"),
            (["class", "katas", "--report", "junit=x"], "FORMAT is json, csv, html"),
            (["class", "katas", "--results", "README.md/r.jsonl"], "README.md/r.jsonl"),
        ],
    )
    def test_trouble_is_one_line(self, arguments, said, kata_here):
        done = kata_here(*arguments)
        assert (
            done.returncode == 2
            and said in done.stderr
            and done.stderr.count("\n") == 1
        )
