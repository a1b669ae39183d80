"""The renderers: each holds to the form that its reader expects, whatever the
messages hold.
"""

import base64
import csv
import hashlib
import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from grader.course import syntax
from grader.course.catalogue import ROOT
from grader.failure import Cause, Failure, not_handed_in, unwritten, waiting
from grader.reports import (
    class_page,
    class_report,
    classroom50,
    csv_cells,
    gradebooks,
    gradescope,
    json_report,
    junit,
    statistics,
    students_view,
    table,
    unconfirmed,
    words,
)
from grader.reports.json_report import as_dict, kata_as_dict
from grader.reports.page import TEMPLATES
from grader.results import (
    STATE_OF,
    ClassReport,
    Decided,
    ExerciseResult,
    Identity,
    KataResult,
    OfFile,
    Override,
    Reason,
    Report,
    SpecResult,
    State,
    Status,
    Timing,
    Undecided,
    kata_result,
    rounded,
)
from grader.teaching import report_files
from grader.teaching.rules import Rules

PASSED, FAILED = (
    SpecResult("TestA::test_x", "passed", "", 0.25),
    SpecResult("TestA::test_y", "failed", "no ]]> <b> & ü [red]"),
)
GPU = SpecResult("TestB::test_z", "skipped", "gpu: no CUDA device here")
SECRETS = Failure(
    "mismatch",
    "secret line",
    reason="secret story",
    rows=(("got", "secret"),),
    place="secret.py:3",
)
UNPARSED = Failure("unparsed", "x.py: is a link")
UNWRITTEN = SpecResult("TestC::test_w", "failed", failure=unwritten("c"))
EDGE = SpecResult(
    "TestD::test_no_dimension_is_an_error",
    "failed",
    "raised nothing\nmore",
    edge=True,
    line=7,
)
HELD = SpecResult("TestD::test_works_on_a_view", "passed", edge=True)
KATA = KataResult(
    "16_multi_head_attention",
    (
        ExerciseResult("a", (PASSED, FAILED)),
        ExerciseResult("b", (SpecResult("TestB::test_x", "passed"), GPU), stretch=True),
        ExerciseResult("c", (UNWRITTEN,)),
        ExerciseResult("d", (SpecResult("TestD::test_x", "passed"), EDGE, HELD)),
    ),
    "a note",
    1.5,
)
REPORT = Report("katas", "2026-01-02T03:04:05+00:00", 2.0, True, (KATA,))
# As a course counts it: 10 points, a fifth of them for edges.
RULES = Rules(edges=20, katas={KATA.kata: 10})
WEIGHTED = replace(
    REPORT, katas=(RULES.applied(KATA, ["a", "b", "c", "d"]),), weighted=True
)


def shown(report: Report, **options) -> str:
    console = Console(record=True, width=100, file=open("/dev/null", "w"), **options)
    table.show(report, console)
    return console.export_text()


def test_points_are_all_or_nothing_and_devices_do_not_count():
    assert [e.so_far.point for e in KATA.exercises] == [0, 1, 0, 1]
    assert (KATA.so_far.points, KATA.max_points, KATA.state, KATA.core_works) == (
        2,
        4,
        "wrong",
        False,
    )
    only_skipped = ExerciseResult("b", (GPU,))
    assert only_skipped.outcome == Decided(False, False)


def test_a_star_needs_the_point_and_every_edge():
    assert [e.so_far.star for e in KATA.exercises] == [0, 1, 0, 0]
    assert (KATA.so_far.stars, KATA.exercises[3].open_edges) == (1, (EDGE,))
    idea = SpecResult("TestD::test_x", "passed")
    assert ExerciseResult("d", (idea, HELD)).so_far.star
    failed = replace(idea, status="failed")
    assert not ExerciseResult("d", (failed, HELD)).so_far.star
    alone = ExerciseResult("d", (HELD,))
    assert not alone.so_far.point, "an edge alone shows no idea"


def test_an_edge_that_breaks_the_worker_costs_only_the_star():
    kata = KataResult(
        "k", (ExerciseResult("d", (PASSED, replace(EDGE, status="error"))),)
    )
    assert (kata.state, kata.so_far.points, kata.so_far.stars) == ("works", 1, 0)


@pytest.mark.parametrize(
    ("worth", "digits", "expected"),
    [
        ([2.5] * 4, 2, [2.5] * 4),
        ([20 / 3] * 3, 2, [6.67, 6.66, 6.67]),
        ([2.5] * 4, 0, [2, 3, 3, 2]),
        ([1.0] * 3, 2, [1, 1, 1]),
        ([0.8] * 5, 0, [1, 1, 0, 1, 1]),
        ([], 2, []),
    ],
)
def test_rounded_numbers_sum_to_the_rounded_sum(worth, digits, expected):
    assert rounded(worth, digits) == expected
    assert round(sum(rounded(worth, digits)), 6) == round(sum(worth), digits)


def test_a_kata_with_a_lost_spec_is_an_error():
    lost = KataResult(
        "k", (ExerciseResult("a", (PASSED, SpecResult("TestA::test_y", "missing"))),)
    )
    assert (lost.state, lost.so_far.points) == ("crashed", 0)


def test_nothing_written_is_not_started():
    assert KataResult("k", (ExerciseResult("c", (UNWRITTEN,)),)).state == "untouched"


def test_json_has_the_pinned_schema():
    report = json.loads(json_report.render(REPORT))
    sums = ["points", "max_points", "stars", "max_stars", "score", "max_score"]
    assert list(report) == [
        "schema",
        "code",
        "started",
        "seconds",
        "complete",
        *sums,
        "sealed",
        "katas",
    ]
    assert report["schema"] == "kata-report/3"
    holds_to("report", report)
    [kata] = report["katas"]
    assert list(kata) == [
        "kata",
        "status",
        "state",
        "code",
        "timing",
        "excused",
        "message",
        "file",
        "lost",
        "counts",
        *sums,
        "seconds",
        "exercises",
    ]
    assert [kata[name] for name in sums] == [2, 4, 1, 4, 2.0, 4.0]
    [weighted] = json.loads(json_report.render(WEIGHTED))["katas"]
    assert [weighted[name] for name in sums] == [2, 4, 1, 4, 4.5, 10.0]
    assert weighted["exercises"][3] == {
        "name": "d",
        "points": 1,
        "max_points": 1,
        "star": 0,
        "score": 2.0,
        "max_score": 2.5,
        "stretch": False,
        "sealed": None,
        "but_for": "",
        "override": None,
        "specs": [
            {
                "name": name,
                "status": status,
                "message": message,
                "seconds": 0.0,
                "edge": edge,
                "line": line,
                "printed": "",
                "hidden": False,
                "failure": None,
            }
            for name, status, message, edge, line in [
                ("TestD::test_x", "passed", "", False, 0),
                (
                    "TestD::test_no_dimension_is_an_error",
                    "failed",
                    "raised nothing\nmore",
                    True,
                    7,
                ),
                ("TestD::test_works_on_a_view", "passed", "", True, 0),
            ]
        ],
    }


def test_junit_parses_whatever_a_message_holds():
    suites = ET.fromstring(junit.render(REPORT).encode("utf-8"))
    [suite] = suites
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["8", "2", "0", "2"]
    assert suites.attrib == {
        "name": "torch katas",
        "time": "2.000",
        "tests": "8",
        "failures": "2",
        "errors": "0",
    }
    failure = suite.find("testcase/failure")
    assert failure.text == "no ]]> <b> & ü [red]"
    assert suite.find("testcase").get("classname") == "16_multi_head_attention.a"


def test_junit_skips_an_open_edge_and_says_why():
    lost = replace(EDGE, status="missing", said="not run")
    kata = KataResult("k", (ExerciseResult("d", (PASSED, EDGE, lost)),))
    [suite] = ET.fromstring(
        junit.render(replace(REPORT, katas=(kata,))).encode("utf-8")
    )
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "0",
        "0",
        "2",
    )
    skips = [
        (skip.get("message"), skip.text) for skip in suite.findall("testcase/skipped")
    ]
    assert skips == [
        ("open edge: raised nothing", "raised nothing\nmore"),
        ("open edge: not run", "not run"),
    ]


def test_a_pipe_gets_plain_lines():
    said = shown(REPORT)
    for line in (
        "16_multi_head_attention: failed, 2 of 4 points, 1 of 4 stars",
        "  a  core     0/1  ☆  1 of 2 specs pass",
        "  b  stretch  1/1  ★  works, 1 not run (gpu: no CUDA device here)",
        "  c  core     0/1  ☆  not written yet",
        "  d  core     1/1  ☆  works · 1 edge open",
        "16_multi_head_attention: a note",
        "FAILED  16_multi_head_attention · a · y",
        "open edge  16_multi_head_attention · d · no dimension is an error",
        "2 of 4 points · 1 of 4 stars · 2.0 s",
    ):
        assert line in said.splitlines(), said
    assert "raised nothing" not in said
    assert (
        "2 of 4 points · 1 of 4 stars · score 4.5 of 10 · 2.0 s"
        in shown(WEIGHTED).splitlines()
    )


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        (
            (replace(PASSED, said="with the reference's total"),),
            "works, with the reference's total",
        ),
        (
            (replace(PASSED, said="with the reference's a"), EDGE, EDGE),
            "works, with the reference's a · 2 edges open",
        ),
        (
            (replace(FAILED, failure=waiting(["total"], unwritten("total"))),),
            "waits for total",
        ),
        ((replace(FAILED, failure=unwritten("E.f")), EDGE), "not written yet"),
        (
            (replace(FAILED, failure=unwritten("total", "E.f")),),
            "total: not written yet",
        ),
        ((replace(FAILED, failure=unwritten("E.fx")),), "E.fx: not written yet"),
        ((PASSED, FAILED, EDGE, HELD), "1 of 2 specs pass"),
        ((PASSED, replace(FAILED, status="error")), "error, 1 of 2 specs pass"),
        ((GPU,), "not run"),
    ],
)
def test_the_verdict_on_an_exercise_in_words(specs, said):
    assert words.verdict(ExerciseResult("E.f", specs)) == said


def test_a_terminal_gets_a_table():
    said = shown(REPORT, force_terminal=True)
    assert (
        "katas and exercises" in said
        and "16_multi_head_attention" in said
        and "2/4" in said
        and "1/4" in said
    )
    assert re.search(r"  d +core +works · 1 edge open +1/1 +☆", said), said
    assert max(map(len, said.splitlines())) <= 100


def test_an_interrupted_report_says_so():
    said = shown(Report("katas", "", 1.0, False, ()))
    assert "0 of 0 points" in said and "interrupted" in said
    assert (
        json.loads(json_report.render(Report("katas", "", 1.0, False, ())))["katas"]
        == []
    )


def holds_to(name: str, data: dict) -> None:
    schema = json.loads((Path(__file__).parents[1] / "schemas.json").read_text())[name]
    jsonschema.validate(data, schema, format_checker=jsonschema.FormatChecker())


HOSTILE = "\u202e</pre><script>alert(1)</script> ``` | ::error::x\n=cmd()|'&\U0001f600"
NASTY = Report(
    "katas",
    "2026-01-02T03:04:05+00:00",
    2.0,
    True,
    (
        KataResult(
            "01_sums",
            (
                ExerciseResult(
                    "double", (SpecResult("TestDouble::test_it", "error", HOSTILE),)
                ),
            ),
            HOSTILE,
        ),
    ),
)
NOTHING = Report("katas", "2026-01-02T03:04:05+00:00", 0.0, False)
LOST = ExerciseResult(
    "b", (SpecResult("TestB::test_x", "not graded", "the machine is too small\nmore"),)
)
# One exercise works, one is not graded.
GAP = replace(
    REPORT,
    katas=(
        replace(KATA, exercises=(ExerciseResult("a", (PASSED,)), LOST), message=""),
    ),
)
# Two specs passed beside the code, one of them not when it asked from another process;
# an edge is open.
APART = Failure(
    "raised",
    "Lost",
    reason="It counts.",
    rows=(("raised", "Lost"),),
    place="x.py:1",
    head="passes beside the specs, and fails when they ask from another process",
)
REFUSED = SpecResult("TestO::test_from_outside", "failed", line=3, failure=APART)
OPEN = ExerciseResult("o", (REFUSED, replace(PASSED, line=9), EDGE), sealed="failed")
SEALED = ExerciseResult("s", (PASSED,), sealed="passed")
UNCONFIRMED = replace(
    REPORT, katas=(replace(KATA, exercises=(OPEN, SEALED), message=""),), sealed=True
)
IDS = [
    "a report",
    "one with rules",
    "a nasty one",
    "one unconfirmed",
    "nothing",
    "one with a gap",
]
REPORTS = pytest.mark.parametrize(
    "report", [REPORT, WEIGHTED, NASTY, UNCONFIRMED, NOTHING, GAP], ids=IDS
)
GRADED = pytest.mark.parametrize(
    "report", [REPORT, WEIGHTED, NASTY, UNCONFIRMED], ids=IDS[:4]
)


SECRET = SpecResult(
    "TestA::test_secret",
    "failed",
    "",
    0.1,
    False,
    77,
    "secret print",
    True,
    failure=SECRETS,
)
FORMATS = {
    name: report_files.FORMATS[name]
    for name in (*report_files.FOR_STUDENTS, "gradescope")
}
html, md = FORMATS["html"], FORMATS["markdown"]


def with_hidden(*statuses: str, own: SpecResult = PASSED, **changes) -> Report:
    """A report on one exercise with a spec of its own, and a hidden one per status."""
    hidden = [
        replace(SECRET, name=f"TestA::test_secret_{n}", status=status)
        for n, status in enumerate(statuses)
    ]
    hidden = [
        replace(spec, said="") if spec.status == "passed" else spec for spec in hidden
    ]
    kata = replace(KATA, exercises=(ExerciseResult("a", (own, *hidden)),), message="")
    return replace(REPORT, katas=(kata,), **changes)


def test_names_of_open_edges_take_no_more_columns_than_there_are():
    names = ["a view", "half precision", "an empty batch"]
    assert words.open_star(names, 2, "--edges") == (
        "★ numerics: a view, half precision, an empty batch · 2 guards (--edges)"
    )
    assert (
        words.open_star(names, 2, "--edges", 65)
        == "★ numerics: a view, half precision, 1 more · 2 guards (--edges)"
    )
    assert words.open_star(names, 0, "--edges", 1) == "★ numerics: a view, 2 more"
    assert words.open_star([], 2, "--edges", 1) == "★ 2 guards (--edges)"


class TestHiddenSpecs:
    """Of a teacher's own specs, students learn how many pass. The teacher
    reads everything.
    """

    @pytest.mark.parametrize("render", FORMATS.values(), ids=FORMATS)
    def test_students_read_how_many_pass(self, render):
        edge = replace(SECRET, status="failed", edge=True)
        for report, said in [
            (with_hidden("passed", "failed"), "1 of 2 hidden specs pass"),
            (with_hidden("passed", "passed"), "2 of 2 hidden specs pass"),
            (with_hidden("error", own=FAILED), "0 of 1 hidden specs pass"),
            (with_hidden("passed", "skipped"), "1 of 2 hidden specs pass, 1 not run"),
            (with_hidden("passed", own=UNWRITTEN), "1 of 1 hidden specs pass"),
            (
                replace(
                    REPORT,
                    katas=(
                        replace(KATA, exercises=(ExerciseResult("a", (PASSED, edge)),)),
                    ),
                ),
                "0 of 1 hid",
            ),
        ]:
            text = render(report)
            assert (
                said in text
                and "secret" not in text
                and "77" not in text.replace("&#x27;", "")
            )
        assert "hidden spec" not in render(REPORT)

    @pytest.mark.parametrize("render", FORMATS.values(), ids=FORMATS)
    def test_nor_why_nothing_is_graded(self, render):
        lost = replace(
            SECRET,
            name="TestA",
            status="not graded",
            said="teacher/test_secret.py: no class",
            failure=None,
        )
        report = replace(
            REPORT, katas=(replace(KATA, exercises=(ExerciseResult("a", (lost,)),)),)
        )
        assert "secret" not in render(report)
        assert "teacher/test_secret.py" in shown(report)

    @pytest.mark.parametrize("status", get_args(Status))
    def test_a_report_for_students_holds_nothing_else_of_them(self, status):
        """Whatever a renderer does with it, nothing can leak."""
        secret = replace(
            SECRET,
            status=status,
            said="secret",
            tried={"secret": ["secret"]},
            edge=True,
        )
        report = with_hidden(status, own=FAILED)
        exercise = replace(
            report.katas[0].exercises[0],
            specs=(FAILED, secret, replace(secret, edge=False)),
        )
        report = replace(
            report, katas=(replace(report.katas[0], exercises=(exercise,)),)
        )
        shown = students_view.of(report)
        assert "secret" in repr(report).lower() and "secret" not in repr(shown).lower()
        assert repr(shown).count("Withheld") == 2 and shown == students_view.of(shown)

    def test_verdict_and_state_are_those_of_the_whole(self):
        for statuses, own, verdict in [
            (
                ["failed", "passed"],
                PASSED,
                "1 of 1 specs pass · 1 of 2 hidden specs pass",
            ),
            (["passed"], PASSED, "works · 1 of 1 hidden specs pass"),
            (["passed"], FAILED, "0 of 1 specs pass · 1 of 1 hidden specs pass"),
            (["error"], PASSED, "error, 1 of 1 specs pass · 0 of 1 hidden specs pass"),
        ]:
            report = with_hidden(*statuses, own=own)
            for one in (report, students_view.of(report)):
                [kata] = one.katas
                assert words.verdict(kata.exercises[0]) == verdict
                assert (kata.state, kata.so_far) == (
                    report.katas[0].state,
                    report.katas[0].so_far,
                )
        secret = replace(SECRET, failure=unwritten("c"))
        report = replace(
            REPORT,
            katas=(
                replace(KATA, exercises=(ExerciseResult("c", (UNWRITTEN, secret)),)),
            ),
        )
        assert students_view.of(report).katas[0].state == "untouched"
        assert (
            words.verdict(report.katas[0].exercises[0])
            == "not written yet · 0 of 1 hidden specs pass"
        )

    def test_the_teacher_reads_their_names(self):
        report = with_hidden("failed", "passed")
        assert "FAILED  16_multi_head_attention · a · secret 0 (hidden)" in shown(
            report
        ) and "secret story" in shown(report)
        specs = json.loads(json_report.render(report))["katas"][0]["exercises"][0][
            "specs"
        ]
        assert [(spec["name"], spec["hidden"]) for spec in specs[1:]] == [
            ("TestA::test_secret_0", True),
            ("TestA::test_secret_1", True),
        ]
        cases = ET.fromstring(junit.render(report).encode("utf-8")).findall(
            "testsuite/testcase"
        )
        assert [case.get("name") for case in cases][1:] == [
            "TestA::test_secret_0 (hidden)",
            "TestA::test_secret_1 (hidden)",
        ]
        assert "1 × secret 0 (hidden)</summary>secret story<" in class_page.render(
            a_class(ann=report.katas[0])
        )


class TestGradescopeDetails:
    """A course may show what failures say later, or to staff alone."""

    @pytest.mark.parametrize("when", ["after_due_date", "after_published", "hidden"])
    def test_the_visible_test_has_the_score_and_the_verdict(self, when):
        for report in (
            replace(REPORT, details=when),
            with_hidden("failed", "passed", own=FAILED, details=when),
        ):
            data = json.loads(gradescope.render(report))
            holds_to("gradescope", data)
            visible = [
                test for test in data["tests"] if test["visibility"] == "visible"
            ]
            later = [test for test in data["tests"] if test["visibility"] != "visible"]
            assert (
                sum(test["score"] for test in visible) == data["score"]
                and len(visible) == report.max_points
            )
            assert {test["visibility"] for test in later} == {when} and not any(
                "score" in test for test in later
            )
            told = json.dumps([data["output"], visible])
            assert (
                "no ]]>" not in told
                and "raised nothing" not in told
                and "a note" not in told
            )
            assert "no ]]>" in json.dumps(later), "the failure of `a`"
            assert ("secret" in json.dumps(data)) == (
                when == "hidden" and report.max_points == 1
            )
        assert [test["output"] for test in visible] == [
            "0 of 1 specs pass · 1 of 2 hidden specs pass"
        ]

    def test_a_verdict_holds_no_text_of_the_code(self):
        """Code may raise NotImplementedError from a function with a name of
        its choice.
        """
        chosen = replace(UNWRITTEN, failure=unwritten("all that I found"))
        for report in (
            with_hidden("failed", own=chosen),
            with_hidden(own=replace(PASSED, said="found, too")),
        ):
            data = json.loads(gradescope.render(replace(report, details="hidden")))
            assert "found" not in json.dumps(
                [test for test in data["tests"] if test["visibility"] == "visible"]
            )

    def test_without_details_nothing_is_added(self):
        right = with_hidden("passed", details="hidden")
        assert len(json.loads(gradescope.render(right))["tests"]) == 1


class TestPlatforms:
    """The file for each course platform, whatever the report holds, even nothing."""

    def test_open_edges_are_named_and_pass(self):
        for report, score in ((REPORT, 1), (WEIGHTED, 2)):
            test = json.loads(gradescope.render(report))["tests"][3]
            assert (test["status"], test["score"]) == ("passed", score)
            assert test["output"] == "open edges: no dimension is an error"
            test = json.loads(FORMATS["classroom50"](report))["tests"][3]
            assert (test["passed"], test["message"]) == (
                True,
                "open edges: no dimension is an error",
            )

    @GRADED
    def test_classroom_50(self, report):
        environment = {
            "CLASSROOM": "cs50",
            "ASSIGNMENT": "torch",
            "SUBMISSION_TAG": "submit/2026-01-02",
            "COMMIT_URL": "https://c",
            "RELEASE_URL": "https://r",
            "REVIEW_URL": "https://v",
            "OWNER": "alice",
            "SUBMITTED_AT": "2026-01-01T23:30:00-02:00",
        }
        data = json.loads(classroom50.render(students_view.of(report), environment))
        holds_to("classroom50", data)
        assert (data["score"], data["max-score"]) == (
            int(report.so_far.score),
            report.max_score,
        )
        tests = data["tests"]
        assert data["score"] == sum(test["score"] for test in tests)
        assert data["max-score"] == sum(test["max-score"] for test in tests)
        assert all(test["score"] <= test["max-score"] for test in tests)
        assert (data["owner"], data["commit"], data["submission"]) == (
            "alice",
            "https://c",
            "submit/2026-01-02",
        )
        assert (data["datetime"], data["graded_at"]) == (
            "2026-01-02T01:30:00Z",
            "2026-01-02T03:04:05Z",
        )

    @GRADED
    def test_gradescope(self, report):
        data = json.loads(gradescope.render(report))
        holds_to("gradescope", data)
        assert (
            data["score"]
            == sum(test["score"] for test in data["tests"])
            == report.so_far.score
        )
        assert sum(test["max_score"] for test in data["tests"]) == report.max_score

    @REPORTS
    def test_markdown_folds_failures_and_lets_no_text_out(self, report):
        text = md(report)
        assert text.startswith(f"## {words.totals(students_view.of(report))}")
        outside = re.sub(r"(?ms)^(`{3,})text$.*?^\1$", "", text)
        assert "<script" not in outside

    def test_markdown_wraps_a_failure(self):
        failed = ExerciseResult(
            "a", (SpecResult("TestA::test_x", "failed", "word " * 60),)
        )
        long = replace(REPORT, katas=(replace(KATA, exercises=(failed,)),))
        assert (
            max(len(line) for line in md(long).splitlines() if line.startswith("word"))
            <= 100
        )

    def test_markdown_names_what_is_to_do_and_open_edges(self):
        row = "| 16_multi_head_attention | ❌ failed | 2/4 | 1/4 | `a`, `c` | `d` |"
        assert row in md(REPORT).splitlines()
        assert row.replace("1/4", "1/4 | 4.5/10") in md(WEIGHTED).splitlines()
        assert "d · open edge: no dimension is an error</summary>" in md(REPORT)

    def test_markdown_gives_each_exercise_its_verdict_and_star(self):
        lines = md(REPORT).splitlines()
        rows = [
            "`a` | ☆ | 1 of 2 specs pass",
            "`b`",
            "`c` | ☆ | not written yet",
            "`d` | ☆ | works · 1 edge open",
        ]
        first = lines.index("| 16_multi_head_attention | ★ | verdict |") + 2
        assert [
            line.startswith(f"| {row} |")
            for line, row in zip(lines[first:], rows, strict=False)
        ] == [True] * 4

    def test_markdown_of_a_long_report_says_what_is_cut(self):
        failed = SpecResult(
            "TestA::test_x", "failed", f"{'x' * 9000}\n\na.py:3 · kata hint 01 a"
        )
        shown = md(
            replace(
                REPORT,
                katas=(KataResult("01_sums", (ExerciseResult("a", (failed,)),)),),
            )
        )
        assert len(shown) < 6000 and "\na.py:3 · kata hint 01 a\n" in shown
        many = KataResult(
            "01_sums", tuple(ExerciseResult(f"e{i}", (failed,)) for i in range(100))
        )
        text = md(replace(REPORT, katas=(many,)))
        assert 100_000 < len(text) < 125_000, (
            "the most that GitHub takes for the page of a release"
        )
        assert (
            text.count("<details>") == text.count("</details>")
            and "cut after 120000 characters" in text
        )

    @REPORTS
    def test_html_is_one_page_that_escapes_what_it_shows(self, report):
        page = html(report)
        assert "<script" not in page and "http:" not in page and "https:" not in page
        assert words.totals(students_view.of(report)) in page

    def test_html_shows_stars_and_unfolds_an_open_edge(self):
        page = html(WEIGHTED)
        assert "1/1 ★ <code>b</code>" in page and "1/1 ☆ <code>d</code>" in page
        assert (
            "works · 1 edge open" in page
            and "no dimension is an error\n\nraised nothing" in page
        )
        assert "score 4.5/10" in page and "score" not in html(REPORT)


class TestPages:
    """Readable in both colour schemes, with a keyboard, and without colours."""

    def test_every_text_has_contrast(self):
        """WCAG AA: at least 4.5 between text and what is behind it, for every rule of
        the style sheet.
        """
        style = (TEMPLATES / "style.css").read_text()
        light, dark = (
            dict(re.findall(r"--(\w+):(#\w+)", block))
            for block in style.split("@media")[:2]
        )
        for scheme in (light, dark):
            colours = {f"var(--{name})": value for name, value in scheme.items()}
            for selector, rule in re.findall(
                r"^([^\n{@:]+)\{([^}]*)\}", style, re.MULTILINE
            ):
                said = dict(
                    re.findall(
                        r"(?<![\w-])(color|background):([^;]+)", rule.replace("\n", "")
                    )
                )
                text, behind = (
                    said.get("color", "var(--ink)"),
                    said.get("background", "var(--paper)"),
                )
                assert (
                    contrast(colours.get(text, text), colours.get(behind, behind))
                    >= 4.5
                ), (selector, scheme)

    def test_a_failure_is_open_and_says_where_to_read_on(self):
        page = html(REPORT)
        assert page.count("<details open>") == 1 and page.count("<details>") == 1, (
            "an open edge is folded"
        )
        assert "lesson <code>katas/16_multi_head_attention/README.md</code>" in page
        assert "hint <code>kata hint 16 a</code>" in page
        appendix = replace(REPORT, katas=(replace(KATA, kata="appendix_a_pytorch"),))
        assert "kata hint appendix_a a<" in html(appendix)

    def test_tables_have_captions_and_heads(self):
        page = class_page.render(
            ClassReport("", 1.0, True, {"ann": REPORT, "bob": NASTY, "eve": GAP})
        )
        assert (
            '<html lang="en">' in page
            and page.count("<table ") == page.count("<thead>") == 4
        )
        assert "<th>" not in page and page.count("<th ") == page.count("<th scope=")
        assert (
            page.count("class='wide' role='region'")
            == page.count("tabindex='0'")
            == page.count("<table ")
        )
        ids = re.findall(r"<figcaption id='(\w+)'>", page)
        assert sorted(2 * ids) == sorted(
            re.findall(r"aria-labelledby='(\w+)'", page)
        ) and len(set(ids)) == len(ids)

    def test_nothing_is_said_by_hovering_alone(self):
        report = ClassReport(
            "", 1.0, True, {"ann": REPORT, "eve": UNCONFIRMED, "bob": GAP}
        )
        for page in (class_page.render(report), html(REPORT)):
            assert not re.search(r"<[^>]* title=", page)

    def test_no_state_is_told_by_colour_alone(self):
        started, absent = became(unwritten("c")), became(not_handed_in("sums.py"))
        broken, lost = (
            became(Failure("unparsed", "sums.py:3: SyntaxError: invalid syntax")),
            GAP.katas[0],
        )
        students = {
            "a": started,
            "b": NASTY.katas[0],
            "c": lost,
            "d": absent,
            "e": broken,
        }
        reports = {
            name: replace(REPORT, katas=(replace(one, kata="01"),))
            for name, one in students.items()
        }
        cells = re.findall(
            r"<td class='cell[^>]*>([^<]*)",
            class_page.render(ClassReport("", 1.0, True, reports)),
        )
        assert cells == ["–", "0 !", "?", "none", "0 ¶"]


def became(*found: str | Failure, code: str = "") -> KataResult:
    """A kata with an exercise per failure, which its one spec has; works where it
    is empty.
    """
    failed = [
        Failure("mismatch", one) if one and isinstance(one, str) else one or None
        for one in found
    ]
    file = (
        failed[0]
        if len(set(failed)) == 1 and failed[0] and failed[0].kind in STATE_OF
        else None
    )
    specs = [
        SpecResult("TestA::test_x", "failed" if one else "passed", line=9, failure=one)
        for one in failed
    ]
    exercises = [
        ExerciseResult(f"e{number}", (spec,)) for number, spec in enumerate(specs)
    ]
    return KataResult("16_mha", tuple(exercises), seconds=30.0, code=code, file=file)


def failed_with(reason: str, *causes: Cause) -> Failure:
    return Failure("mismatch", "wrong", reason=reason, causes=causes, place="mha.py:3")


def a_class(**students: KataResult) -> ClassReport:
    return ClassReport(
        "",
        1.0,
        True,
        {name: replace(REPORT, katas=(kata,)) for name, kata in students.items()},
    )


class TestStatistics:
    @pytest.mark.parametrize(
        ("messages", "state"),
        [
            (("", ""), "works"),
            (("", not_handed_in("mha.py")), "wrong"),
            ((not_handed_in("mha.py"),) * 2, "not handed in"),
            (
                (Failure("unparsed", "mha.py:3: SyntaxError: invalid syntax"),) * 2,
                "does not parse",
            ),
            (
                (Failure("unparsed", "mha.py:1: IndentationError: unexpected indent"),),
                "does not parse",
            ),
            ((Failure("unreadable", "mha.py: is not UTF-8 text"),), "does not parse"),
            (
                (
                    Failure(
                        "import failed", "mha.py:3: NameError: name 'x' is not defined"
                    ),
                ),
                "import fails",
            ),
            ((Failure("statement failed", "mha.py:3: `x` fails"),) * 2, "import fails"),
            (("mha.py:3: NameError: name 'x' is not defined",), "wrong"),
            ((unwritten("e0"), unwritten("e1")), "untouched"),
            ((unwritten("e0"), "wrong"), "wrong"),
        ],
    )
    def test_what_became_of_a_file(self, messages, state):
        assert became(*messages).state == state

    def test_a_crash_and_a_lost_verdict(self):
        assert (NASTY.katas[0].state, GAP.katas[0].state) == ("crashed", "not graded")

    def test_an_exercise_counts_those_who_handed_it_in(self):
        named = (
            Cause("looks like", "a transpose forgotten", "spec"),
            Cause("looks like", "swapped", "likeness"),
        )
        slip = failed_with("Heads are slices. Not\nmore.", *named)
        failed = {
            "b": became(slip),
            "c": became(slip),
            "d": became("raised"),
            "e": became(Failure("unparsed", "x.py: is a link")),
        }
        absent = {
            "f": became(not_handed_in("x.py")),
            "g": became(unwritten("e0")),
            "h": GAP.katas[0],
        }
        report = a_class(a=became(""), **failed, **absent)
        [one] = statistics.exercises(report)
        assert (one.works, one.tried, one.students, one.share) == (1, 4, 7, 0.25)
        assert ">1 of 4 who tried, of 7<" in class_page.render(report)
        assert (one.failed, one.mistakes) == ({"x": 3}, {"a transpose forgotten": 2})
        assert one.sentences == {"x": "Heads are slices. Not more."}

    def test_an_exercise_that_nobody_wrote_is_last_and_has_tried_no_one(self):
        begun = became("wrong", unwritten("e1"))
        easy, none = statistics.exercises(
            a_class(a=begun, b=became("", unwritten("e1")))
        )
        assert [(one.name, one.tried, one.share) for one in (easy, none)] == [
            ("e0", 2, 0.5),
            ("e1", 0, 0.0),
        ]
        assert ">nobody tried, of 1<" in class_page.render(a_class(a=begun))

    def test_identical_texts_count_once(self):
        same, stub = became("wrong", code="1"), became(unwritten("e0"), code="2")
        report = a_class(
            ann=same,
            bob=same,
            eve=became("", code="3"),
            joe=stub,
            kim=stub,
            lea=became("", code=""),
        )
        assert statistics.seconds(report) == {"16_mha": 4 * 30.0}
        assert "2 min of" in class_page.render(report)

    def test_the_hardest_exercise_of_a_class_says_what_it_asks_for(self):
        page = class_page.render(
            a_class(
                ann=became(failed_with("Add <b>.", Cause("looks like", "<i>", "spec"))),
                bob=became("", ""),
            )
        )
        assert (
            "1 × x</summary>Add &lt;b&gt;.</details>" in page
            and "1 × &lt;i&gt;" in page
        )


# What the specs of a file say that cannot be run, the line that reports show, and
# the state.
NO_CODE = [
    (not_handed_in("mha.py"), "not handed in"),
    (
        Failure("unparsed", "mha.py:3: does not parse: SyntaxError: invalid <syntax>"),
        "does not parse",
    ),
    (
        Failure(
            "import failed", "mha.py:2: NameError: no <torhc>", file="mha.py", at=2
        ),
        "import fails",
    ),
]


def of_file(found: Failure) -> Report:
    """A report on a file that cannot be run; and hidden specs, whose words students do
    not see.
    """
    spec = SpecResult("TestA::test_x", "failed", line=9, failure=found)
    hidden = replace(SECRET, failure=found)
    kata = KataResult(
        "16_mha",
        tuple(ExerciseResult(name, (spec, hidden)) for name in ("a", "b")),
        file=found,
    )
    return replace(
        REPORT, katas=(kata,), files={"16_mha/mha.py": "import <torch>\nx = torhc\ny ="}
    )


def unrecognised(kata: str, why: str) -> KataResult:
    specs = (SpecResult("TestA", "not graded", why),)
    exercises = (ExerciseResult("a", specs, reason=Reason.NOT_RECOGNISED),)
    return KataResult(kata, exercises, file=Failure("not recognised", why))


class TestNoCode:
    """Every report tells a file that cannot be run from wrong code, and says why, with
    the line.
    """

    @pytest.mark.parametrize(("found", "state"), NO_CODE)
    def test_in_every_report_of_a_student(self, found, state):
        report = of_file(found)
        for one in (report, students_view.of(report)):
            assert (one.katas[0].state, one.katas[0].why_no_code) == (state, found)
        verdict = words.verdict(report.katas[0].exercises[0])
        assert verdict.startswith(
            "not handed in" if state == "not handed in" else "not run: the "
        )
        terminal, colours = shown(report), shown(report, force_terminal=True)
        assert f"16_mha: {state}, 0 of 2 points" in terminal and verdict in terminal
        assert (
            f"\n{state.upper()}  16_mha\n  {found.line}\n" in terminal
            and terminal.count(found.line) == 1
        )
        assert state in colours and found.line in colours
        text, page = md(report), html(report)
        assert f"| ❌ {state} |" in text and text.count("mha.py") == (
            0 if state == "not handed in" else 1
        )
        assert (
            f"'>{state}</span></h2>" in page
            and verdict in page
            and "<details" not in page
        )
        assert ("<div class='problem'>" in page) == (state != "not handed in")
        [kata] = json.loads(json_report.render(report))["katas"]
        holds_to("report", json.loads(json_report.render(report)))
        assert (kata["status"], kata["state"]) == ("failed", state)
        told = ET.fromstring(junit.render(report).encode()).find(
            "testsuite/properties/property[@name='state']"
        )
        assert told.get("value") == state
        assert (
            words.of_file(report.katas[0])
            in json.loads(gradescope.render(report))["output"]
        )
        assert found.line in json.dumps(json.loads(FORMATS["classroom50"](report)))

    @pytest.mark.parametrize(("found", "state"), NO_CODE)
    def test_in_the_reports_of_a_class(self, found, state):
        report = a_class(ann=of_file(found).katas[0], bob=became("wrong"))
        ann, bob = csv.DictReader(io.StringIO(class_report.render_csv(report)))
        assert (ann["16_mha state"], bob["16_mha state"], bob["reason"]) == (
            state,
            "wrong",
            "",
        )
        said = {
            "not handed in": "not handed in: 16",
            "does not parse": f"16_mha: {found.line}",
        }
        assert ann["reason"] == said.get(state, f"16_mha: {state}: {found.line}")
        page = class_page.render(report)
        assert state in page and ("<h2>To look at</h2>" in page) == (
            state != "not handed in"
        )

    @pytest.mark.parametrize(
        ("text", "shown", "word"),
        [
            (
                "x = [1, (2,\ndef f():\n    pass\n",
                "line 1: x = [1, (2,\n{:27}^",
                "is opened here",
            ),
            (
                "def f(x):\n<<<<<<< HEAD\n    return x\n",
                "line 2: <<<<<<< HEAD\n{:19}^",
                "a merge marker of git",
            ),
            (
                "def f(x):\n    y = x\n\treturn y\n",
                "line 3: return y\n{:19}^",
                "tabs and spaces",
            ),
            (f"x = [{'1, ' * 99} 1 2 3]\n", "1,  1 2 3]\n{:47}^", ""),
        ],
    )
    def test_a_text_that_is_no_python_has_a_caret_and_a_plain_word(
        self, text, shown, word
    ):
        error = syntax.error_in(text)
        told = syntax.unparsed("mha.py", text, error).text
        assert shown.format("") in told and word in told, told
        assert len(told.partition("\nat ")[2].partition("\n")[0]) <= 75, (
            "in 80 columns it stays above its caret"
        )

    def test_a_report_is_read_as_it_was(self):
        kata = of_file(NO_CODE[2][0]).katas[0]
        assert kata_result(kata_as_dict(kata)) == kata

    def test_the_line_is_at_the_top_of_the_students_page(self):
        page = html(of_file(NO_CODE[2][0]))
        assert page.index("NameError: no &lt;torhc&gt;") < page.index(
            "<h2>16_mha · 0/2 points"
        )
        assert "→    2  x = torhc\n" in page and "import &lt;torch&gt;" in page

    def test_what_was_not_recognised_is_not_graded_and_comes_first(self):
        some = unrecognised("16_mha", "mha.py.txt: is it 16_mha?")
        report = a_class(ann=of_file(NO_CODE[1][0]).katas[0], bob=some)
        [kata] = report.students["bob"].katas
        assert (kata.state, words.status(kata), kata.total) == (
            "not recognised",
            "not graded",
            None,
        )
        assert (
            words.of_file(kata) == "16_mha: not recognised: mha.py.txt: is it 16_mha?"
        )
        assert "16_mha: not recognised, so far 0 of 1 points" in shown(
            report.students["bob"]
        )
        _, bob = csv.DictReader(io.StringIO(class_report.render_csv(report)))
        assert (bob["16_mha state"], bob["state"], bob["points"]) == (
            "not recognised",
            "not graded",
            "",
        )
        page = class_page.render(report)
        assert page.index("<td>not recognised</td>") < page.index(
            "<td>does not parse</td>"
        )
        holds_to("report", json.loads(json_report.render(report.students["bob"])))

    def test_what_is_lost_with_one_archive_is_said_once(self):
        one, other = (
            unrecognised(name, "a.zip: is not a zip archive")
            for name in ("16_mha", "17_vit")
        )
        report = Report("", "2026-01-01T00:00:00+00:00", 0.0, True, (one, other))
        assert (
            words.of_files(report)
            == "16_mha, 17_vit: not recognised: a.zip: is not a zip archive"
        )
        page = class_page.render(
            ClassReport(report.started, 0.0, True, {"ann": report})
        )
        assert (
            page.count("a.zip: is not a zip archive") == 1
            and "16_mha, 17_vit<br>" in page
        )

    def test_every_state_has_a_place(self):
        """In the page's cells and legend, in the terminal's colours and in
        the schema.
        """
        states = set(get_args(State))
        assert states - {"works", "wrong"} == set(class_page.SIGNS)
        statuses = {"failed", "not graded", "excused", *words.STATUS.values()}
        assert {*get_args(OfFile), *statuses} == set(table.COLOURS)
        excused = replace(REPORT, katas=(KataResult("16_mha", (), excused="ill"),))
        assert "excused: no score" in shown(excused) and "excused" in shown(
            excused, force_terminal=True
        )
        schema = json.loads((Path(__file__).parents[1] / "schemas.json").read_text())[
            "report"
        ]["properties"]
        assert set(schema["katas"]["items"]["properties"]["state"]["enum"]) == states


def test_one_is_not_said_as_several():
    page = class_page.render(ClassReport("", 1.0, False, {"ann": GAP}))
    assert (
        "<h1>1 student</h1>" in page
        and " · incomplete, 1 student not graded<br>" in page
    )


class TestTheStudentsLine:
    """A page shows the line of the submitted code that a failure names, escaped, and
    two before and after it.
    """

    TEXT = "import a\r\n\r\ndef f():\r\n\treturn '<b>\x1b\u202e'\r\n" + "#" * 1000

    def page(self, file: str, at: int, text: str = TEXT) -> str:
        found = replace(failed_with("Too much."), file=file, at=at)
        kata = KataResult(
            "01_x",
            (ExerciseResult("f", (SpecResult("T::test_x", "failed", failure=found),)),),
        )
        return html(Report("c", "", 1.0, True, (kata,), files={"01_x/x.py": text}))

    def test_with_its_neighbours(self):
        rows = [
            "     2",
            "     3  def f():",
            "→    4          return &#39;&lt;b&gt;\ufffd\ufffd&#39;",
            "     5  " + "#" * 300,
        ]
        assert (
            f"<p>line 4 of <code>x.py</code></p><pre>{chr(10).join(rows)}</pre>"
            in self.page("x.py", 4)
        )

    @pytest.mark.parametrize(
        ("file", "at"), [("x.py", 0), ("x.py", 99), ("x.py", -1), ("y.py", 1)]
    )
    def test_none_where_the_code_has_no_such_line(self, file, at):
        assert "<p>line " not in self.page(file, at)


class TestGradebooks:
    """The files that Canvas and Moodle import. A student who is not graded has
    no row.
    """

    CLASS = ClassReport("", 1.0, False, {"=ann": WEIGHTED, "bob": GAP})

    def test_canvas(self):
        head, most, ann = csv.reader(io.StringIO(gradebooks.render_canvas(self.CLASS)))
        assert head == [
            "Student",
            "ID",
            "SIS User ID",
            "SIS Login ID",
            "Section",
            KATA.kata,
        ]
        assert most == ["    Points Possible", "", "", "", "", "10"]
        assert ann == ["'=ann", "", "", "'=ann", "", "4.5"]

    def test_moodle(self):
        [ann] = csv.DictReader(io.StringIO(gradebooks.render_moodle(self.CLASS)))
        assert list(ann.values()) == ["'=ann", "", "4.5", words.totals(WEIGHTED)]

    def test_the_roster_says_who_a_student_is(self):
        """A name may be missing there. A submission of nobody in it has no row."""
        roster = {"Ada (7)": Identity("7", "Ada", "ada@x"), "8": Identity("8", "", "")}
        report = ClassReport(
            "", 1.0, True, dict.fromkeys([*roster, "eve"], WEIGHTED), roster
        )
        _, _, *rows = csv.reader(io.StringIO(gradebooks.render_canvas(report)))
        assert [row[:5] for row in rows] == [
            ["Ada", "", "7", "7", ""],
            ["8", "", "8", "8", ""],
        ]
        people = csv.DictReader(io.StringIO(gradebooks.render_moodle(report)))
        assert [(row["identifier"], row["email"]) for row in people] == [
            ("7", "ada@x"),
            ("8", ""),
        ]


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG defines it, from 1 to 21."""

    def luminance(colour: str) -> float:
        digits = (
            colour[1:]
            if len(colour) == 7
            else "".join(2 * digit for digit in colour[1:])
        )
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in parts
        ]
        return sum(
            weight * part
            for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
        )

    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


class TestNotGraded:
    """A result that the machine or the grader has lost is no zero, in any format."""

    def test_it_is_told_from_an_error_of_the_code(self):
        why = "the machine is too small"
        [kata] = GAP.katas
        assert LOST.outcome == Undecided(Reason.FAULT, why, f"{why}\nmore")
        assert (kata.state, kata.so_far.points, kata.total) == ("not graded", 1, None)
        assert kata.gap == LOST.outcome
        assert not GAP.is_whole and not NOTHING.is_whole and NASTY.is_whole
        empty = KataResult("k", (), "the task was lost")
        assert empty.gap and empty.gap.line == "the task was lost"

    def test_people_read_it_first(self):
        said = shown(GAP)
        for line in (
            "16_multi_head_attention: not graded, so far 1 of 2 points, 1 of 2 stars",
            "  b  core     ?/1  ?  not graded",
            "NOT GRADED  16_multi_head_attention · b · x",
        ):
            assert line in said.splitlines(), said
        for text in (said, md(GAP), html(GAP)):
            assert "not graded, so far 1 of 2 points" in text
            assert "was not graded: the machine is too small" in text.replace(
                "\\_", "_"
            )

    def test_json_has_null(self):
        report = json.loads(json_report.render(GAP))
        [kata] = report["katas"]
        for one in (report, kata, kata["exercises"][1]):
            assert (one["points"], one["score"]) == (None, None)
        assert (kata["status"], kata["exercises"][0]["points"]) == ("not graded", 1)
        assert (
            json.loads(json_report.render(replace(REPORT, complete=False)))["score"]
            is None
        )

    @pytest.mark.parametrize("report", [GAP, NOTHING], ids=["a gap", "nothing"])
    def test_platforms_that_need_a_score_get_none(self, report):
        data = json.loads(gradescope.render(report))
        assert (
            "score" not in data
            and "tests" not in data
            and "not graded" in data["output"]
        )
        data = json.loads(FORMATS["classroom50"](report))
        assert ("score" in data, data["tests"]) == (False, [])

    def test_junit_has_an_error(self):
        [suite] = ET.fromstring(junit.render(GAP).encode("utf-8"))
        assert (
            suite.find("testcase/error").get("message")
            == "not graded: the machine is too small"
        )
        lost = KataResult("01_sums", (), "the task was lost")
        suites = ET.fromstring(
            junit.render(replace(REPORT, complete=False, katas=(lost,))).encode("utf-8")
        )
        said = [suite.find("testcase/error").get("message") for suite in suites]
        assert said == [
            "not graded: the task was lost",
            "not graded: interrupted: the rest was not graded",
        ]
        assert suites.get("errors") == "2"

    def test_a_class_has_no_sum_for_the_student(self):
        report = ClassReport(REPORT.started, 3.0, False, {"ann": GAP, "bob": REPORT})
        ann, bob = csv.DictReader(io.StringIO(class_report.render_csv(report)))
        assert [ann[name] for name in ("points", "score", KATA.kata, "state")] == [
            "",
            "",
            "",
            "not graded",
        ]
        assert [bob[name] for name in ("points", "score", "state", "run")] == [
            "2",
            "2",
            "graded",
            "incomplete",
        ]
        page = class_page.render(report)
        assert "the machine is too small" in page and "median 2 of 4 points" in page


def settled(points: int, reason: str = "I <b>know</b> it") -> Report:
    """The unconfirmed point, as a teacher has decided it."""
    decided = replace(OPEN, override=Override(points, reason))
    return replace(
        UNCONFIRMED, katas=(replace(KATA, exercises=(decided, SEALED), message=""),)
    )


class TestUnconfirmed:
    """A point that only the first lock gives is neither a point nor a zero."""

    def test_it_is_a_state_of_its_own(self):
        [kata] = UNCONFIRMED.katas
        assert OPEN.outcome == Undecided(Reason.UNCONFIRMED)
        assert (OPEN.so_far.point, OPEN.first_lock) == (False, 2)
        assert (kata.state, kata.so_far.points, kata.total) == ("unconfirmed", 1, None)
        ended = replace(OPEN, specs=(replace(REFUSED, status="error"), PASSED))
        assert replace(kata, exercises=(ended,)).state == "unconfirmed", (
            "not crashed: it works beside the specs"
        )
        for other in (
            replace(OPEN, sealed=None),
            replace(OPEN, sealed="unsealed"),
            SEALED,
        ):
            assert not other.to_settle

    def test_what_the_machine_has_lost_comes_first(self):
        lost = replace(OPEN, specs=(*OPEN.specs, LOST.specs[0]))
        assert lost.outcome == LOST.outcome and not lost.to_settle
        report = replace(UNCONFIRMED, katas=(*UNCONFIRMED.katas, *GAP.katas))
        assert words.totals(report).startswith(
            "not graded, so far "
        ) and "1 unconfirmed" in words.totals(report)

    def test_a_probe_is_none_of_the_first_locks_specs(self):
        probe = SpecResult("probe of o", "failed", failure=APART)
        asked = replace(OPEN, specs=(replace(PASSED, line=9), probe))
        assert asked.to_settle and asked.first_lock == 1
        assert unconfirmed.second_lock(asked) == "probe of o: failed"

    def test_a_gradebook_has_no_row_for_it(self):
        report = ClassReport("", 1.0, True, {"eve": UNCONFIRMED, "bob": settled(0)})
        assert [
            row["identifier"]
            for row in csv.DictReader(io.StringIO(gradebooks.render_moodle(report)))
        ] == ["bob"]
        assert [
            row[3] for row in csv.reader(io.StringIO(gradebooks.render_canvas(report)))
        ][2:] == ["bob"]
        eve, bob = csv.DictReader(io.StringIO(class_report.render_csv(report)))
        sums = ("points", "stars", "score", KATA.kata, "state", f"{KATA.kata} state")
        assert [eve[name] for name in sums] == [
            "",
            "",
            "",
            "",
            "unconfirmed",
            "unconfirmed",
        ]
        assert eve["reason"] == f"only the first lock confirms {KATA.kata}::o"
        assert (eve["sealed"], eve["overrides"], eve["run"]) == (
            "1 sealed, 1 unconfirmed",
            "",
            "complete",
        )
        assert [bob[name] for name in sums] == ["1", "1", "1", "1", "graded", "wrong"]

    def test_json_has_null_and_the_schema(self):
        for report in (UNCONFIRMED, settled(1), settled(0)):
            data = json.loads(json_report.render(report))
            holds_to("report", data)
        [kata] = json.loads(json_report.render(UNCONFIRMED))["katas"]
        one, other = kata["exercises"]
        assert [one[name] for name in ("points", "star", "score", "sealed")] == [
            None,
            None,
            None,
            "failed",
        ]
        assert (kata["status"], kata["points"], other["points"]) == (
            "unconfirmed",
            None,
            1,
        )

    def test_the_teachers_list_comes_first_and_has_both_locks(self):
        report = ClassReport(
            "",
            1.0,
            True,
            {"ann": REPORT, "eve": UNCONFIRMED},
            {"eve": Identity("7", "E", "")},
        )
        said = "\n".join(unconfirmed.lines(report))
        assert (
            said.startswith("unconfirmed: 1 point of 1 student, ")
            and "\neve\n" in said
            and "ann" not in said
        )
        assert (
            "    first lock   2 of 2 specs passed\n"
            "    second lock  from outside: failed\n      It counts.\n"
        ) in said
        assert "--overrides FILE" in said and f"  7,{KATA.kata}::o,,\n" in said
        page = class_page.render(report)
        assert page.index("<h2>Unconfirmed</h2>") < page.index("<h2>Points</h2>")
        assert (
            "<td>2 of 2 specs passed</td>" in page
            and "<summary>from outside: failed</summary><pre>It counts." in page
        )
        assert "'>1?</td>" in page and "<td class='n'>?</td>" in page
        assert (
            " · 1 student with unconfirmed points<br>median 2 of 4 points · 1 "
            "student with a score"
        ) in page
        none = ClassReport("", 1.0, True, {"ann": REPORT})
        assert list(
            unconfirmed.lines(none)
        ) == [] and "Unconfirmed" not in class_page.render(none)

    def test_a_forger_does_not_fill_the_screen(self):
        many = tuple(replace(OPEN, name=f"e{n}") for n in range(40))
        report = ClassReport(
            "",
            1.0,
            True,
            {"eve": replace(UNCONFIRMED, katas=(replace(KATA, exercises=many),))},
        )
        said = list(unconfirmed.lines(report))
        assert len(said) < 50 and any(
            line.startswith("  and 37 more exercises, ") for line in said
        )
        assert statistics.exercises(report) == [], (
            "which spec fails most is asked of the others"
        )

    @pytest.mark.parametrize(
        "render",
        [*FORMATS.values(), junit.render],
        ids=[*FORMATS, "junit"],
    )
    def test_an_autograder_gives_no_point_and_says_whom_to_ask(self, render):
        text, other = (
            render(report).replace("\\n", "\n") for report in (UNCONFIRMED, REPORT)
        )
        if render is md:  # whose failures are wrapped
            text, other = (" ".join(one.split()) for one in (text, other))
        for said in ("passes beside the specs", "It counts.", words.ASK):
            assert said in text
        assert words.ASK not in other

    def test_the_platforms_keep_the_rest_of_the_score(self):
        data = json.loads(gradescope.render(UNCONFIRMED))
        assert (data["score"], [test["score"] for test in data["tests"]]) == (1, [0, 1])
        for when in ("after_due_date", "hidden"):
            [first, *_] = json.loads(
                gradescope.render(replace(UNCONFIRMED, details=when))
            )["tests"]
            assert first["output"] == f"{words.UNCONFIRMED}\n\n{words.ASK}"
        assert json.loads(FORMATS["classroom50"](UNCONFIRMED))["score"] == 1

    def test_people_read_it(self):
        said = shown(UNCONFIRMED)
        for line in (
            "16_multi_head_attention: unconfirmed, so far 1 of 2 points, 1 of 2 stars",
            f"  o  core     ?/1  ?  {words.UNCONFIRMED}",
            "UNCONFIRMED  16_multi_head_attention · o · from outside",
            (
                "unconfirmed, so far 1 of 2 points · 1 of 2 stars · 1 sealed, 1 "
                "unconfirmed · 2.0 s"
            ),
        ):
            assert line in said.splitlines(), said
        [suite] = ET.fromstring(junit.render(UNCONFIRMED).encode("utf-8"))
        assert (
            suite.find("testcase/failure")
            .get("message")
            .startswith("unconfirmed: passes beside the specs")
        )


class TestOverridden:
    """A teacher's decision counts instead of what the specs said, and every report has
    its reason.
    """

    def test_it_gives_or_keeps_the_point_and_edges_decide_the_star(self):
        one, zero = (settled(points).katas[0] for points in (1, 0))
        assert (one.state, one.to_settle) == ("works", ())
        assert (one.so_far.points, one.so_far.stars) == (2, 1), "an edge is open"
        assert (zero.state, zero.so_far.points) == ("wrong", 1)
        no_edges = replace(OPEN, specs=OPEN.specs[:2], override=Override(1, "so"))
        assert no_edges.outcome == Decided(True, True)
        assert no_edges.first_failure is None
        works = replace(SEALED, override=Override(0, "copied"))
        assert works.outcome == Decided(False, False)

    def test_it_settles_what_was_not_graded_and_what_was_not_written(self):
        lost = replace(LOST, override=Override(1, "I ran it"))
        assert lost.outcome == Decided(True, False), "its edges were not run"
        kata = replace(KATA, exercises=(lost,))
        assert (kata.state, kata.gap) == ("works", None)
        empty = KataResult(
            "k", (ExerciseResult("c", (UNWRITTEN,), override=Override(1, "on paper")),)
        )
        assert empty.state == "works"

    @pytest.mark.parametrize("points", [0, 1])
    def test_every_report_of_a_class_has_the_reason(self, points):
        one = settled(points)
        report = ClassReport("", 1.0, True, {"eve": one})
        said = f"{'1 point' if points else 'no point'} by override: I <b>know</b> it"
        for text in (
            class_report.render_csv(report),
            gradebooks.render_moodle(report),
            words.verdict(one.katas[0].exercises[0]),
        ):
            assert said in text
        for text in (class_page.render(report), html(one)):
            assert "I &lt;b&gt;know&lt;/b&gt; it" in text and "<b>know" not in text
        [exercise, _] = json.loads(class_report.render_json(report))["students"][0][
            "report"
        ]["katas"][0]["exercises"]
        assert exercise["override"] == {"points": points, "reason": "I <b>know</b> it"}
        assert (exercise["points"], exercise["sealed"]) == (points, "failed")
        assert said in shown(one) and ("1 edge open" in shown(one)) == bool(points)


class TestSealing:
    """What no lock can judge is said, for each exercise and in the totals."""

    IN_PART = replace(
        SEALED, name="p", but_for="what must not be used and 2 of 9 specs"
    )
    NOT = replace(SEALED, name="n", sealed="unsealed")

    def sealed(self, *exercises: ExerciseResult) -> Report:
        return replace(
            REPORT, katas=(replace(KATA, exercises=exercises, message=""),), sealed=True
        )

    def test_of_an_exercise(self):
        assert [
            words.seal(one)
            for one in (SEALED, self.IN_PART, self.NOT, OPEN, KATA.exercises[0])
        ] == [
            "sealed",
            "sealed, but for what must not be used and 2 of 9 specs",
            "not sealed",
            "",
            "",
        ]
        assert (
            words.seal(replace(self.NOT, but_for="so is time"))
            == "not sealed: so is time"
        )
        assert words.verdict(replace(self.IN_PART, specs=(PASSED, EDGE))) == (
            "works · sealed, but for what must not be used and 2 of 9 specs · 1 "
            "edge open"
        )

    def test_totals_count_every_kind_of_point(self):
        several = self.sealed(
            SEALED, SEALED, self.IN_PART, self.NOT, ExerciseResult("a", (FAILED,))
        )
        assert (
            words.totals(several)
            == "4 of 5 points · 4 of 5 stars · 2 sealed, 1 sealed in part, 1 not sealed"
        )
        assert (
            words.totals(self.sealed(SEALED, SEALED))
            == "2 of 2 points · 2 of 2 stars · sealed"
        )
        assert (
            words.totals(self.sealed(self.IN_PART))
            == "1 of 1 points · 1 of 1 stars · 1 sealed in part"
        )
        assert words.totals(self.sealed(replace(SEALED, sealed=None))).endswith(
            " · 1 not sealed"
        ), "kept from a regrade"
        assert words.totals(settled(1)).endswith(" · 1 sealed, 1 by override")
        assert "sealed" not in words.totals(REPORT)
        assert words.totals(replace(settled(1), sealed=False)).endswith(
            "1 of 2 stars · 1 by override"
        )

    def test_every_report_of_a_teacher_has_it(self):
        """A student can do nothing about it, so no report of theirs does."""
        report = self.sealed(self.IN_PART, self.NOT)
        said = "sealed, but for what must not be used and 2 of 9 specs"
        texts = [shown(report), junit.render(report)]
        assert all(
            said in text
            for text in [*texts, class_page.render(a_class(a=report.katas[0]))]
        )
        assert not any("sealed" in render(report) for render in FORMATS.values())
        data = json.loads(json_report.render(report))
        holds_to("report", data)
        assert [one["but_for"] for one in data["katas"][0]["exercises"]] == [
            self.IN_PART.but_for,
            "",
        ]
        assert (
            kata_result(data["katas"][0]).exercises[0].but_for == self.IN_PART.but_for
        )
        seals = ET.fromstring(junit.render(report).encode()).findall(
            "testsuite/properties/property"
        )
        assert [(one.get("name"), one.get("value")) for one in seals] == [
            ("state", "works"),
            ("p", said),
            ("n", "not sealed"),
        ]


class TestThePage:
    """The page of a class: what a teacher looks for in it."""

    def test_it_is_called_after_the_assignment(self):
        page = class_page.render(
            replace(a_class(a=became("")), assignment="Sums & more (16)")
        )
        assert re.search(
            r"<h1>Sums &amp; more \(16\)</h1>\s*<p class='dim'>1 student ·", page
        )
        assert "<title>torch katas: Sums &amp; more (16)</title>" in page

    def test_students_link_to_their_pages_where_there_are_some(self):
        report = a_class(
            ann=became(""), bob=became(Failure("unparsed", "x.py:1: SyntaxError: no"))
        )
        page = class_page.render(replace(report, pages={"bob": "pages/b'b%20.html"}))
        link = (
            "<th scope='row' class='who'><a href='pages/b&#39;b%20.html'>bob</a></th>"
        )
        assert page.count(link) == 2 and "<a " not in class_page.render(report)

    def test_the_picture_counts_each_score_and_says_so_in_words(self):
        none, half = became(not_handed_in("x.py")), became("", "wrong")
        page = class_page.render(
            a_class(a=none, b=half, c=half, d=became("", ""), e=GAP.katas[0])
        )
        [picture] = re.findall(r"(?s)<svg .*?</svg>", page)
        told = "not handed in: 1 student; 1 point: 2 students; 2 points: 1 student"
        assert (
            f"aria-label='{told}'" in picture
            and f"<summary>the picture in words</summary>{told}<" in page
        )
        assert (
            picture.count("<rect") == 3
            and re.findall(r">(\w+)</text>", picture) == "1 none 0 2 1 1 2".split()
        )
        assert (
            "median 1 of 2 points · 3 students with a score, 1 handed in nothing"
            in page
        )

    def test_scores_that_are_no_whole_points_are_counted_in_tens(self):
        worth = [(0.0, "0"), (0.45, "40"), (0.999, "90"), (1.0, "100")]
        students = {}
        for penalty, _ in worth:
            kata = became("")
            late = replace(kata.exercises[0], penalty=1 - penalty)
            students[str(penalty)] = replace(
                REPORT, katas=(replace(kata, exercises=(late,)),)
            )
        bars = statistics.distribution(ClassReport("", 1.0, True, students))
        assert [bar.label for bar in bars if bar.students] == [
            label for _, label in worth
        ]

    def test_lateness_has_a_row_per_version(self):
        which = "the newest version, of <b>, counts; the one on time, of 1, gives less"
        exercises = tuple(replace(one, penalty=0.1) for one in KATA.exercises)
        due = Timing(
            "2026-12-02T10:00:00+01:00",
            "2026-12-01T23:59:59+01:00",
            "Europe/Berlin",
            days_late=1,
            penalty=10,
        )
        late = replace(KATA, exercises=exercises, timing=due, counts=which)
        early = replace(
            became(""), kata="17_x", timing=Timing("2026-12-02T09:30:00+00:00")
        )
        said = (
            "due Tue 1 Dec 2026 23:59 (Europe/Berlin) · handed in Wed 2 Dec 2026 "
            "10:00 · 1 day late: −10 %"
        )
        report = replace(REPORT, katas=(late, early), weighted=True)
        assert words.hand_ins(report) == [
            ("16", f"{said} of 2 = 1.8", which),
            ("17", "handed in Wed 2 Dec 2026 09:30", ""),
        ]
        assert " · late: 16: 10 % less" in words.totals(report)
        page = class_page.render(
            ClassReport("", 1.0, True, {"ann": report, "bob": REPORT})
        )
        assert "−10 % of 2 = 1.8<small>the newest version, of &lt;b&gt;, counts" in page
        assert "<td class='n' data-v='0.1'>16: 10 % less</td>" in page
        assert page.count("data-v='1796203800.0'") == 1, (
            "it is sorted by the newest, whatever the zone"
        )
        assert f"16: {said} of 2 = 1.8 · the newest version" in html(report)
        alone = replace(report, katas=(late,))
        assert words.late(alone) == "10 % less" and words.late(REPORT) == ""
        assert "handed in</th>" not in class_page.render(a_class(a=became("")))

    def test_only_its_own_script_may_run(self):
        page = class_page.render(a_class(a=became(HOSTILE)))
        script = "".join(
            (TEMPLATES / name).read_text().rstrip("\n")
            for name in ("sort.js", "copy.js")
        )
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert (
            f"script-src 'sha256-{digest}'\"" in page
            and f"<script>{script}</script>" in page
        )
        assert "script-src" not in html(REPORT)


class TestClass:
    TWO = ClassReport(
        "2026-01-02T03:04:05+00:00", 3.0, True, {"<b>ann": REPORT, "=bob": NASTY}
    )

    def test_html_has_a_row_for_every_student_and_escapes_it(self):
        page = class_page.render(self.TWO)
        assert (
            "&lt;b&gt;ann" in page
            and "<b>ann" not in page
            and "http:" not in page
            and "https:" not in page
        )
        assert page.count("<script") == 1, "the one that sorts, which alone may run"
        for heading in ("Points", "Exercises, the hardest first", "Time"):
            assert f"<h2>{heading}</h2>" in page
        assert (
            ">2</td>" in page
            and ">score</th>" not in page
            and "!</td>" in page
            and "! crashed" in page
        )
        assert class_page.render(ClassReport("", 0.0, False)).count("<h2>") == 3
        weighted = class_page.render(replace(self.TWO, students={"ann": WEIGHTED}))
        assert ">score</th>" in weighted and "median score 4.5 of 10 ·" in weighted

    def test_csv_has_a_column_a_kata(self):
        head, ann, bob = csv.reader(io.StringIO(class_report.render_csv(self.TWO)))
        sums = ["points", "max_points", "stars", "score", "max_score"]
        katas = ["16_multi_head_attention", "01_sums"]
        assert head == [
            "student",
            *sums,
            *katas,
            "state",
            "run",
            *(f"{kata} state" for kata in katas),
            "reason",
            "sealed",
            "overrides",
            "id",
            "email",
            "handed_in",
            "penalty",
            "lateness",
        ]
        assert ann == [
            "<b>ann",
            "2",
            "4",
            "1",
            "2",
            "4",
            "2",
            "",
            "graded",
            "complete",
            "wrong",
            "not graded",
            *[""] * 8,
        ]
        assert bob == [
            "'=bob",
            "0",
            "1",
            "0",
            "0",
            "1",
            "",
            "0",
            "graded",
            "complete",
            "not graded",
            "crashed",
            *[""] * 8,
        ]
        weighted = replace(self.TWO, students={"ann": WEIGHTED})
        assert (
            class_report.render_csv(weighted).splitlines()[1]
            == "ann,2,4,1,4.5,10,4.5,graded,complete,wrong,,,,,,,,"
        )

    def test_csv_says_who_and_when(self):
        """One version counts for each kata; a spreadsheet takes none of it for
        a formula.
        """
        late = replace(KATA, timing=Timing("2026-12-02T10:00:00+01:00", penalty=20))
        late = replace(
            late, exercises=tuple(replace(one, penalty=0.2) for one in late.exercises)
        )
        early = replace(became(""), timing=Timing("2026-12-02T09:30:00+00:00"))
        roster = {"Ada (7)": Identity("=7", "Ada", "ada@x")}
        students = {"Ada (7)": replace(REPORT, katas=(late, early)), "bob": REPORT}
        ada, bob = csv.DictReader(
            io.StringIO(
                class_report.render_csv(ClassReport("", 1.0, True, students, roster))
            )
        )
        columns = ("id", "email", "handed_in", "penalty")
        assert [ada[name] for name in columns] == [
            "'=7",
            "ada@x",
            "2026-12-02T09:30:00+00:00",
            "20",
        ]
        assert [bob[name] for name in columns] == [""] * 4

    def test_json_holds_each_students_report(self):
        data = json.loads(class_report.render_json(self.TWO))
        assert [one["student"] for one in data["students"]] == ["<b>ann", "=bob"]
        assert data["students"][0]["report"] == json.loads(json.dumps(as_dict(REPORT)))


class TestCells:
    """No spreadsheet takes a text for a formula, whatever it splits cells at."""

    @pytest.mark.parametrize("sign", "=+-@＝﹦＋－＠")
    @pytest.mark.parametrize(
        "before",
        [
            *("", "  ", "\u3000", '"', "\t"),
            *("x,", "x;", "x\t", "x\n", "x\r", "x；", "x; ", 'x;"', "x;;"),
        ],
    )
    def test_a_sign_where_a_cell_may_begin_has_a_mark(self, before, sign):
        """Also signs that Unicode calls the same but for their width."""
        assert csv_cells.as_text(f"{before}{sign}1") == f"{before}'{sign}1"

    @pytest.mark.parametrize(
        "text",
        [
            "Anne-Marie",
            "Smith, John",
            "ada+dl@uni.edu",
            "x = 1; y = 2",
            "2026-12-01T18:00:00+01:00",
            "14 of 14 points · late: −20 %",
            "it fails: a - b",
            "x;'=1",
        ],
    )
    def test_other_text_is_as_it_was(self, text):
        assert csv_cells.as_text(text) == text

    def test_a_name_stays_readable(self):
        assert csv_cells.as_text("Smith, -x") == "Smith, '-x"

    def test_numbers_stay_numbers(self):
        rows = [["=x", -2, 2.5], ["", 0, -0.5]]
        assert csv_cells.render(rows) == "'=x,-2,2.5\n,0,-0.5\n"

    @given(rows=st.lists(st.lists(st.text("=+-@＝ \"';,\t\n\rx"), min_size=1)))
    def test_no_way_to_split_a_file_gives_a_formula(self, rows):
        text = csv_cells.render(rows)
        for separator in ",;\t":
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
                lines = io.StringIO(text, newline="")
                for row in csv.reader(lines, delimiter=separator, quoting=quoting):
                    begins = [cell.replace('"', "").lstrip(" ")[:1] for cell in row]
                    assert not set(begins) & set("=+-@＝")

    def test_one_function_writes_every_csv_file(self):
        rooms = [ROOT / "grader/reports", ROOT / "grader/teaching"]
        files = [file for room in rooms for file in room.rglob("*.py")]
        writes = re.compile(r"\bcsv\.(writer|DictWriter)\b|\bfrom csv\b")
        found = [file.name for file in files if writes.search(file.read_text())]
        assert found == ["csv_cells.py"]
