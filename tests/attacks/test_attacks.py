"""Code that reads or harms, graded sealed: what it must get, and that its neighbour and
the tree are not harmed.
"""

import json
import re
import time
from pathlib import Path

import pytest

from grader.course.catalogue import Kata
from grader.execution import grading, supervisor
from grader.protocol import RunOptions
from grader.results import Report
from grader.teaching.report_files import FORMATS
from tests.attacks import Attack, harm, reading
from tests.conftest import SOUND

ATTACKS = reading.ATTACKS + harm.ATTACKS
RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()
REUSE = (SOUND / "solutions/02_reuse/reuse.py").read_text()
WRONG = """\
import torch
from torch import Tensor, nn

def double(x):
    return x

def total(x, dim=0):
    return x

class Doubler(nn.Module):
    def forward(self, x):
        return x

"""
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def submission(attack: Attack, kata: Kata, folder: Path) -> Path:
    code = attack.code
    if "{reference}" in code or "{root}" in code or "{specs}" in code or "{{" in code:
        code = code.format(reference=kata.reference, root=kata.root, specs=kata.specs)
    text = (
        ("import torch\n" + RIGHT if attack.gets == "its points" else WRONG)
        + "\n"
        + code
        + "\n"
    )
    for name, content in (("01_sums/sums.py", text), ("02_reuse/reuse.py", REUSE)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(content)
    return folder


@pytest.mark.usefixtures("warm_workers")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(attack, sound, tmp_path, monkeypatch):
    options = RunOptions(spec_seconds=5, sealed=True)
    # what hangs is killed three times, once per exercise: have less patience with it
    if attack.gets == "nothing":
        options = RunOptions(spec_seconds=0.5, sealed=True)
        monkeypatch.setattr(supervisor, "GRACE", 0.5)
    tree = {path: path.read_bytes() for path in SOUND.rglob("*.py")}
    code, started = submission(attack, sound[0], tmp_path), time.monotonic()
    results = {
        result.kata: result
        for result in grading.grade_folder(sound, code, options=options)
    }
    assert time.monotonic() - started < 300
    result, neighbour = results["01_sums"], results["02_reuse"]
    own = {
        exercise.name
        for exercise in result.exercises
        if exercise.so_far.point and not exercise.note
    }
    specs = [spec for exercise in result.exercises for spec in exercise.specs]
    assert own == (
        {"double", "total", "Doubler"} if attack.gets == "its points" else set()
    ), specs
    # Many attacks define Doubler by their double. With the reference's double, such a
    # layer is right.
    assert {
        exercise.name for exercise in result.exercises if exercise.so_far.point
    } - own <= {"Doubler"}, specs
    assert attack.gets == "nothing" or result.so_far.stars == 3, specs
    assert neighbour.so_far.points == 1, "the kata next to it came to harm"
    assert {path: path.read_bytes() for path in SOUND.rglob("*.py")} == tree, (
        "a file of the tree was changed"
    )
    report = Report("x", "2026-01-02T03:04:05+00:00", 1.0, True, (result, neighbour))
    for name in ("json", "junit", "markdown", "html"):
        text = FORMATS[name](report)
        assert not FORBIDDEN.search(text)
        assert name == "json" or "<script" not in re.sub(
            r"(?ms)^(`{3,})text$.*?^\1$", "", text
        )
        assert not re.search(r"(?m)^\s*::", text) and len(text) < 2_000_000
    assert json.loads(FORMATS["json"](report))["points"] == (
        result.total.points + 1 if result.total else None
    )


def test_there_are_enough_and_each_has_a_name_of_its_own():
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names) >= 60
