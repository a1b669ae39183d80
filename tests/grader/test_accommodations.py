"""A mark explains itself: who keeps the time, by which deadline, what was allowed, and
what is excused.
"""

import csv
import json
import os
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grader.course.catalogue import find
from grader.errors import BrokenAccommodations, BrokenRoster
from grader.teaching import (
    accommodations,
    class_grading,
    roster,
    submissions,
    times,
)
from grader.teaching.platforms import gradescope, nbgrader
from grader.teaching.platforms.nbgrader import NO_NOTE
from grader.teaching.roster import Person
from grader.teaching.submissions import Submission
from tests.grader.verdicts import by_text

FIRST, SECOND = find("01"), find("02")
DUE = datetime(2015, 12, 1, 22, 59, 59, tzinfo=UTC)  # 23:59:59 in Berlin
RULES = (
    "[late]\nzone = 'Europe/Berlin'\nper_day = 10\ndue = 2015-12-01\ngrace = '15m'\n"
)
MOODLE_LIST = (
    "Identifier,Full name,Email address,Status,Last modified (submission)\n"
    'Participant 11,Ada Lovelace,ada@x,,"Thursday, 3 December 2015, 10:00 AM"\n'
    "Participant 12,Bob Babbage,bob@x,,-\n"
)
METADATA = """---
submission_9000:
  :submitters:
  - :name: Ada Lovelace
    :sid: '101'
    :email: ada@x
  :created_at: 2015-12-03 09:00:00.123456000 Z
  :score: 3.0
  :results:
    tests:
    - :name: not a person
  :history:
  - :submitters:
    - :name: Eve Earlier
submission_9001:
  :submitters:
  - :name: Bob Babbage
    :email: bob@x
  :created_at: 2015-12-01 10:00:00 Z
"""


def code(points: int) -> str:
    """A text that earns so many points of its kata, by `by_text`."""
    return f"works = {points}\n"


@pytest.fixture
def grade(tmp_path, monkeypatch, kata_here) -> Callable[..., dict]:
    """Grades katas 01 and 02 of the folder "class". Returns the students of its JSON by
    name, and what was said.
    """
    monkeypatch.setattr(class_grading, "grade_class", by_text)
    (tmp_path / "rules.toml").write_text(RULES)

    def run(*options, fails: bool = False) -> dict:
        files = [
            f"json={tmp_path}/c.json",
            f"csv={tmp_path}/c.csv",
            f"canvas={tmp_path}/canvas.csv",
        ]
        reports = [
            part
            for file in [*files, f"moodle={tmp_path}/moodle.csv"]
            for part in ("--report", file)
        ]
        outputs = [
            *reports,
            "--feedback",
            tmp_path / "pages",
            "--intake",
            tmp_path / "intake.csv",
        ]
        inputs = ["--rules", tmp_path / "rules.toml", *options]
        done = kata_here("class", tmp_path / "class", "01", "02", *inputs, *outputs)
        assert (done.returncode != 0) == fails, done.stderr
        if fails:
            return {"stderr": done.stderr}
        students = json.loads((tmp_path / "c.json").read_text())["students"]
        by_name = {one["student"].partition(" (")[0]: one["report"] for one in students}
        return by_name | {"stdout": done.stdout}

    return run


def hand_in(
    folder: Path, after: timedelta, first: int | None = None, second: int | None = None
) -> None:
    """A folder with these katas, so long after the deadline."""
    for kata, points in ((FIRST, first), (SECOND, second)):
        if points is not None:
            path = folder / kata.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code(points))
            os.utime(path, ((DUE + after).timestamp(),) * 2)


def note(folder: Path, day: int = 2) -> None:
    """nbgrader's note in this folder, of this day of December."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / nbgrader.NOTE).write_text(f"2015-12-0{day} 10:00:00.000000 UTC\n")


def first(report: dict) -> dict:
    return report["katas"][0]


class TestWhoKeepsTheTime:
    def test_no_time_in_an_archive_of_a_platforms_download_costs_anything(
        self, tmp_path, grade
    ):
        """The same file, loose, zipped late, and zipped with the dates of 1980:
        one mark.
        """
        place = tmp_path / "class"
        for number, date in (
            (11, None),
            (12, (2015, 12, 4, 0, 0, 0)),
            (13, (1980, 1, 1, 0, 0, 0)),
        ):
            folder = place / f"S {number}_{number}_assignsubmission_file_"
            folder.mkdir(parents=True)
            if date is None:
                hand_in(folder, timedelta(days=3), 4)
                continue
            with zipfile.ZipFile(folder / "work.zip", "w") as archive:
                archive.writestr(zipfile.ZipInfo(FIRST.file.as_posix(), date), code(4))
        found = grade()
        assert [first(found[f"S {n}_{n}"])["score"] for n in (11, 12, 13)] == [4, 4, 4]
        assert (
            "has the time of the download, so lateness costs nothing: S 11_11, S "
            "12_12, S 13_13"
        ) in found["stdout"]

    def test_dates_of_1970_and_1980_are_not_known(self, tmp_path, grade):
        hand_in(tmp_path / "class/ann", timedelta(), 4)
        os.utime(tmp_path / "class/ann" / FIRST.file, (0, 0))
        found = grade()
        assert (
            first(found["ann"])["timing"]["handed_in"] == ""
            and first(found["ann"])["score"] == 4
        )
        assert (
            "its files say they are from before 1981, so lateness costs nothing: ann"
            in found["stdout"]
        )
        assert (
            "handed in at a time that is not known, so lateness costs nothing"
            in (tmp_path / "pages/ann.html").read_text()
        )

    def test_moodles_worksheet(self, tmp_path, grade):
        (tmp_path / "list.csv").write_text(MOODLE_LIST)
        for number, name in ((11, "Ada Lovelace"), (12, "Bob Babbage")):
            hand_in(
                tmp_path / f"class/{name}_{number}_assignsubmission_file_",
                timedelta(),
                4,
            )
        found = grade("--roster", tmp_path / "list.csv")
        ada, bob = first(found["Ada Lovelace"]), first(found["Bob Babbage"])
        assert (ada["timing"]["handed_in"], ada["timing"]["penalty"]) == (
            "2015-12-03T10:00:00+01:00",
            20,
        )
        assert (bob["timing"]["handed_in"], bob["score"]) == ("", 4)

    def test_gradescopes_metadata_is_a_roster_with_times(self, tmp_path, grade):
        hand_in(tmp_path / "class/submission_9000", timedelta(days=9), 4)
        hand_in(tmp_path / "class/submission_9001", timedelta(days=9), 4)
        (tmp_path / "class" / gradescope.NAME).write_text(METADATA)
        found = grade()
        assert list(found)[:2] == ["Ada Lovelace", "Bob Babbage"]
        assert first(found["Ada Lovelace"])["timing"]["penalty"] == 20
        assert first(found["Bob Babbage"])["timing"]["penalty"] == 0
        people = roster.read(tmp_path / "class" / gradescope.NAME)
        assert [(one.id, one.email) for one in people] == [
            ("101", "ada@x"),
            ("bob@x", "bob@x"),
        ]

    @pytest.mark.parametrize(
        "text", ["", "a: b\n", "submission_1:\n  :submitters: []\n"]
    )
    def test_metadata_that_names_nobody(self, tmp_path, text):
        (tmp_path / gradescope.NAME).write_text(text)
        with pytest.raises(BrokenRoster, match="names nobody"):
            roster.read(tmp_path / gradescope.NAME)

    def test_nbgraders_note_and_a_column_of_the_roster(self, tmp_path, grade):
        for who in ("ada", "bob"):
            hand_in(tmp_path / f"class/{who}", timedelta(days=9), 4)
            note(tmp_path / f"class/{who}/01_tensors")
        (tmp_path / "list.csv").write_text(
            "id,name,email,handed_in\nada,,,\nbob,,,2015-12-03T10:00\n"
        )
        found = grade("--roster", tmp_path / "list.csv")
        assert [first(found[who])["timing"]["penalty"] for who in ("ada", "bob")] == [
            10,
            20,
        ]
        assert NO_NOTE not in found["stdout"]

    def test_nbgraders_note_on_another_assignment_says_nothing(self, tmp_path, grade):
        for who in ("ada", "bob"):
            hand_in(tmp_path / f"class/{who}", timedelta(days=9), 4, 4)
            note(tmp_path / f"class/{who}/00_before", day=1)
            note(tmp_path / f"class/{who}/01_tensors", day=2)
        found = grade()
        for who in ("ada", "bob"):
            penalties = [kata["timing"]["penalty"] for kata in found[who]["katas"]]
            assert penalties == [10, 90]

    @pytest.mark.parametrize("place", ["", "01_tensors", "ps1"])
    @pytest.mark.parametrize("others", [0, 1])
    def test_a_students_own_note_says_nothing(self, tmp_path, grade, place, others):
        """Whoever hands in can write this file, at any place of the submission."""
        for who in ("eve", "bob")[: 1 + others]:
            hand_in(tmp_path / f"class/{who}", timedelta(days=9), 4)
        note(tmp_path / "class/eve" / place, day=1)
        found = grade()
        assert first(found["eve"])["timing"]["penalty"] == 90
        own = (Path("eve") / place / nbgrader.NOTE).as_posix()
        assert f"eve: {own}: ignored: {NO_NOTE}\n" in found["stdout"]
        rows = csv.DictReader(open(tmp_path / "intake.csv"))
        assert [row["note"] for row in rows if row["file"] == own] == [NO_NOTE]

    @pytest.mark.parametrize(
        ("folder", "noted", "silent", "is_nbgraders"),
        [
            ("submitted", 1, 0, True),
            ("submitted", 1, 1, False),
            ("submitted", 3, 2, True),
            ("class", 1, 0, False),
            ("class", 3, 2, True),
            ("class", 2, 3, False),
            ("class", 0, 2, False),
        ],
    )
    def test_most_notes_say_if_nbgrader_laid_out_the_class(
        self,
        tmp_path,
        folder,
        noted,
        silent,
        is_nbgraders,
    ):
        for number in range(noted + silent):
            place = tmp_path / folder / f"s{number}/ps1"
            place.mkdir(parents=True)
            if number < noted:
                note(place)
        everybody = [*submissions.collect(tmp_path / folder), Submission("absent", ())]
        assert times.is_nbgraders(tmp_path / folder, everybody) == is_nbgraders

    def test_the_first_time_seen_is_kept(self, tmp_path, grade):
        """A copy of the class without its times makes nobody late; other contents have
        their own time.
        """
        lines = ["--results", tmp_path / "r.jsonl"]
        hand_in(tmp_path / "class/ada", timedelta(days=-1), 4, 5)
        assert first(grade(*lines)["ada"])["timing"]["penalty"] == 0
        hand_in(tmp_path / "class/ada", timedelta(days=2), 4, 6)
        found = grade(*lines)
        assert [kata["timing"]["penalty"] for kata in found["ada"]["katas"]] == [0, 20]
        assert "when the same content was graded: that counts" in found["stdout"]


class TestAMarkExplainsItself:
    LATE = (
        "due Tue 1 Dec 2015 23:59 (Europe/Berlin) · handed in Thu 3 Dec 2015 10:00 · "
        "2 days late: −20 % of 4 = 3.2"
    )

    def test_in_every_report(self, tmp_path, grade):
        hand_in(tmp_path / "class/ada", timedelta(hours=34, seconds=1), 4)
        found = grade("--explain")
        assert first(found["ada"])["timing"] == {
            "handed_in": "2015-12-03T10:00:00+01:00", "due":
                "2015-12-01T23:59:59+01:00", "zone": "Europe/Berlin",
            "extension": "", "grace": "", "days_late": 2, "penalty": 20, "allowed": "",
        }  # fmt: skip
        [row] = csv.DictReader(open(tmp_path / "c.csv"))
        assert (row["penalty"], row["lateness"]) == ("20", f"01: {self.LATE}")
        for text in (
            found["stdout"],
            (tmp_path / "pages/ada.html").read_text(),
            (tmp_path / "moodle.csv").read_text(),
            (tmp_path / "intake.csv").read_text(),
        ):
            assert self.LATE.removesuffix(" of 4 = 3.2") in text
        assert row["01_tensors"] == "3.2"

    def test_with_grace_and_an_extension_where_they_applied(self, tmp_path, grade):
        hand_in(tmp_path / "class/ada", timedelta(days=2, minutes=10), 4)
        hand_in(tmp_path / "class/bob", timedelta(minutes=10), 4)
        (tmp_path / "list.csv").write_text(
            "id,name,email,extension\nada,,,2d\nbob,,,\n"
        )
        grade("--roster", tmp_path / "list.csv")
        ada, bob = (
            (tmp_path / f"pages/{who}.html").read_text() for who in ("ada", "bob")
        )
        longer = (
            "due Thu 3 Dec 2015 23:59 (Europe/Berlin), with an extension of 2d · "
            "handed in Fri 4 Dec 2015 00:09"
        )
        assert f"{longer} · late within the grace of 15m" in ada
        assert "2d" not in bob and "late within the grace of 15m" in bob


ALLOWED = """id,kata,due,extension,excused,waive_late,reason
ada,01,2015-12-09,,,,"a week abroad, agreed"
bob,01,,3d,,,ill
cy,all,,,,yes,a broken laptop
dan,02,,,yes,,moved here in December
eve,all,,,yes,,ill all term
"""


def granted(lines: Path) -> dict:
    """What a file of results says of each student and kata: the score, and what
    was granted.
    """
    found = map(json.loads, lines.read_text().splitlines())
    return {
        (one["student"], one["kata"]): (one["score"], one["timing"], one["excused"])
        for one in found
    }


class TestAccommodations:
    def test_what_is_allowed_is_counted_and_shown(self, tmp_path, grade):
        (tmp_path / "a.csv").write_text(ALLOWED)
        for who in ("ada", "bob", "cy", "dan", "eve", "fay"):
            hand_in(tmp_path / f"class/{who}", timedelta(days=2), 4, 5)
        found = grade(
            "--accommodations", tmp_path / "a.csv", "--canvas-column", "HW1 (999)"
        )
        assert [
            found[who]["score"] for who in ("ada", "bob", "cy", "dan", "eve", "fay")
        ] == pytest.approx([4 + 4, 4 + 4, 4 + 5, 3.2, None, 3.2 + 4])
        both, alone = found["fay"]["max_score"], found["dan"]["max_score"]
        assert both == sum(
            len(kata.exercises) for kata in (FIRST, SECOND)
        ) and alone == len(FIRST.exercises)
        assert [kata["state"] for kata in found["eve"]["katas"]] == [
            "excused",
            "excused",
        ]
        for who, said in {
            "ada": "a date of their own: a week abroad, agreed",
            "bob": (
                "with an extension of 3d · handed in Thu 3 Dec 2015 23:59 · extended: "
                "ill"
            ),
            "cy": "lateness waived: a broken laptop · 2 days late: costs nothing",
            "dan": "excused: moved here in December",
            "eve": "excused: no score",
        }.items():
            assert said in (tmp_path / f"pages/{who}.html").read_text(), who
        rows = {row["student"]: row for row in csv.DictReader(open(tmp_path / "c.csv"))}
        assert (
            rows["eve"]["score"],
            rows["eve"]["state"],
            rows["dan"]["02_tensor_reshaping"],
        ) == ("", "excused", "")
        assert "eve" not in (tmp_path / "moodle.csv").read_text()
        canvas = {
            row["Student"]: row["HW1 (999)"]
            for row in csv.DictReader(open(tmp_path / "canvas.csv"))
        }
        assert (canvas["eve"], canvas["    Points Possible"]) == ("EX", f"{both:g}")
        assert float(canvas["dan"]) == pytest.approx(3.2 / alone * both, abs=0.01), (
            "out of what all are graded out of"
        )

    def test_a_regrade_has_them_too(self, tmp_path, grade, kata_here):
        (tmp_path / "a.csv").write_text("id,kata,waive_late,reason\nada,01,yes,ill\n")
        hand_in(tmp_path / "class/ada", timedelta(days=2), 4, 5)
        grade("--results", tmp_path / "r.jsonl")
        options = [
            "--submissions",
            tmp_path / "class",
            "--against",
            tmp_path / "r.jsonl",
        ]
        options += [
            "--rules",
            tmp_path / "rules.toml",
            "--accommodations",
            tmp_path / "a.csv",
        ]
        said = kata_here("regrade", *options).stdout
        assert said.startswith("ada: +0.8\n") and "lateness costs 0 %, not 20 %" in said

    def test_a_regrade_keeps_what_was_granted(self, tmp_path, grade, kata_here):
        """What docs/class.md says to repeat is the folder, the roster and the rules:
        no accommodations.
        """
        (tmp_path / "a.csv").write_text(ALLOWED)
        everybody = ("ada", "bob", "cy", "dan", "eve", "fay")
        for who in everybody:
            hand_in(tmp_path / f"class/{who}", timedelta(days=2), 4, 5)
        lines = tmp_path / "r.jsonl"
        grade("--accommodations", tmp_path / "a.csv", "--results", lines)
        before = granted(lines)
        options = [
            "--submissions",
            tmp_path / "class",
            "--against",
            lines,
            "--results",
            lines,
        ]
        options += ["--rules", tmp_path / "rules.toml"]
        for lower in ([], ["--never-lower"]):
            said = kata_here("regrade", *options, *lower).stdout
            assert (
                "5 accommodations of the earlier results count\n"
                "the scores of 0 of 6 students change"
            ) in said
            assert granted(lines) == before
        (tmp_path / "a.csv").write_text(
            "id,kata,extension,reason\ncy,01,1d,only that\n"
        )
        said = kata_here(
            "regrade", *options, "--accommodations", tmp_path / "a.csv"
        ).stdout
        assert "lateness costs 10 %, not 0 %" in said and "1 of 6 students" in said

    def test_a_regrade_without_the_roster_is_refused(self, tmp_path, grade, kata_here):
        hand_in(tmp_path / "class/ada", timedelta(days=1), 4)
        (tmp_path / "list.csv").write_text(
            "id,name,email,extension\nada,Ada Lovelace,,2d\n"
        )
        grade("--roster", tmp_path / "list.csv", "--results", tmp_path / "r.jsonl")
        options = [
            "--submissions",
            tmp_path / "class",
            "--against",
            tmp_path / "r.jsonl",
        ]
        done = kata_here("regrade", *options, "--rules", tmp_path / "rules.toml")
        assert (
            done.returncode == 2
            and "were graded with a roster: give --roster" in done.stderr
        )

    def test_a_line_for_each_thing_that_fits_nobody(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text(
            "id,kata,due,extension,excused,waive_late,reason\n"
            "nobody,01,,2d,,,x\nada,99,,2d,,,x\nada,01,,two,,,x\nada,07,soon,,,,x\n"
            "ada,02,,2d,yes,,x\nada,03,,,maybe,,x\n"
            "ada,04,,,,,x\nada,05,,2d,,,\nada,06,,2d,,,x\n"
            "ada,linear_regression,,3d,,,x\n"
        )
        with pytest.raises(BrokenAccommodations) as error:
            accommodations.read(path, ["Ada (ada)"], [Person("ada", "Ada", "")])
        lines = str(error.value).splitlines()
        assert len(lines) == 9 and all(line.startswith(f"{path}:") for line in lines)
        for said, line in zip(
            (
                "nobody has the id",
                "99",
                "no length",
                "no date",
                "exactly one",
                "write yes",
                "exactly one",
                "the reason",
            ),
            lines,
            strict=False,
        ):
            assert said in line
        assert "in line 10 already" in lines[-1]

    def test_of_a_class_alone(self, tmp_path, kata_here):
        done = kata_here("grade", "01", "--accommodations", tmp_path / "a.csv")
        assert done.returncode == 2
        assert "No such option: --accommodations" in done.stderr
        done = kata_here("class", tmp_path, "01", "--canvas-column", "HW1 (999)")
        assert done.returncode == 2 and "--report canvas=FILE" in done.stderr
