"""Specs that need a GPU, run on one's own code beside the grading. A program and a
plugin stand in for the device.
"""

import os
import shutil

import pytest

from grader.course.catalogue import all_katas
from grader.learner import gpu
from tests.conftest import SOUND

DEVICE = "import torch\ntorch.cuda.is_available = lambda: True\n"
SPECS = """class TestTotal:
    @pytest.mark.gpu
    def test_sums(self, kata):
        check.equal(kata.total(torch.ones(3)), torch.tensor(3.0))

    @pytest.mark.amp
    def test_stays_on_the_device(self, kata):
        check.equal(kata.total(torch.ones(2, 2), dim=0), torch.tensor([2.0, 2.0]))

    def test_needs_none(self, kata):
        raise AssertionError("runs elsewhere")
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A function that makes the course with this body of `total`, on a machine that may
    have a device: its katas.
    """
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    def make(body: str, *, device: bool = True) -> list:
        shutil.copytree(SOUND, tmp_path / "course")
        if device:
            (tmp_path / "bin").mkdir()
            (tmp_path / "bin" / "nvidia-smi").write_text("#!/bin/sh\n")
            (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
            (tmp_path / "stands_in.py").write_text(DEVICE)
            monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
            monkeypatch.setenv("PYTEST_PLUGINS", "stands_in")
        [sums, *others] = all_katas(tmp_path / "course")
        right = (SOUND / "solutions" / sums.file).read_text()
        sums.code.write_text(right.replace("return x.sum(dim)", body))
        specs = sums.specs.read_text().replace('device="cuda"', 'device="cpu"')
        sums.specs.write_text(specs.replace("class TestTotal:\n", SPECS))
        return [sums, *others]

    return make


def test_what_runs_there_is_counted_and_no_other_spec_runs(course):
    [line, *said] = gpu.told(course("return x.sum(dim)"))
    assert not said, said
    assert line.startswith("01 gpu 3 of 3 (") and "not isolated" in line


def test_a_failure_is_shown_as_pytest_shows_it(course):
    line, failure = gpu.told(course("return x.sum(dim) + (x.dim() > 1)"))
    assert (
        line.startswith("01 gpu 2 of 3 (") and "differs    at 2 of 2 places" in failure
    )
    assert "runs elsewhere" not in failure


def test_nothing_is_said_without_a_device(course):
    assert gpu.told(course("return x.sum(dim)", device=False)) == []
