"""Forgeries earn nothing under the second lock. Every fifth is tried here, all of them by `python -m tests.attacks.table`."""

import sys

import pytest

from tests.attacks.forgeries import FORGERIES
from tests.attacks.table import earned, graded


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
@pytest.mark.usefixtures("warm_workers")
@pytest.mark.parametrize("forgery", FORGERIES[::5], ids=lambda forgery: f"{forgery.kata} {forgery.name}")
def test_a_forgery_earns_nothing_sealed(forgery, tmp_path):
    result = graded(forgery, tmp_path)
    assert earned(result) == []


def test_there_are_enough_over_enough_katas():
    assert len({forgery.name for forgery in FORGERIES}) == len(FORGERIES) >= 100
    assert len({forgery.kata for forgery in FORGERIES}) >= 10
