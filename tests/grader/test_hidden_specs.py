"""A teacher's own specs: they count, nothing loses them, and a mistake in them is told
in one line.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.course import catalogue
from grader.course.catalogue import Kata, all_katas
from grader.errors import MisplacedSpecs
from grader.execution import grading, result_cache
from grader.protocol import RunOptions
from grader.results import ExerciseResult, KataResult
from grader.workers.jobs import Job
from tests.conftest import SOUND
from workshop import seals

RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()
MINE = '''
import pytest
import torch

from grader.specs import check


class TestDouble:
    def test_a_negative_number(self, kata):
        """Twice −3 is −6."""
        check.equal(kata.double(torch.tensor([-3.0])), torch.tensor([-6.0]))

    @pytest.mark.edge
    def test_nothing(self, kata):
        """Twice nothing is nothing."""
        check.equal(kata.double(torch.zeros(0)), torch.zeros(0))
'''
HIDDEN = ["TestDouble::test_a_negative_number", "TestDouble::test_nothing"]


@pytest.fixture
def kata(tmp_path) -> Kata:
    """01_sums in a tree of its own, with two hidden specs of `double`."""
    shutil.copytree(SOUND, tmp_path / "tree")
    kata = all_katas(tmp_path / "tree")[0]
    write(kata, MINE)
    return kata


def write(kata: Kata, text: str, name: str = "test_mine.py") -> Path:
    path = kata.folder / "teacher" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def graded(kata: Kata, double: str, folder: Path, **options) -> KataResult:
    """The reference with another body of `double`."""
    code = folder / "code" / kata.file
    code.parent.mkdir(parents=True, exist_ok=True)
    code.write_text(f"{RIGHT}\n\nimport os, torch\n\ndef double(x):\n    {double}\n")
    [result] = grading.grade_folder(
        [kata], folder / "code", options=RunOptions(**options)
    )
    return result


def statuses(exercise: ExerciseResult) -> list[str]:
    hidden = [spec for spec in exercise.specs if spec.hidden]
    assert [spec.name for spec in hidden] == HIDDEN
    return [spec.status for spec in hidden]


def test_they_count_for_point_and_star(kata, tmp_path):
    for body, hidden, sums in [
        ("return 2 * x", ["passed", "passed"], (1, 1)),
        ("return 2 * x.abs()", ["failed", "passed"], (0, 0)),
        ("return 2 * x if x.numel() else None", ["passed", "failed"], (1, 0)),
    ]:
        double = graded(kata, body, tmp_path).exercises[0]
        assert (statuses(double), (double.so_far.point, double.so_far.star)) == (
            hidden,
            sums,
        )
        assert all(spec.status == "passed" for spec in double.specs if not spec.hidden)
    assert any(
        "teacher/test_mine.py:13 · test_nothing" in spec.message
        for spec in double.specs
    )


def test_one_that_loses_its_worker_is_an_error(kata, tmp_path):
    double = graded(
        kata, "return 2 * x if (x >= 0).all() else os._exit(0)", tmp_path
    ).exercises[0]
    assert (statuses(double), double.so_far.point) == (["error", "missing"], 0)


@pytest.mark.skipif(sys.platform != "linux", reason="the second lock needs Linux")
def test_the_courses_own_specs_still_seal(kata, tmp_path):
    """A hidden spec is asked in the first lock alone, and the list of the others
    stays valid.
    """
    double = graded(kata, "return 2 * x", tmp_path, sealed=True).exercises[0]
    assert (double.sealed, double.so_far.point, statuses(double)) == (
        "passed",
        1,
        ["passed", "passed"],
    )
    assert not set(HIDDEN) & seals.infos(kata).keys()


def test_a_changed_one_is_noticed(kata, tmp_path):
    def key() -> str:
        return result_cache.key(Job(kata, {kata.file: RIGHT}))

    assert graded(kata, "return 2 * x", tmp_path).exercises[0].so_far.point
    before = key()
    assert before == key()
    write(kata, MINE.replace("-6.0", "-6.5"))
    assert key() != before
    assert not graded(kata, "return 2 * x", tmp_path).exercises[0].so_far.point
    write(kata, "", "test_more.py")
    assert key() != before


MISTAKES = [
    (
        MINE.replace("TestDouble", "TestDuble"),
        "class TestDuble names no exercise: is it TestDouble?",
    ),
    (
        MINE.replace("TestDouble", "TestX"),
        "class TestX names no exercise: the kata has TestDouble, TestTotal, ",
    ),
    (
        "def test_it(kata):\n    pass\n",
        "test_it is in no class: put it into one that names an exercise, such as ",
    ),
    (
        MINE.replace("a_negative_number", "every_value_is_doubled"),
        "test_sums.py has a spec TestDouble::test_every_",
    ),
    (
        "import no_such_module\n",
        "ModuleNotFoundError: No module named 'no_such_module'",
    ),
    ("class TestDouble\n", "SyntaxError: expected ':'"),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_a_mistake_is_one_line_that_names_the_file(kata, tmp_path, text, said):
    """In pytest, and where code is graded. Nothing is graded then, and a student's
    report does not say why.
    """
    write(kata, text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "katas/01"]
    done = subprocess.run(command, cwd=kata.root, capture_output=True, text=True)
    assert done.returncode in (
        pytest.ExitCode.TESTS_FAILED,
        pytest.ExitCode.INTERRUPTED,
    )
    assert (
        said in done.stdout
        and "katas/01_sums/teacher/test_mine.py" in done.stdout
        and done.stderr == ""
    )
    result = graded(kata, "return 2 * x", tmp_path, only=("TestDouble",))
    assert (
        result.gap.line.startswith("katas/01_sums/teacher/test_mine.py: ")
        and said in result.gap.line
    )
    assert (result.state, result.message) == ("not graded", "")
    assert all(spec.hidden for exercise in result.exercises for spec in exercise.specs)


def test_two_files_may_not_have_one_spec_twice(kata, tmp_path):
    write(kata, MINE, "test_other.py")
    said = (
        "katas/01_sums/teacher/test_other.py: test_mine.py has a spec "
        "TestDouble::test_a_negative_number, too"
    )
    assert said in graded(kata, "return 2 * x", tmp_path).gap.line


def test_a_file_without_specs_is_a_mistake_and_an_empty_folder_is_none(kata, tmp_path):
    path = write(kata, "class Double:\n    pass\n")
    assert graded(kata, "return 2 * x", tmp_path).gap.line.endswith(
        "teacher/test_mine.py: holds no spec"
    )
    path.unlink()
    assert graded(kata, "return 2 * x", tmp_path).state == "works"


@pytest.mark.parametrize(
    "place",
    [
        "01_sums/teacher/mine.py",
        "01_sums/teachers/test_mine.py",
        "01_summs/teacher/test_mine.py",
    ],
)
def test_specs_that_would_not_count_are_refused(kata, place):
    catalogue.refuse_misplaced_specs(kata.root)
    (kata.root / "katas" / place).parent.mkdir(parents=True, exist_ok=True)
    (kata.root / "katas" / place).write_text(MINE)
    with pytest.raises(MisplacedSpecs, match=f"katas/{place}: its specs do not count"):
        catalogue.refuse_misplaced_specs(kata.root)
