"""What katas are worth: the file that says so, the points in every report, and in what is exported."""

import json
import tomllib

import pytest
import yaml

from grader.course.catalogue import find
from grader.errors import BrokenRules
from grader.reports import classroom, classroom50, csv_report, gradescope
from grader.results import ExerciseResult, KataResult, Report, SpecResult, shares, weighted
from grader.teaching import export, weights

pytestmark = pytest.mark.usefixtures("warm_workers")


def solved(*statuses: str) -> KataResult:
    return KataResult(
        "16_x", tuple(ExerciseResult(f"e{n}", (SpecResult("TestX::test_y", s),)) for n, s in enumerate(statuses))
    )


@pytest.mark.parametrize(
    ("points", "number", "expected"),
    [(8, 4, [2] * 4), (3, 2, [1, 2]), (2, 4, [0, 1, 0, 1]), (0, 3, [0] * 3), (5, 0, [])],
)
def test_shares_are_whole_even_and_complete(points, number, expected):
    assert shares(points, number) == expected


def test_every_report_counts_in_these_points():
    result = weighted(solved("passed", "failed", "passed"), 20)
    assert (result.points, result.max_points, result.status) == (13, 20, "failed")
    report = Report("x", "2026-01-02T03:04:05+00:00", 1.0, True, (result,))
    assert [test["score"] for test in json.loads(classroom.render(report))["tests"]] == [6, 0, 7]
    assert [test["max-score"] for test in json.loads(classroom50.render(report))["tests"]] == [6, 7, 7]
    assert [test["max_score"] for test in json.loads(gradescope.render(report))["tests"]] == [6, 7, 7]
    assert "16_x,e2,core,7,7," in csv_report.render(report)


def test_a_kata_worth_nothing_can_be_passed_and_failed():
    assert weighted(solved("passed", "passed"), 0).status == "passed"
    assert weighted(solved("passed", "failed"), 0).status == "failed"


def test_without_weights_an_exercise_is_worth_a_point():
    assert weighted(solved("passed", "failed"), None) == solved("passed", "failed")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("16 = ", "at end of document"),
        ("16 = 1.5", "16 = 1.5: a kata is worth whole points, 0 or more"),
        ("16 = -1", "16 = -1: a kata is worth whole points"),
        ("16 = true", "16 = True: a kata is worth whole points"),
        ("[16]\nx = 1", "a kata is worth whole points"),
        ("99 = 1", "'99' matches nothing in katas/"),
        ("16 = 1\nmulti_head = 2", "16_multi_head_attention is there twice"),
        ("16 = 1\n16 = 2", "Cannot overwrite a value"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, text, said):
    (tmp_path / "w.toml").write_text(text)
    with pytest.raises(BrokenRules) as failure:
        weights.read(tmp_path / "w.toml")
    assert said in str(failure.value) and "w.toml" in str(failure.value) and "\n" not in str(failure.value)


def test_the_command_takes_such_a_file(tmp_path, kata_here):
    (tmp_path / "w.toml").write_text("16 = 40\n")
    done = kata_here(
        "grade",
        "15",
        "16",
        "--code",
        "solutions",
        "--weights",
        tmp_path / "w.toml",
        "--report",
        f"json={tmp_path}/r.json",
    )
    assert "46 of 46 points" in done.stdout, done.stderr
    assert [(k["points"], k["max_points"]) for k in json.loads((tmp_path / "r.json").read_text())["katas"]] == [
        (6, 6),
        (40, 40),
    ]
    done = kata_here("grade", "16", "--weights", tmp_path / "none.toml")
    assert done.returncode == 2 and done.stderr == f"kata: {tmp_path}/none.toml: No such file or directory\n"


def test_a_class_counts_in_them_too(tmp_path, kata_here):
    (tmp_path / "w.toml").write_text("01 = 80\n")
    target = tmp_path / "class" / "ada" / find("01").file
    target.parent.mkdir(parents=True)
    target.write_text(find("01").reference.read_text())
    done = kata_here(
        "grade",
        "01",
        "--submissions",
        tmp_path / "class",
        "--weights",
        tmp_path / "w.toml",
        "--report",
        f"csv={tmp_path}/c.csv",
    )
    assert "ada: 80 of 80 points" in done.stdout, done.stderr
    assert "ada,80,80,80" in (tmp_path / "c.csv").read_text()


def test_what_is_exported_keeps_them(tmp_path):
    one = find("01")
    export.starter(tmp_path / "s", [one], "acme/course", "0123abc", {one.name: 20})
    export.teacher(tmp_path / "t", [one], "acme/course", "0123abc", {one.name: 20})
    for folder in ("s", "t"):
        assert tomllib.loads((tmp_path / folder / "weights.toml").read_text()) == {one.name: 20}
    workflow = yaml.safe_load((tmp_path / "s/.github/workflows/classroom.yml").read_text())
    [step] = [step for step in workflow["jobs"]["run-autograding-tests"]["steps"] if step.get("name") == one.name]
    assert step["run"].endswith(" 20")
    tests = json.loads((tmp_path / "s/.github/classroom/autograding.json").read_text())["tests"]
    assert sum(test["points"] for test in tests) == 20
    export.starter(tmp_path / "s", [one], "acme/course", "0123abc", {})
    assert not (tmp_path / "s" / "weights.toml").exists()
