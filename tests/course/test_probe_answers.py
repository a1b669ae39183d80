"""What probes may answer: a probe that a liar could answer is named."""

import shutil

import pytest

from grader.course.catalogue import all_katas
from tests.conftest import SOUND
from workshop import probe_answers

HEAD = "import torch\n\nfrom grader.lock.probes import judge, normal, probe\n\n\n"
DRAWN = "x = torch.from_numpy(normal(rng, 3))"
HALF = '\n\n@judge("total")\ndef _(values, expected):\n    '


@pytest.fixture
def faults(tmp_path):
    shutil.copytree(SOUND, tmp_path / "tree")
    kata = all_katas(tmp_path / "tree")[0]

    def of(returned: str, half: str = "", before: str = DRAWN) -> list[str]:
        text = f'@probe("total")\ndef _(kata, rng):\n    {before}\n    {returned}\n'
        end = f"{HALF}{half}\n" if half else ""
        (kata.author / "probes.py").write_text(HEAD + text + end)
        return [
            said.removeprefix("probe of total ") for said in probe_answers.faults(kata)
        ]

    return of


@pytest.mark.parametrize(
    "returned",
    [
        "return kata.total(x)",
        "return kata.total(x).item()",
        "return [kata.total(x), True, {'a': x, 'b': 1 + x}]",
        "return bytes(kata.total(x).numpy())",
        "return {round(float(number), 3) for number in x + kata.total(x)}",
    ],
)
def test_what_is_drawn_and_reckoned_is_an_answer(faults, returned):
    assert faults(returned) == []


def test_a_kata_without_probes(faults):
    assert probe_answers.faults(all_katas(SOUND)[1]) == []


def test_an_answer_that_is_the_same_for_all_seeds(faults):
    assert faults("return kata.total(x * 0 + 2)") == [
        "has 1 different answers for 6 seeds"
    ]
    [said] = faults("return float(kata.total(x) > 0) + 2")
    assert said == "has 2 different answers for 6 seeds"


@pytest.mark.parametrize(
    "verdict",
    [
        "bool(kata.total(x) == x.sum())",
        "kata.total(x) / x.sum()",
        "torch.equal(kata.total(x), x.sum())",
        "torch.tensor([kata.total(x) is None])",
        "0 * kata.total(x).numpy()",
    ],
)
def test_a_verdict_that_never_changes(faults, verdict):
    [said] = faults(f"return [x, {verdict}]")
    assert said == (
        "answers with verdicts in 1 of 2 parts ([1]): return what they are made of"
    )


NOISE = "return x, kata.total(x) + torch.rand(100)"


def test_a_second_half_that_refuses_lies(faults):
    half = (
        "noise = values[1] - expected[0].sum()\n    "
        "return values[0], len(noise.unique()), 0 < noise.min(), noise.max() < 1"
    )
    assert faults(NOISE, half) == []


def test_a_second_half_that_believes(faults):
    assert faults(NOISE, "return len(values)") == [
        f"takes {lie} for a right answer"
        for lie in ("zeros", "ones", "huge numbers", "the answer to another seed")
    ]


def test_an_answer_that_does_not_cross(faults):
    with pytest.raises(TypeError, match="an object of the class Doubler"):
        faults("return kata.Doubler()")
