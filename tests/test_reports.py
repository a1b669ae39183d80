"""The renderers: the pinned JSON schema, JUnit XML that parses whatever the messages hold, and the table of people."""

import json
import xml.etree.ElementTree as ET

from rich.console import Console

from grader.reports import json_report, junit, table
from grader.results import ExerciseResult, KataResult, Report, SpecResult

PASSED, FAILED = SpecResult("TestA::test_x", "passed", "", 0.25), SpecResult("TestA::test_y", "failed", "no ]]> <b> & ü [red]")
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
        "name": "b", "stretch": True, "points": 1, "max_points": 1,
        "specs": [
            {"name": "TestB::test_x", "status": "passed", "message": "", "seconds": 0.0},
            {"name": "TestB::test_z", "status": "skipped", "message": "gpu: no CUDA device here", "seconds": 0.0},
        ],
    }  # fmt: skip


def test_junit_parses_whatever_a_message_holds():
    suites = ET.fromstring(junit.render(REPORT).encode("utf-8"))
    [suite] = suites
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("5", "2", "0", "1")
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
