"""Ranges that specs do not leave are found, and those that they leave are not."""

from grader.course.catalogue import all_katas
from tests.conftest import SOUND
from workshop import narrowed


def test_ranges_of_double():
    found = {line for line in narrowed.kept(all_katas(SOUND)[0]) if " double: " in line}
    unasked = ("never negative", "always finite", "at most 64 a dimension")
    assert found == {f"01_sums double: x, {said}" for said in unasked}
