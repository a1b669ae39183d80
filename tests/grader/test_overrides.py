"""Overrides: the file that a teacher writes, what is wrong in it, and what a class
comes to with it.
"""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from grader.course.catalogue import find
from grader.errors import BrokenOverrides
from grader.execution import grading
from grader.protocol import RunOptions
from grader.reports import csv_cells, unconfirmed
from grader.results import ClassReport, ExerciseResult, KataResult, Override, SpecResult
from grader.teaching import class_grading, overrides
from grader.teaching.class_grading import Graded
from grader.teaching.roster import Person
from tests.attacks import FIRST
from tests.conftest import SOUND

RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()
KATA, NAMES = find("00"), [exercise.name for exercise in find("00").exercises]
HEAD = "id,kata::exercise,points,reason\n"
PEOPLE = [Person("a1", "Ann Ames", "ann@x"), Person("102", "", "")]
STUDENTS = ["Ann Ames (a1)", "102", "who"]  # the last one is not in the roster


def written(folder: Path, text: str) -> Path:
    path = folder / "o.csv"
    path.write_text(text)
    return path


class TestTheFile:
    def test_a_line_per_exercise(self, tmp_path):
        """A kata by number or by name, ids as the roster has them, a submission that is
        nobody's by name.
        """
        lines = (
            f"a1,00::{NAMES[0]},1,right\n"
            f'a1,{KATA.name}::{NAMES[1]},0,"copied, see mail"\n'
            f"who,00::{NAMES[0]},1,x\n"
        )
        assert overrides.read(written(tmp_path, HEAD + lines), STUDENTS, PEOPLE) == {
            ("Ann Ames (a1)", KATA.name): {
                NAMES[0]: Override(1, "right"),
                NAMES[1]: Override(0, "copied, see mail"),
            },
            ("who", KATA.name): {NAMES[0]: Override(1, "x")},
        }

    def test_without_a_roster_the_name_is_the_id(self, tmp_path):
        file = written(
            tmp_path,
            f"reason;points;id;kata::exercise;seen by\nright;1;ann;00::{NAMES[0]};me\n",
        )
        assert overrides.read(file, ["ann"], []) == {
            ("ann", KATA.name): {NAMES[0]: Override(1, "right")}
        }

    @pytest.mark.parametrize("student", ["=7", "a;=1", "-x"])
    @pytest.mark.parametrize(
        "people", [[], [Person("=7", "", ""), Person("-x", "", "")]]
    )
    def test_the_lines_that_the_grader_gives_are_read(self, tmp_path, student, people):
        """An id that looks like a formula has a mark in these lines."""
        report = ClassReport("", 1.0, True, {})
        given = unconfirmed.decisions(report, student, [f"00::{NAMES[0]}"], "state")
        assert given[0].startswith(csv_cells.render([[student]]).rstrip("\n"))
        file = written(tmp_path, HEAD + given[0])
        assert list(overrides.read(file, [student], people)) == [(student, KATA.name)]

    def test_no_line_is_no_override(self, tmp_path):
        assert overrides.read(written(tmp_path, HEAD + ",,,\n"), STUDENTS, PEOPLE) == {}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", ":1: the header has no column id, kata::exercise, points, reason"),
            (
                "a1,00::x,1,y\n",
                (
                    ":1: the header has no column id, kata::exercise, points, reason: "
                    "it needs id, "
                ),
            ),
            (HEAD + "a1,00::F,1\n", ":2: no cell for reason"),
            (HEAD + "a1,00::F,1,\n", ":2: the reason is empty: say why"),
            (
                HEAD + "\na1,00::F,2,x\n",
                ":3: points are '2': write 1 for the point, or 0 for none",
            ),
            (HEAD + "a1,00::F,,x\n", ":2: points are ''"),
            (
                HEAD + "a1,00::F,1,looked at it, fine\n",
                ":2: 'fine' is after the last column: put a reason with commas",
            ),
            (
                HEAD + "bob,00::F,1,x\n",
                ":2: nobody has the id 'bob': write an id of the roster",
            ),
            (HEAD + ",00::F,1,x\n", ":2: nobody has the id ''"),
            (
                HEAD + "Ann Ames (a1),00::F,1,x\n",
                ":2: nobody has the id 'Ann Ames (a1)'",
            ),
            (
                HEAD + "a1,00,1,x\na1,00::F,0,y\n",
                f":3: {KATA.name}::{NAMES[0]} of a1 is in line 2 already",
            ),
            (
                HEAD + "a1,77::F,1,x\n",
                ":2: '77' matches nothing in katas/: the nearest are ",
            ),
            (
                HEAD + "a1,00::no,1,x\n",
                f":2: {KATA.name} has no exercise 'no': it has {NAMES[0]}",
            ),
            (
                HEAD + "a1,00::F,1,x\na1,00::F,0,y\n",
                f":3: {KATA.name}::{NAMES[0]} of a1 is in line 2 already",
            ),
            (
                HEAD + "A1,00::F,1,x\n",
                ":2: nobody has the id 'A1': write an id of the roster",
            ),
            (HEAD + "a1,00::F,1,x\0\n", ": is not text"),
        ],
    )
    def test_what_is_wrong_has_its_line_and_what_to_do(self, tmp_path, text, said):
        with pytest.raises(BrokenOverrides) as failure:
            overrides.read(
                written(tmp_path, text.replace("::F", f"::{NAMES[0]}")),
                STUDENTS,
                PEOPLE,
            )
        assert f"o.csv{said}" in str(failure.value) and "\n" not in str(failure.value)

    def test_without_a_roster_an_id_is_a_submission(self, tmp_path):
        with pytest.raises(
            BrokenOverrides,
            match=r":2: nobody has the id 'bob': write the name of a submission",
        ):
            overrides.read(
                written(tmp_path, HEAD + f"bob,00::{NAMES[0]},1,x\n"), ["ann"], []
            )

    def test_no_file(self, tmp_path):
        with pytest.raises(BrokenOverrides, match=r"none.csv: No such file"):
            overrides.read(tmp_path / "none.csv", [], [])


def graded(*seals: str) -> KataResult:
    """A result of kata 00, with an exercise per seal. One that the second lock refuses
    works in the first one.
    """
    failed = SpecResult(
        "TestX::test_it",
        "failed",
        "passes beside the specs, and fails …\n\nIt holds.",
        line=3,
    )
    specs = {"passed": replace(failed, status="passed", said=""), "failed": failed}
    found = [
        ExerciseResult(name, (specs[seal],), sealed=seal)
        for name, seal in zip(NAMES, seals, strict=True)
    ]
    return KataResult(KATA.name, tuple(found), code="".join(seals))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
@pytest.mark.parametrize(
    ("code", "open_points", "points"),
    [
        (
            (SOUND / "katas/01_sums/sums.py").read_text() + FIRST,
            ["double", "total", "Doubler"],
            0,
        ),
        (
            RIGHT.replace(
                "    return x.sum", "    import grader.specs\n\n    return x.sum"
            ),
            ["total"],
            2,
        ),
    ],
    ids=["a forgery", "right code that asks for the course's own package"],
)
def test_what_the_second_lock_refuses_is_unconfirmed(
    sound, submission, code, open_points, points
):
    folder = submission(sound[0], code)
    [result] = grading.grade_folder(sound[:1], folder, options=RunOptions(sealed=True))
    assert (result.state, result.so_far.points) == ("unconfirmed", points)
    assert [exercise.name for exercise in result.to_settle] == open_points
    total = result.exercises[1]
    assert total.first_lock == 2 and unconfirmed.second_lock(total).startswith(
        "one dimension is summed [0]: failed"
    )
    decided = overrides.applied(
        result, {name: Override(1, "right") for name in open_points}
    )
    assert (decided.state, decided.so_far.points, decided.so_far.stars) == (
        "works",
        3,
        3,
    )


class TestAClass:
    """Ann is right. Eve has forged everything. The second lock refuses one right
    exercise of Uma's.
    """

    @pytest.fixture
    def results(self, monkeypatch) -> dict[str, KataResult]:
        n = len(NAMES)
        rest = ("passed",) * (n - 1)
        found = {
            "ann": graded("passed", *rest),
            "eve": graded(*["failed"] * n),
            "uma": graded("failed", *rest),
        }
        monkeypatch.setattr(
            class_grading,
            "grade_class",
            lambda *_, **__: (
                Graded(name, "newest", one) for name, one in found.items()
            ),
        )
        return found

    @pytest.fixture
    def course(self, tmp_path, results) -> Path:
        for student in results:
            (tmp_path / "class" / student).mkdir(parents=True)
        return tmp_path / "class"

    def decide(self, folder: Path, *lines: str) -> list:
        return [
            "--overrides",
            written(folder, HEAD + "".join(f"{line}\n" for line in lines)),
        ]

    def test_unconfirmed_points_are_named_first_and_wait_for_the_teacher(
        self, course, tmp_path, kata_here
    ):
        reports = [
            f"--report={name}={tmp_path / name}"
            for name in ("moodle", "canvas", "html")
        ]
        done = kata_here("class", course, "00", *reports)
        n = len(NAMES)
        list_, totals = done.stdout.split("\nann: ")
        assert (
            f"unconfirmed: {n + 1} points of 2 students, which only the first "
            "lock gives\neve\n"
        ) in list_
        assert (
            "--overrides FILE" in list_
            and f"\n  uma,{KATA.name}::{NAMES[0]},,\n" in list_
        )
        assert f"eve: unconfirmed, so far 0 of {n} points" in totals
        assert done.returncode == 2
        assert done.stderr == (
            f"kata: unconfirmed: {n + 1} points of 2 of 3 students: settle each "
            "with a line of --overrides FILE\n"
        )
        assert [
            row["identifier"] for row in csv.DictReader(open(tmp_path / "moodle"))
        ] == ["ann"]
        assert (
            "eve" not in (tmp_path / "canvas").read_text()
            and "uma" not in (tmp_path / "canvas").read_text()
        )

    def test_overrides_settle_them(self, course, tmp_path, kata_here):
        forged = [f"eve,00::{name},0,forged" for name in NAMES]
        decided = self.decide(
            tmp_path,
            f"uma,00::{NAMES[0]},1,right",
            *forged,
            f"ann,00::{NAMES[1]},0,copied",
        )
        pages = ["--feedback", tmp_path / "pages"]
        done = kata_here(
            "class", course, "00", *decided, *pages, "--report", f"moodle={tmp_path}/m"
        )
        n = len(NAMES)
        assert (done.returncode, done.stderr) == (0, "")
        assert (
            f"uma: {n} of {n} points · {n} of {n} stars · {n - 1} sealed, 1 by "
            "override\n"
        ) in done.stdout
        assert (
            f"  {KATA.name} · {NAMES[0]}: 1 point by override: right\n" in done.stdout
        )
        grades = {
            row["identifier"]: row for row in csv.DictReader(open(tmp_path / "m"))
        }
        assert [grades[name]["grade"] for name in ("ann", "eve", "uma")] == [
            str(n - 1),
            "0",
            str(n),
        ]
        assert grades["ann"]["feedback"].endswith(
            f"{NAMES[1]}: no point by override: copied"
        )
        assert "1 point by override: right" in (tmp_path / "pages/uma.html").read_text()

    def test_a_regrade_never_loses_them(self, course, results, tmp_path, kata_here):
        lines = tmp_path / "r.jsonl"
        first = self.decide(tmp_path, f"uma,00::{NAMES[0]},1,right")
        assert (
            kata_here("class", course, "00", *first, "--results", lines).returncode == 2
        ), "eve's are open"
        results["uma"] = replace(results["uma"], code="changed")
        again = ["regrade", "--submissions", course, "--against", lines]
        for more in ([], ["--never-lower"]):
            done = kata_here(*again, *more)
            kept = (
                f"uma: {KATA.name} · {NAMES[0]}: 1 point by override: right (the code "
                "has changed since the earlier"
            )
            assert (
                kept in done.stdout
                and "the scores of 0 of 3 students change\n" in done.stdout
            )
            assert (done.returncode, "\neve\n" in done.stdout) == (2, True)
        later = self.decide(
            tmp_path, f"uma,00::{NAMES[0]},0,copied", f"eve,00::{NAMES[0]},1,seen"
        )
        done = kata_here(*again, *later)
        assert (
            "uma: -1\n"
            f"  {KATA.name} · {NAMES[0]}: 1 → 0  (no point by override: copied)\n"
        ) in done.stdout
        assert f"{NAMES[0]}: ? → 1  (1 point by override: seen)\n" in done.stdout
        broken = json.loads(lines.read_text().splitlines()[0])
        broken["exercises"][0]["override"] = {"points": 1}
        lines.write_text(json.dumps(broken) + "\n")
        assert "r.jsonl:1: holds no result" in kata_here(*again).stderr

    def test_a_regrade_says_which_points_have_become_unconfirmed(
        self, course, results, tmp_path, kata_here
    ):
        """The earlier grading had one lock."""
        lines, locks = tmp_path / "r.jsonl", dict(results)
        results["uma"] = graded(*["passed"] * len(NAMES))
        assert kata_here("class", course, "00", "--results", lines).returncode == 2
        results["uma"] = locks["uma"]
        done = kata_here(
            "regrade",
            "--submissions",
            course,
            "--against",
            lines,
            "--report",
            f"csv={tmp_path}/c.csv",
        )
        assert (
            "uma: +0\n"
            f"  {KATA.name} · {NAMES[0]}: 1 → ?  (unconfirmed: works beside the specs"
        ) in done.stdout
        assert [row["points"] for row in csv.DictReader(open(tmp_path / "c.csv"))] == [
            str(len(NAMES)),
            "",
            "",
        ]
        done = kata_here(
            "regrade", "--submissions", course, "--against", lines, "--never-lower"
        )
        assert (
            "\numa\n" not in done.stdout
            and "the scores of 0 of 3 students change" in done.stdout
        )

    def test_a_mistake_in_the_file_is_found_before_anything_is_graded(
        self, course, tmp_path, kata_here
    ):
        (tmp_path / "r.jsonl").write_text("earlier results")
        decided = self.decide(tmp_path, f"zoe,00::{NAMES[0]},1,x")
        done = kata_here(
            "class", course, "00", *decided, "--results", tmp_path / "r.jsonl"
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert (
            "o.csv:2: nobody has the id 'zoe'" in done.stderr
            and done.stderr.count("\n") == 1
        )
        assert (tmp_path / "r.jsonl").read_text() == "earlier results"

    def test_one_for_another_kata_is_not_used(self, course, tmp_path, kata_here):
        other = find("01")
        done = kata_here(
            "class",
            course,
            "00",
            *self.decide(tmp_path, f"ann,01::{other.exercises[0].name},1,x"),
        )
        assert (
            "1 override not used: this grading leaves the exercise out\n" in done.stdout
        )

    def test_it_belongs_to_a_class(self, tmp_path, kata_here):
        decided = self.decide(tmp_path)
        assert (
            "No such option: --overrides" in kata_here("grade", "00", *decided).stderr
        )
