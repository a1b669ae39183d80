"""A promise that held is not tried again until something changes; one that was broken always is."""

import pytest

from grader.authoring import verdicts
from grader.course.catalogue import ROOT, Kata, find
from grader.memory import Memory
from tests.conftest import SOUND


@pytest.fixture
def tried(monkeypatch, tmp_path) -> list[str]:
    monkeypatch.setattr(verdicts, "MEMORY", Memory(tmp_path))
    return []


def test_it_is_tried_once_until_a_file_changes(tried, monkeypatch):
    @verdicts.remembered
    def promise(kata: Kata) -> list[str]:
        tried.append(kata.name)
        return []

    assert [promise(find("01")), promise(find("01")), promise(find("02"))] == [[], [], []]
    assert tried == [find("01").name, find("02").name]
    monkeypatch.setattr(verdicts, "key", lambda kata: "another")
    promise(find("01"))
    promise(find("01"))
    assert len(tried) == 3


def test_a_broken_promise_and_another_tree_are_not_remembered(tried):
    @verdicts.remembered
    def promise(kata: Kata) -> list[str]:
        tried.append(kata.name)
        return ["broken"] if kata.root == ROOT else []

    for kata in (find("01"), Kata(SOUND, "01_sums")):
        promise(kata)
        promise(kata)
    assert len(tried) == 4


def test_the_key_covers_what_the_kata_builds_on(monkeypatch):
    read = []
    monkeypatch.setattr(verdicts, "_files", lambda folder: read.append(folder) or [])
    verdicts.key(find("17"))
    assert {ROOT / "katas" / find("16").name, ROOT / "solutions" / find("17").name} <= set(read)
