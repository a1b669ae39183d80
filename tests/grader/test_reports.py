"""The renderers: each holds to the form that its reader expects, whatever the messages hold."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from grader.reports import (
    class_report,
    classroom,
    classroom50,
    csv_report,
    gradescope,
    html_report,
    json_report,
    junit,
    markdown,
    table,
)
from grader.results import ClassReport, ExerciseResult, KataResult, Report, SpecResult, as_dict

PASSED, FAILED = (
    SpecResult("TestA::test_x", "passed", "", 0.25),
    SpecResult("TestA::test_y", "failed", "no ]]> <b> & ü [red]"),
)
GPU = SpecResult("TestB::test_z", "skipped", "gpu: no CUDA device here")
UNWRITTEN = SpecResult("TestC::test_w", "failed", "c: not written yet")
KATA = KataResult(
    "16_multi_head_attention",
    (
        ExerciseResult("a", (PASSED, FAILED)),
        ExerciseResult("b", (SpecResult("TestB::test_x", "passed"), GPU), stretch=True),
        ExerciseResult("c", (UNWRITTEN,)),
    ),
    "a note",
    1.5,
)
REPORT = Report("katas", "2026-01-02T03:04:05+00:00", 2.0, True, (KATA,))


def shown(report: Report, **options) -> str:
    console = Console(record=True, width=100, file=open("/dev/null", "w"), **options)
    table.show(report, console)
    return console.export_text()


def test_points_are_all_or_nothing_and_devices_do_not_count():
    assert [exercise.points for exercise in KATA.exercises] == [0, 1, 0]
    assert (KATA.points, KATA.max_points, KATA.status, KATA.core_done) == (1, 3, "failed", False)
    only_skipped = ExerciseResult("b", (GPU,))
    assert only_skipped.points == 0


def test_a_kata_with_a_lost_spec_is_an_error():
    lost = KataResult("k", (ExerciseResult("a", (PASSED, SpecResult("TestA::test_y", "missing"))),))
    assert (lost.status, lost.points) == ("error", 0)


def test_nothing_written_is_not_started():
    assert KataResult("k", (ExerciseResult("c", (UNWRITTEN,)),)).status == "not started"


def test_json_has_the_pinned_schema():
    report = json.loads(json_report.render(REPORT))
    assert list(report) == ["schema", "code", "started", "seconds", "complete", "points", "max_points", "katas"]
    [kata] = report["katas"]
    assert list(kata) == ["kata", "status", "message", "points", "max_points", "seconds", "exercises"]
    assert kata["exercises"][1] == {
        "name": "b",
        "stretch": True,
        "points": 1,
        "max_points": 1,
        "specs": [
            {"name": "TestB::test_x", "status": "passed", "message": "", "seconds": 0.0},
            {"name": "TestB::test_z", "status": "skipped", "message": "gpu: no CUDA device here", "seconds": 0.0},
        ],
    }


def test_junit_parses_whatever_a_message_holds():
    suites = ET.fromstring(junit.render(REPORT).encode("utf-8"))
    [suite] = suites
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "5",
        "2",
        "0",
        "1",
    )
    failure = suite.find("testcase/failure")
    assert failure.text == "no ]]> <b> & ü [red]"
    assert suite.find("testcase").get("classname") == "16_multi_head_attention.a"


def test_a_pipe_gets_plain_lines():
    said = shown(REPORT)
    for line in (
        "16_multi_head_attention: failed, 1 of 3 points",
        "  a  core     0/1  1 of 2 specs pass",
        "  b  stretch  1/1  passed, 1 not run (gpu: no CUDA device here)",
        "  c  core     0/1  not written yet",
        "16_multi_head_attention: a note",
        "FAILED  16_multi_head_attention · a · y",
        "1 of 3 points · 2.0 s",
    ):
        assert line in said.splitlines(), said


def test_a_terminal_gets_a_table():
    said = shown(REPORT, force_terminal=True)
    assert "kata and exercises" in said and "16_multi_head_attention" in said and "1/3" in said
    assert max(map(len, said.splitlines())) <= 100


def test_an_interrupted_report_says_so():
    said = shown(Report("katas", "", 1.0, False, ()))
    assert "0 of 0 points" in said and "interrupted" in said
    assert json.loads(json_report.render(Report("katas", "", 1.0, False, ())))["katas"] == []


def holds_to(name: str, data: dict) -> None:
    schema = json.loads((Path(__file__).parents[1] / "schemas.json").read_text())[name]
    jsonschema.validate(data, schema, format_checker=jsonschema.FormatChecker())


HOSTILE = "\u202e</pre><script>alert(1)</script> ``` | ::error::x\n=cmd()|'&\U0001f600"
NASTY = Report(
    "katas",
    "2026-01-02T03:04:05+00:00",
    2.0,
    False,
    (
        KataResult(
            "01_sums", (ExerciseResult("double", (SpecResult("TestDouble::test_it", "error", HOSTILE),)),), HOSTILE
        ),
    ),
)
NOTHING = Report("katas", "2026-01-02T03:04:05+00:00", 0.0, False)
REPORTS = pytest.mark.parametrize("report", [REPORT, NASTY, NOTHING], ids=["a report", "a nasty one", "nothing"])


class TestPlatforms:
    """What each course platform reads, whatever the report holds, even nothing."""

    @REPORTS
    def test_classroom(self, report):
        data = json.loads(classroom.render(report))
        holds_to("classroom", data)
        assert (sum(test["score"] for test in data["tests"]), data["max_score"]) == (report.points, report.max_points)

    def test_classroom_tells_pass_fail_and_error_apart(self):
        def status(report: Report) -> str:
            return json.loads(classroom.render(report))["status"]

        right = Report("katas", "", 1.0, True, (KataResult("k", (ExerciseResult("a", (PASSED,)),)),))
        assert (status(right), status(REPORT), status(NOTHING)) == ("pass", "fail", "error")

    @REPORTS
    def test_classroom_50(self, report):
        environment = {
            "CLASSROOM": "cs50",
            "ASSIGNMENT": "torch",
            "SUBMISSION_TAG": "submit/2026-01-02",
            "COMMIT_URL": "https://c",
            "RELEASE_URL": "https://r",
            "REVIEW_URL": "https://v",
            "OWNER": "alice",
        }
        data = json.loads(classroom50.render(report, environment))
        holds_to("classroom50", data)
        assert (data["score"], data["max-score"]) == (report.points, report.max_points)
        assert (data["owner"], data["commit"], data["submission"]) == ("alice", "https://c", "submit/2026-01-02")

    @REPORTS
    def test_gradescope(self, report):
        data = json.loads(gradescope.render(report))
        holds_to("gradescope", data)
        assert data["score"] == sum(test["score"] for test in data["tests"]) == report.points

    @REPORTS
    def test_csv(self, report):
        rows = list(csv.DictReader(io.StringIO(csv_report.render(report))))
        assert sum(int(row["points"]) for row in rows) == report.points
        assert len(rows) == report.max_points
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())

    @REPORTS
    def test_markdown_folds_failures_and_lets_no_text_out(self, report):
        text = markdown.render(report)
        assert text.startswith(f"## {report.points} of {report.max_points} points")
        outside = re.sub(r"(?ms)^(`{3,})text$.*?^\1$", "", text)
        assert "<script" not in outside

    @REPORTS
    def test_html_is_one_page_that_escapes_what_it_shows(self, report):
        page = html_report.render(report)
        assert "<script" not in page and "http" not in page
        assert f"{report.points} of {report.max_points} points" in page


class TestClass:
    TWO = ClassReport("2026-01-02T03:04:05+00:00", 3.0, True, {"<b>ann": REPORT, "=bob": NASTY})

    def test_html_has_a_row_for_every_student_and_escapes_it(self):
        page = html_report.render_class(self.TWO)
        assert "&lt;b&gt;ann" in page and "<b>ann" not in page and "<script" not in page and "http" not in page
        for heading in ("Points", "Hardest exercises", "Most common failures", "Time"):
            assert f"<h2>{heading}</h2>" in page
        assert html_report.render_class(ClassReport("", 0.0, False)).count("<h2>") == 4

    def test_csv_has_a_column_a_kata(self):
        head, ann, bob = csv.reader(io.StringIO(class_report.render_csv(self.TWO)))
        assert head == ["student", "points", "max_points", "16_multi_head_attention", "01_sums"]
        assert ann == ["<b>ann", "1", "3", "1", ""] and bob == ["'=bob", "0", "1", "", "0"]

    def test_json_holds_each_students_report(self):
        data = json.loads(class_report.render_json(self.TWO))
        assert [one["student"] for one in data["students"]] == ["<b>ann", "=bob"]
        assert data["students"][0]["report"] == as_dict(REPORT)
