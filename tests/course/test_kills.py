"""`kata kills`: what each spec notices, and what `kata promises` says of one that was hollowed out."""

import shutil

import pytest

from grader.authoring import kills, mutants
from grader.course.catalogue import all_katas
from tests.conftest import SOUND


@pytest.fixture
def kata(tmp_path, monkeypatch, warm_workers):
    """A copy of the sound kata, without the mutants of another package."""
    monkeypatch.setattr(mutants, "general_edits", lambda source: [])
    monkeypatch.setattr(mutants, "need_engine", lambda: None)
    shutil.copytree(SOUND, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__", ".kata"))
    return all_katas(tmp_path / "tree")[0]


def change(path, was: str, now: str) -> None:
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, now, 1))


def test_what_specs_notice_is_found_kept_and_missed(kata, capsys, monkeypatch):
    reasons, again = kata.author / "kills.toml", "test_the_input_stays"
    twice = '"""Said twice."""\n        with check.unchanged(x=(x := torch.arange(6.0))):\n            kata.double(x)'
    change(kata.specs, "\n\nclass TestTotal", f"\n    def {again}(self, kata):\n        {twice}\n\n\nclass TestTotal")
    reasons.write_text('"it was here" = ["TestDouble::test_gone"]\n')
    assert kills.report([kata]) == 1
    *unneeded, stale, end = capsys.readouterr().out.splitlines()
    assert len(unneeded) == 2
    assert f" and {again} notice, too: sharpen, merge or drop it, or give the reason" in unneeded[0]
    assert stale.startswith("author/kills.toml: TestDouble::test_gone needs no reason")
    assert end == "01_sums: of 5 specs of points 3 alone notice some change, 5 any, 0 only by an error, 1 have a reason"
    assert kills.hollowed(kata) == []
    with monkeypatch.context() as patch:
        patch.setattr(kills, "find", None)  # for the same files it is not called again
        assert kills.report([kata]) == 1
        assert capsys.readouterr().out.splitlines() == [*unneeded, stale, end]

    change(kata.specs, "check.equal(kata.double(x), x + x, unlike=", "(kata.double(x), x + x, dict(unlike=")
    change(kata.specs, '{"squared": x * x})', '{"squared": x * x}))')
    spec = "katas/01_sums/test_sums.py:10: TestDouble::test_every_value_is_doubled"
    [said] = kills.hollowed(kata)
    assert said.startswith(f"{spec} no longer notices this change, as it did: mistake '")
    change(kata.reference, "2 * x", "x * 2")
    assert kills.hollowed(kata) == [], "what was found for another reference says nothing"


def test_a_spec_that_alone_notices_a_change_is_asked_once_more():
    for again, noticed in (({}, {}), ({"a": False}, {"a": False})):
        inquiry = kills._inquiry([{"a", "b"}, {"c"}], {}, set(), {"a", "b", "c"})
        assert next(inquiry) == {"a", "b"}
        assert inquiry.send({"a": False}) == {"a"}
        with pytest.raises(StopIteration) as end:
            inquiry.send(again)
        assert end.value.value == noticed


def test_what_two_notice_is_not_shown_to_slow_specs_that_notice_another_change():
    change = kills.Noticed(kills.Change("another", ""), {"a"}, False, False, {"a"})
    for first, then in (({"a": False, "b": False}, None), ({"a": False}, {"slow"})):
        inquiry = kills._inquiry([{"a", "b", "slow"}], {"slow": change}, {"slow"}, {"a", "b", "slow"})
        assert next(inquiry) == {"a", "b"}
        if then:
            assert inquiry.send(first) == then
        else:
            with pytest.raises(StopIteration):
                inquiry.send(first)
    everyone = {"a", "slow"}
    assert next(kills._inquiry([everyone], {}, {"slow"}, everyone)) == everyone, "it has no change yet"
    assert next(kills._inquiry([everyone], {"slow": change}, set(), {"a"})) == {"a"}, "it has taken its time"
