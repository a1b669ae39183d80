"""Every forgery of the catalogue earns nothing under the second lock."""

import sys

import pytest

from tests.attacks.forgeries import FORGERIES
from tests.attacks.table import graded


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: f"{forgery.kata} {forgery.name}")
def test_a_forgery_earns_nothing_sealed(forgery, tmp_path):
    result = graded(forgery, tmp_path, sealed=True)
    assert result.points == 0, [exercise.name for exercise in result.exercises if exercise.works]


def test_there_are_enough_over_enough_katas():
    assert len({forgery.name for forgery in FORGERIES}) == len(FORGERIES) >= 100
    assert len({forgery.kata for forgery in FORGERIES}) >= 10
