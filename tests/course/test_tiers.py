"""What `make test` takes for changed, and which tests read it."""

import importlib.util
import re
import subprocess
from types import SimpleNamespace

import pytest

from grader.course.catalogue import ROOT, find
from tests import cost, tiers
from workshop import promises

NOBODY = ("-c", "user.name=x", "-c", "user.email=x@localhost")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A function that runs git in a clone of a repository with two files on main, where
    tests are chosen.
    """

    def git(*arguments: str, folder: str = "clone") -> None:
        subprocess.run(
            ["git", *NOBODY, *arguments],
            cwd=tmp_path / folder,
            check=True,
            capture_output=True,
        )

    main = tmp_path / "main"
    (main / "katas/01_sums").mkdir(parents=True)
    for name in ("sums.py", "héllo.md"):
        (main / "katas/01_sums" / name).write_text("as on main")
    git("init", "-q", "-b", "main", folder="main")
    git("add", ".", folder="main")
    git("commit", "-q", "-m", "one", folder="main")
    git("clone", "-q", "main", "clone", folder="")
    monkeypatch.setattr(tiers, "ROOT", tmp_path / "clone")
    return git


def changed() -> set[str]:
    return {path.relative_to(tiers.ROOT).as_posix() for path in tiers.difference()[0]}


def test_what_differs_from_the_main_branch_is_known(clone):
    """Committed or not; of a file that is gone, what lies beside it."""
    assert (changed(), tiers.main()) == (set(), 1)
    (tiers.ROOT / "katas/01_sums/sums.py").write_text("not as on main")
    clone("commit", "-q", "-a", "-m", "two")
    (tiers.ROOT / "new one.md").write_text("x")
    assert (changed(), tiers.main()) == ({"katas/01_sums/sums.py", "new one.md"}, 0)
    (tiers.ROOT / "katas/01_sums/sums.py").unlink()
    assert changed() == {"katas/01_sums/héllo.md", "new one.md"}
    (tiers.ROOT / "conftest.py").write_text("x")
    assert tiers.main() == 1


def test_where_there_is_nothing_to_compare_with_it_is_said(
    clone, tmp_path, monkeypatch, capsys
):
    tiers.main()
    clone("checkout", "-q", "--orphan", "other")
    clone("commit", "-q", "-m", "unrelated, as in a shallow checkout")
    tiers.main()
    monkeypatch.setattr(tiers, "ROOT", tmp_path)
    assert tiers.main() == 1
    said = [
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("compared")
    ]
    assert [line.partition(":")[0] for line in said] == [
        (
            "compared with HEAD, which is on origin/main; differs, and what reads it "
            "is quick"
        ),
        "compared with HEAD alone",
        "compared with nothing",
    ]


def test_a_broken_kata_ends_the_run_with_a_line(monkeypatch):
    monkeypatch.setattr(tiers, "READS", {"a file": ["no such kata"]})
    monkeypatch.setattr(tiers, "difference", lambda: ({ROOT}, ""))
    config = SimpleNamespace(
        getoption=lambda name: "quick", pluginmanager=pytest.PytestPluginManager()
    )
    with pytest.raises(pytest.UsageError, match="no such kata"):
        tiers.pytest_configure(config)


def test_each_file_that_is_not_quick_declares_the_katas_that_it_reads():
    dear = {
        file
        for file, seconds in cost.on_record().items()
        if seconds > tiers.CHEAP and file.startswith("tests/")
    }
    in_part = {file for file, parts in tiers.DEAR.items() if parts != [tiers.EVERY]}
    whole = tiers.DEAR.keys() - in_part
    assert tiers.READS.keys() == (dear | tiers.NOT_QUICK | in_part) - whole
    assert all(find(name) for names in tiers.READS.values() for name in names)


def test_what_needs_an_extra_is_left_to_the_rest_unless_the_quick_tests_have_it(
    monkeypatch,
):
    kata, file = find("kernels/07"), "tests/grader/test_kernels.py"
    monkeypatch.setattr(tiers, "difference", lambda: ({kata.reference}, "main"))
    monkeypatch.setattr(tiers, "READS", {file: [kata.name]})
    of_promise = SimpleNamespace(
        callspec=SimpleNamespace(params={"kata": kata, "promise": promises.accepted})
    )
    for tier, installed in (("quick", True), ("quick", False), ("rest", True)):
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, installed=installed: installed or None,
        )
        chosen, is_quick = tiers.Tier(tier), tier == "quick" and installed
        assert chosen.is_quick(of_promise) == is_quick
        assert (chosen.left, chosen.about_a_change) == (
            (set(), {file}) if is_quick else ({file}, set())
        )


def test_a_file_that_imports_what_only_an_extra_brings_says_so():
    needs = re.compile(
        rf"^ *(import|from) (yaml|nbclient|{'|'.join(tiers.NEEDS.values())})\b",
        re.MULTILINE,
    )
    for file in tiers.READS.keys() - tiers.NEEDS:
        assert tiers.READS[file] == tiers.EVERY_KATA or not needs.search(
            (ROOT / file).read_text("utf-8")
        ), file


@pytest.mark.parametrize(
    ("file", "reads", "does_not"),
    [
        (
            "solutions/25_causal_self_attention/causal_self_attention.py",
            ("26", promises.accepted),
            "24",
        ),
        (
            "solutions/tinytorch/02_tensor/tensor.py",
            ("tinytorch/05", promises.unguarded),
            "tinytorch/01",
        ),
        ("katas/03_tensor_indexing_slicing/README.md", ("04", promises.complete), "05"),
    ],
)
def test_a_promise_about_another_kata_is_quick_that_reads_what_has_changed(
    file, reads, does_not, monkeypatch
):
    assert (ROOT / file).is_file()
    monkeypatch.setattr(tiers, "difference", lambda: ({ROOT / file}, "main"))
    tier, (name, promise) = tiers.Tier("quick"), reads

    def is_quick(name: str) -> bool:
        given = {"kata": find(name), "promise": promise}
        return tier._reads_a_change(
            SimpleNamespace(callspec=SimpleNamespace(params=given))
        )

    assert is_quick(name) and not is_quick(does_not)
