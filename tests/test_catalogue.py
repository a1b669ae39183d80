"""Which kata a name means, and what a kata is made of."""

import pytest

from grader import catalogue
from grader.catalogue import Exercise, Kata, UnknownKata
from tests.conftest import SOUND


@pytest.fixture
def tree(tmp_path):
    for name in ["01_tensors", "13_normalization", "15_scaled", "16_multi_head", "17_transformer", "appendix_a_cnn",
                 "appendix_b_gpu_cuda", "papers/13_attention_is_all", "papers/14_bahdanau", "tinytorch/05_autograd"]:  # fmt: skip
        (tmp_path / "katas" / name / "__pycache__").mkdir(parents=True)
    return tmp_path


def test_katas_come_core_path_first(tree):
    names = [kata.name for kata in catalogue.all_katas(tree)]
    assert names[:3] == ["01_tensors", "13_normalization", "15_scaled"]
    assert names[-3:] == ["papers/13_attention_is_all", "papers/14_bahdanau", "tinytorch/05_autograd"]


def test_no_katas_at_all(tmp_path):
    assert catalogue.all_katas(tmp_path) == []


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("16", "16_multi_head"),
        ("katas/16", "16_multi_head"),
        ("./katas/16_multi_head/", "16_multi_head"),
        ("13", "13_normalization"),
        ("papers/13", "papers/13_attention_is_all"),
        ("pap/14", "papers/14_bahdanau"),
        ("multi", "16_multi_head"),
        ("auto", "tinytorch/05_autograd"),
        ("appendix_a", "appendix_a_cnn"),
        ("gpu", "appendix_b_gpu_cuda"),
    ],
)
def test_a_prefix_of_any_part_is_enough(tree, query, name):
    assert catalogue.find(query, tree).name == name


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("1", ["13_normalization", "15_scaled", "16_multi_head", "17_transformer"]),
        ("appendix", ["appendix_a_cnn", "appendix_b_gpu_cuda"]),
        ("99", ["'99' matches nothing", "17_transformer"]),
        ("transfromer", ["matches nothing", "17_transformer"]),
        ("", ["matches nothing"]),
        ("papers/99", ["matches nothing", "papers/14_bahdanau"]),
    ],
)
def test_none_or_several_are_one_line_with_candidates(tree, query, words):
    with pytest.raises(UnknownKata) as caught:
        catalogue.find(query, tree)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_what_a_kata_is_made_of(tree):
    kata = catalogue.find("papers/13", tree)
    assert (kata.module, kata.number) == ("attention_is_all", "papers/13")
    assert kata.file.as_posix() == "papers/13_attention_is_all/attention_is_all.py"
    assert kata.specs.name == "test_attention_is_all.py"
    assert catalogue.find("appendix_b", tree).number == "appendix_b"


def test_kata_of_a_path():
    assert catalogue.kata_at(SOUND / "katas/01_sums/test_sums.py") == Kata(SOUND, "01_sums")
    assert catalogue.kata_at(SOUND / "katas/notes.txt") is None
    assert catalogue.kata_at(SOUND / "solutions/01_sums/sums.py") is None


def test_exercises_are_read_from_the_spec_classes(sound):
    assert catalogue.exercises(sound[0]) == (
        Exercise("double", "TestDouble", False),
        Exercise("total", "TestTotal", False),
        Exercise("Doubler", "TestDoubler", True),
    )


def test_prerequisites_are_read_from_the_code(sound):
    assert catalogue.prerequisites(sound[0]) == ()
    assert catalogue.prerequisites(sound[1]) == (sound[0],)
