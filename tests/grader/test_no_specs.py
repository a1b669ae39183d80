"""A run without specs is never a success: not in pytest, and not in a grading."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT, Kata, all_katas
from grader.execution import grading
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.teaching.assignment import Assignment
from grader.teaching.class_grading import Graded
from grader.teaching.gradebook import Gradebook
from tests.conftest import SOUND

ONLY_DOUBLE = '''
class TestDouble:
    def test_it(self, kata):
        """Twice as much."""
        assert kata.double(2) == 4
'''


@pytest.fixture
def kata(tmp_path) -> Kata:
    """01_sums in a tree of its own."""
    shutil.copytree(SOUND, tmp_path / "tree")
    return all_katas(tmp_path / "tree")[0]


def graded(kata: Kata, **options) -> KataResult:
    [result] = grading.grade_folder(
        [kata], kata.root / "solutions", options=RunOptions(**options)
    )
    return result


def pytest_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_pytest_says_that_nothing_was_selected():
    done = pytest_run(ROOT, "katas/16", "-k", "nothing_like_this")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert (
        done.stdout.count("no specs were run: none matches the path, -k and -m\n") == 1
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    "text", ["", "import torch\n", "class TestDouble:\n    pass\n"]
)
def test_a_spec_file_without_specs_grades_nothing(kata, text):
    kata.specs.write_text(text)
    result = graded(kata)
    assert (result.state, result.so_far.points, result.max_points) == (
        "not graded",
        0,
        3,
    )
    assert result.message == "test_sums.py holds no spec to run"
    assert {
        spec.status for exercise in result.exercises for spec in exercise.specs
    } == {"not graded"}


def test_a_spec_file_that_cannot_be_collected_costs_its_own_kata_only(kata):
    """In a process of its own: the forkserver of this one has collected other
    specs already.
    """
    kata.specs.write_text("import no_such_module\n")
    grade = (
        "import sys; from pathlib import Path; from grader.course.catalogue import "
        "all_katas; "
        "from grader.execution import grading; root = Path(sys.argv[1]); "
        "results = grading.grade_folder(all_katas(root), root / 'solutions'); "
        "print({one.kata: (one.so_far.points, one.message) for one in results})"
    )
    done = subprocess.run(
        [sys.executable, "-c", grade, kata.root],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    results = ast.literal_eval(done.stdout)
    assert results["01_sums"] == (
        0,
        "test_sums.py could not be collected: see pytest katas/01_sums",
    )
    assert results["02_reuse"][0] == 1


def test_an_exercise_without_specs_earns_no_point(kata):
    kata.specs.write_text(ONLY_DOUBLE)
    result = graded(kata)
    assert (result.state, result.so_far.points, result.max_points) == (
        "not graded",
        1,
        3,
    )
    failures = [exercise.first_failure for exercise in result.exercises]
    assert [failure and failure.message for failure in failures] == [
        None,
        "test_sums.py holds no spec of total",
        "test_sums.py holds no spec of Doubler",
    ]


def test_options_that_leave_an_exercise_out_are_no_error(kata):
    assert [exercise.name for exercise in graded(kata, core=True).exercises] == [
        "double",
        "total",
    ]
    both = graded(kata, only=("test_the_layer_doubles", "TestDouble"))
    assert [exercise.name for exercise in both.exercises] == ["double", "Doubler"]
    assert [
        exercise.name for exercise in graded(kata, only=("TestTotal",)).exercises
    ] == ["total"]


def test_options_that_no_spec_fits_grade_nothing(kata):
    result = graded(kata, only=("test_nothing_like_this",))
    assert (result.state, result.message) == (
        "not graded",
        "test_sums.py holds no spec to run",
    )


def test_a_class_lists_a_student_as_not_graded_where_there_is_no_spec(kata):
    """The grader is to blame: no zero stands in the class's report."""
    kata.specs.write_text("")
    book = Gradebook({"ann": {}}, Assignment([kata], RunOptions()))
    book.enter(Graded("ann", "newest", graded(kata)))
    assert {who: kata.gap.line for who, kata in book.ungraded.items()} == {
        "ann": "test_sums.py holds no spec to run"
    }
    report = book.report("ann")
    assert not report.is_whole and all(kata.gap for kata in report.katas)
