"""The worth of katas, exercises and edges: the file that sets it, the scores in
reports, and exports.
"""

import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grader.course.catalogue import find
from grader.errors import BrokenRules
from grader.reports import classroom50, explanation, gradescope, students_view, words
from grader.results import ExerciseResult, KataResult, Report, SpecResult
from grader.teaching import export, rules
from grader.teaching.lateness import Late
from grader.teaching.platform_files import Place
from grader.teaching.rules import Rules

pytestmark = pytest.mark.usefixtures("warm_workers")
ONE, FIFTEEN, SIXTEEN = find("01"), find("15"), find("16")
NAMES = [exercise.name for exercise in SIXTEEN.exercises]
FIRST = NAMES[0]
LATE = "[late]\nzone = 'Europe/Berlin'\nper_day = 10\n"


def result(*statuses: str) -> KataResult:
    """Exercises e0, e1, … of one idea each: passed, failed, or `open`, which works with
    an open edge.
    """
    idea, edge = (
        SpecResult("TestX::test_y", "passed"),
        SpecResult("TestX::test_edge", "failed", edge=True),
    )
    specs = {
        "passed": (idea,),
        "open": (idea, edge),
        "failed": (SpecResult("TestX::test_y", "failed"),),
    }
    exercises = [
        ExerciseResult(f"e{number}", specs[status])
        for number, status in enumerate(statuses)
    ]
    return KataResult("16_x", tuple(exercises))


def applied(course: Rules, found: KataResult) -> KataResult:
    return course.applied(found, [exercise.name for exercise in found.exercises])


def written(folder: Path, text: str) -> Path:
    (folder / "g.toml").write_text(text)
    return folder / "g.toml"


class TestWorth:
    def test_without_rules_an_exercise_is_worth_a_point(self):
        found = applied(Rules(), result("passed", "failed", "open"))
        assert found == result("passed", "failed", "open") and not Rules()
        assert [exercise.score for exercise in found.exercises] == [1, 0, 1]

    def test_a_kata_is_shared_equally_without_rounding(self, tmp_path):
        course = rules.read(written(tmp_path, "[katas]\n16 = 20"))
        assert course.worth(SIXTEEN.name, "abcdefgh") == dict.fromkeys("abcdefgh", 2.5)
        assert course.worth(SIXTEEN.name, "abc") == pytest.approx(
            dict.fromkeys("abc", 20 / 3)
        )

    def test_an_exercise_may_have_points_of_its_own(self, tmp_path):
        course = rules.read(
            written(tmp_path, f'[katas]\n16 = 18\n[exercises]\n"16::{FIRST}" = 4')
        )
        assert course.worth(SIXTEEN.name, [FIRST, *"abcdefg"]) == {
            FIRST: 4,
            **dict.fromkeys("abcdefg", 2),
        }

    def test_without_points_for_the_kata_the_others_keep_theirs(self, tmp_path):
        course = rules.read(
            written(tmp_path, f'[exercises]\n"multi_head::{FIRST}" = 4')
        )
        assert course.worth(SIXTEEN.name, NAMES) == {
            **dict.fromkeys(NAMES, 1),
            FIRST: 4,
        }
        assert course.worth(ONE.name, ["describe"]) == {"describe": 1}

    def test_a_star_brings_its_part_of_an_exercise(self, tmp_path):
        course = rules.read(written(tmp_path, "edges = 20"))
        found = applied(course, result("passed", "failed", "open"))
        assert [exercise.score for exercise in found.exercises] == pytest.approx(
            [1, 0, 0.8]
        )
        assert (found.so_far.points, found.so_far.stars, found.max_score) == (2, 1, 3)

    def test_of_a_kata_that_is_graded_in_part_each_exercise_keeps_its_worth(self):
        course = Rules(katas={"16_x": 20.0})
        assert (
            course.applied(result("passed"), ["e0", "e1", "e2", "e3"]).so_far.score == 5
        )

    def test_a_kata_worth_nothing_can_be_passed_and_failed(self):
        course = Rules(katas={"16_x": 0.0})
        assert applied(course, result("passed", "open")).state == "works"
        assert applied(course, result("passed", "failed")).state == "wrong"
        assert applied(course, result("passed", "failed")).max_score == 0

    def test_every_report_counts_with_them(self):
        found = applied(
            Rules(edges=20, katas={"16_x": 20.0}), result("passed", "failed", "open")
        )
        assert (found.so_far.score, found.max_score, found.state) == (
            pytest.approx(12),
            20,
            "wrong",
        )
        report = Report(
            "x", "2026-01-02T03:04:05+00:00", 1.0, True, (found,), weighted=True
        )
        tests = json.loads(gradescope.render(report))["tests"]
        assert [(test["score"], test["max_score"]) for test in tests] == [
            (6.67, 6.67),
            (0, 6.66),
            (5.33, 6.67),
        ]
        whole = json.loads(classroom50.render(students_view.of(report)))
        assert [(test["score"], test["max-score"]) for test in whole["tests"]] == [
            (7, 7),
            (0, 6),
            (5, 7),
        ]
        assert (whole["score"], whole["max-score"]) == (12, 20)


class TestTheFile:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("edges = ", "at end of document"),
            (
                "16 = 20",
                (
                    "unknown key: 16 (edges = 20, or tables [katas], [exercises], "
                    "[late] and [gradescope])"
                ),
            ),
            ("edge = 20", "unknown key: edge"),
            ("edges = '20'", "edges = '20': must be a number, 0 or more"),
            ("edges = -1", "edges = -1: must be a number"),
            ("edges = 101", "edges = 101: a percentage, at most 100"),
            ("katas = 20", "katas must be a table: [katas], then one line per entry"),
            ("[[exercises]]\nx = 1", "exercises must be a table"),
            ("[katas]\n16 = -1", "16 = -1: must be a number"),
            ("[katas]\n16 = true", "16 = True: must be a number"),
            ("[katas]\n16 = nan", "16 = nan: must be a number"),
            ("[katas]\n16 = inf", "16 = inf: must be a number"),
            ("[katas]\n16.x = 1", "16 = {'x': 1}: must be a number"),
            ("late = 1", "late must be a table: [late], then lines"),
            (
                "[late]\ngrace = '1m'",
                '[late] has no zone and no per_day, such as zone = "Europe/Berlin"',
            ),
            (f"{LATE}days = 1", "[late] has an unknown key: days"),
            (
                "[late]\nper_day = 10\nzone = 'Mars/Base'",
                "zone = 'Mars/Base': no time zone of this name",
            ),
            (
                "[late]\nper_day = 10\nzone = '../x'",
                "zone = '../x': no time zone of this name",
            ),
            (
                "[late]\nper_day = 101\nzone = 'UTC'",
                "per_day = 101: must be a percentage, from 0 to 100",
            ),
            (
                f"{LATE}due = 18:00:00",
                "due = '18:00:00' is no date: write 2026-12-01 or 2026-12-01T18:00",
            ),
            (f"{LATE}due = '2026-W49'", "due = '2026-W49' is no date"),
            (
                f"{LATE}late = 'first'",
                "late = 'first': must be one of best, newest, on_time",
            ),
            (
                f"{LATE}katas = 1",
                "katas must be a table: [late.katas], then one line per kata",
            ),
            (f"{LATE}[late.katas]\n99 = 2026-12-01", "'99' matches nothing in katas/"),
            (f"{LATE}[late.katas]\n16 = 2026", "16 = '2026' is no date"),
            (
                f"{LATE}[late.katas]\n16 = 2026-12-01\nmulti_head = 2026-12-02",
                "[late.katas] has 16_multi_head_attention twice",
            ),
            (f"{LATE}grace = 15", "grace = 15: write 15m, 36h or 2d"),
            (
                f"{LATE}grace = '15 min'",
                "'15 min' is no length of time: write 15m, 36h or 2d",
            ),
            (
                "gradescope = 1",
                "gradescope must be a table: [gradescope], then details",
            ),
            (
                "[gradescope]\ndetail = 1",
                "[gradescope] has an unknown key: detail (it has only details)",
            ),
            (
                "[gradescope]\ndetails = 'never'",
                "details = 'never': must be one of visible, after_due_date, after_",
            ),
            ("[gradescope]\ndetails = [1]", "details = [1]: must be one of visible"),
            ("[katas]\n99 = 1", "'99' matches nothing in katas/"),
            (
                "[katas]\n16 = 1\nmulti_head = 2",
                "16_multi_head_attention is there twice",
            ),
            ("[katas]\n16 = 1\n16 = 2", "Cannot overwrite a value"),
            (
                '[exercises]\n"16::nothing" = 1',
                "16_multi_head_attention has no exercise 'nothing'",
            ),
            ("[exercises]\n16 = 1", "16_multi_head_attention has no exercise ''"),
            (f'[exercises]\n"99::{FIRST}" = 1', "'99' matches nothing in katas/"),
            (
                f'[exercises]\n"16::{FIRST}" = 1\n"multi_head::{FIRST}" = 2',
                f"16_multi_head_attention::{FIRST} is there twice",
            ),
            (
                f'[katas]\n16 = 1\n[exercises]\n"16::{FIRST}" = 2',
                "is worth 1, but its exercises 2",
            ),
            (
                "[katas]\n16 = 20\n[exercises]\n"
                + "".join(f'"16::{name}" = 1\n' for name in NAMES),
                f"is worth 20, but its exercises {len(NAMES)}",
            ),
        ],
    )
    def test_one_that_cannot_be_used_is_one_line(self, tmp_path, text, said):
        with pytest.raises(BrokenRules) as failure:
            rules.read(written(tmp_path, text))
        assert (
            said in str(failure.value)
            and "g.toml" in str(failure.value)
            and "\n" not in str(failure.value)
        )

    def test_bytes_that_are_no_text(self, tmp_path):
        (tmp_path / "g.toml").write_bytes(b"edges = \xff")
        with pytest.raises(BrokenRules, match="g.toml: .*can't decode"):
            rules.read(tmp_path / "g.toml")

    def test_beside_katas_it_is_taken_by_itself(self, tmp_path):
        assert rules.of_course(None, tmp_path) == Rules()
        (tmp_path / "grading.toml").write_text("edges = 10")
        assert rules.of_course(None, tmp_path) == Rules(edges=10)
        assert rules.of_course(written(tmp_path, "edges = 20"), tmp_path) == Rules(
            edges=20
        )

    def test_weights_of_old_say_what_to_do(self, tmp_path):
        (tmp_path / "weights.toml").write_text("16 = 20\n")
        with pytest.raises(BrokenRules) as failure:
            rules.of_course(None, tmp_path)
        todo = "rename it to grading.toml and put the line [katas] above its lines"
        assert (
            str(failure.value) == f"{tmp_path}/weights.toml is no longer read: {todo}"
        )
        (tmp_path / "grading.toml").write_text(
            "[katas]\n" + (tmp_path / "weights.toml").read_text()
        )
        assert rules.of_course(None, tmp_path) == Rules(katas={SIXTEEN.name: 20})

    def test_written_and_read_it_is_the_same(self, tmp_path):
        course = Rules(
            12.5, {SIXTEEN.name: 20.0, ONE.name: 2.5}, {(SIXTEEN.name, FIRST): 4.0}
        )
        assert (
            rules.read(written(tmp_path, rules.text(course, [ONE, SIXTEEN]))) == course
        )
        dates = "[late.katas]\n01 = 2026-11-24\n16 = 2026-12-08T12:00:00"
        how = "due = 2026-12-01T23:59:00\nat_most = 50\ngrace = '1.5h'\nlate = 'newest'"
        late = rules.read(written(tmp_path, f"{LATE}{how}\n{dates}"))
        shown = rules.read(
            written(tmp_path, '[gradescope]\ndetails = "after_due_date"')
        )
        assert (shown.details, bool(shown)) == ("after_due_date", False), (
            "no score changes"
        )
        assert rules.read(written(tmp_path, rules.text(shown, [ONE]))) == shown
        assert rules.read(written(tmp_path, rules.text(late, [ONE, SIXTEEN]))) == late
        assert rules.read(
            written(tmp_path, rules.text(late, [ONE]))
        ).late.katas.keys() == {ONE.name}
        assert (
            rules.text(course, [ONE])
            == f'edges = 12.5\n\n[katas]\n"{ONE.name}" = 2.5\n'
        )
        assert rules.text(Rules(), [ONE]) == ""


class TestLate:
    DUE = datetime(2026, 12, 1, 23, 59)

    def penalty(self, *handed_in: int, due: datetime | None = DUE, **how) -> float:
        late = Late("Europe/Berlin", 10, 25, due, timedelta(minutes=15))
        return late.timing(datetime(2026, 12, *handed_in), **how).penalty / 100

    @pytest.mark.parametrize(
        ("handed_in", "lost"),
        [
            ((1, 23, 59), 0),
            ((2, 0, 14), 0),
            ((2, 0, 15), 0.1),
            ((2, 23, 59), 0.1),
            ((3, 0, 0), 0.2),
            ((9, 0, 0), 0.25),
        ],
    )
    def test_each_day_begun_costs_up_to_a_limit(self, handed_in, lost):
        assert self.penalty(*handed_in) == lost

    def test_the_rosters_date_and_extension_change_it(self):
        assert self.penalty(3, 0, 0, due=None) == 0
        assert self.penalty(3, 0, 0, extension=timedelta(days=2)) == 0
        assert self.penalty(1, 12, 0, due=None) == 0
        late = Late("Europe/Berlin", 10, due=self.DUE)
        assert (
            late.timing(datetime(2026, 12, 1, 12), datetime(2026, 11, 30, 12)).penalty
            / 100
            == 0.1
        )

    def test_zones(self):
        late = Late("Europe/Berlin", 10, due=self.DUE)
        assert late.timing(datetime(2026, 12, 1, 22, 58, tzinfo=UTC)).penalty / 100 == 0
        assert (
            late.timing(datetime(2026, 12, 1, 23, 58, tzinfo=UTC)).penalty / 100 == 0.1
        )

    def test_a_day_in_which_clocks_change_ends_at_the_same_hour(self):
        late = Late("Europe/Berlin", 10, due=datetime(2026, 10, 24, 12))
        assert late.timing(datetime(2026, 10, 25, 12)).penalty / 100 == 0.1
        assert late.timing(datetime(2026, 10, 25, 12, 1)).penalty / 100 == 0.2

    def test_the_score_is_less_and_points_are_not(self):
        found = Rules(edges=20, katas={"16_x": 20.0}).applied(
            result("passed", "open"), ["e0", "e1"], penalty=0.25
        )
        assert (
            found.so_far.points,
            found.so_far.stars,
            found.so_far.score,
            found.max_score,
        ) == (
            2,
            1,
            pytest.approx(13.5),
            20,
        )
        report = Report(
            "x", "2026-01-02T03:04:05+00:00", 1.0, True, (found,), weighted=True
        )
        assert (
            words.totals(report)
            == "2 of 2 points · 1 of 2 stars · score 13.5 of 20 · late: 25 % less"
        )
        assert explanation.lines(report) == [
            "       worth  point  star  late  score",
            "16_x      20     16     2  -4.5   13.5",
            "  e0      10      8     2  -2.5    7.5",
            "  e1      10      8     0    -2      6",
            "total     20     16     2  -4.5   13.5",
        ]


class TestTheCommand:
    def test_it_takes_such_a_file(self, tmp_path, kata_here):
        file = written(tmp_path, "[katas]\n15 = 40\n")
        options = [
            "--code",
            "solutions",
            "--rules",
            file,
            "--report",
            f"json={tmp_path}/r.json",
        ]
        done = kata_here("grade", "14", "15", *options)
        first, second = len(find("14").exercises), len(FIFTEEN.exercises)
        assert f"{first + second} of {first + second} points" in done.stdout, (
            done.stderr
        )
        assert f"· score {first + 40} of {first + 40} ·" in done.stdout
        graded = json.loads((tmp_path / "r.json").read_text())["katas"]
        assert [k["points"] for k in graded] == [first, second]
        assert [(k["score"], k["max_score"]) for k in graded] == [
            (first, first),
            (40, 40),
        ]
        done = kata_here("grade", "16", "--rules", tmp_path / "none.toml")
        assert (
            done.returncode == 2
            and done.stderr
            == f"kata: {tmp_path}/none.toml: No such file or directory\n"
        )

    def test_fail_under_uses_the_score(self, tmp_path, kata_here):
        """Of 15 only the first exercise works: one point, but half of the score."""
        first, *others = FIFTEEN.exercises
        unwritten = [
            f"\n\ndef {e.owner}(*_, **__):\n    raise NotImplementedError\n"
            for e in others
        ]
        target = tmp_path / "code" / FIFTEEN.file
        target.parent.mkdir(parents=True)
        target.write_text(FIFTEEN.reference.read_text() + "".join(unwritten))
        file = written(
            tmp_path, f'[katas]\n15 = 20\n[exercises]\n"15::{first.name}" = 10'
        )
        grade = ["grade", "15", "--code", tmp_path / "code"]
        done = kata_here(*grade, "--rules", file, "--fail-under", "50")
        assert (
            f"1 of {len(others) + 1} points" in done.stdout
            and "score 10 of 20" in done.stdout
        ), done.stdout
        assert done.returncode == 0
        assert (
            kata_here(*grade, "--rules", file, "--fail-under", "50.1").returncode == 1
        )
        assert kata_here(*grade, "--fail-under", "50").returncode == 1

    def test_a_class_counts_with_them_too(self, tmp_path, kata_here):
        target = tmp_path / "class" / "ada" / FIFTEEN.file
        target.parent.mkdir(parents=True)
        target.write_text(FIFTEEN.reference.read_text())
        file = written(tmp_path, "[katas]\n15 = 80\n")
        options = ["--rules", file, "--report", f"csv={tmp_path}/c.csv"]
        done = kata_here("class", tmp_path / "class", "15", *options)
        points = len(FIFTEEN.exercises)
        said = (
            f"ada: {points} of {points} points · {points} of {points} stars · score "
            "80 of 80"
        )
        assert said in done.stdout, done.stdout + done.stderr
        assert (
            f"ada,{points},{points},{points},80,80,80"
            in (tmp_path / "c.csv").read_text()
        )


COURSE = Place("acme/course", "0123abc")


class TestExported:
    def test_it_keeps_them(self, tmp_path):
        course = Rules(katas={ONE.name: 20.0})
        export.starter(tmp_path / "s", [ONE], COURSE, course)
        (tmp_path / "t").mkdir()
        (tmp_path / "t" / ".kata-starter").touch()
        (tmp_path / "t" / "weights.toml").write_text("01 = 10")  # of an older export
        export.teacher(tmp_path / "t", [ONE], course)
        for folder in ("s", "t"):
            assert tomllib.loads((tmp_path / folder / "grading.toml").read_text()) == {
                "katas": {ONE.name: 20}
            }
            assert not (tmp_path / folder / "weights.toml").exists()
        export.starter(tmp_path / "s", [ONE], COURSE, Rules())
        assert not (tmp_path / "s" / "grading.toml").exists()
