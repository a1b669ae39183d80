"""Ranges that specs do not leave are found, and those that they leave, or that nothing
promises, are not.
"""

from grader.course.catalogue import all_katas
from tests.conftest import SOUND
from workshop import narrowed


def test_ranges_of_double():
    found = {line for line in narrowed.kept(all_katas(SOUND)[0]) if " double: " in line}
    assert found == {"01_sums double: x, never negative"}
