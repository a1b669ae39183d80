"""A file of tests that passed is left out only while what it names stays as it was, and only if it passed."""

from types import SimpleNamespace

import pytest

from grader.course.catalogue import all_katas
from tests import known

FILE = "tests/grader/test_a.py"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setattr(known, "ROOT", tmp_path)
    monkeypatch.setattr(known, "all_katas", lambda: all_katas(tmp_path))
    files = ("grader/a.py", "katas/01_sums/kata.toml", "katas/02_reuse/kata.toml", "docs/a.md", FILE)
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text('grade("01")\n' if file == FILE else "")
    return tmp_path


def run(outcome: str = "passed", exitstatus: int = 0) -> None:
    plugin = known.Known()
    plugin.pytest_runtest_logreport(SimpleNamespace(nodeid=f"{FILE}::test_a", failed=outcome == "failed"))
    plugin.pytest_sessionfinish(SimpleNamespace(config=SimpleNamespace()), exitstatus)


@pytest.mark.parametrize(
    ("edited", "is_known"),
    [
        ("docs/a.md", True),
        ("katas/02_reuse/kata.toml", True),
        ("katas/01_sums/kata.toml", False),
        ("katas/01_sums/new.md", False),
        ("grader/a.py", False),
        (FILE, False),
    ],
)
def test_only_what_it_names_has_a_file_run_again(tree, edited, is_known):
    assert known.Known().known == set()
    run()
    assert known.Known().known == {FILE}
    with (tree / edited).open("a") as file:
        file.write("# more\n")
    assert known.Known().known == ({FILE} if is_known else set())
    items = [SimpleNamespace(nodeid=f"{FILE}::test_a"), SimpleNamespace(nodeid="tests/test_katas.py::test_promise")]
    known.Known().pytest_collection_modifyitems(items)
    assert len(items) == (1 if is_known else 2)


@pytest.mark.parametrize("run_of", [("failed", 1), ("passed", pytest.ExitCode.INTERRUPTED)])
def test_a_failure_and_an_interrupted_run_are_not_kept(tree, run_of):
    run(*run_of)
    assert known.Known().known == set()
