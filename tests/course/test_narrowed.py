"""Ranges that specs do not leave are found, and those that they leave, or that nothing promises, are not."""

import torch

from grader.course.catalogue import all_katas
from tests.conftest import SOUND
from workshop import narrowed


def test_ranges_of_double():
    found = {line for line in narrowed.kept(all_katas(SOUND)[0]) if " double: " in line}
    assert found == {"01_sums double: x, never negative"}


def test_a_returned_view_keeps_the_narrowed_numbers():
    names = {"first": lambda x: x[:1]}
    exec(narrowed.BEHIND.format(name="first", argument="x", narrowed="x.abs()"), names)
    x = torch.tensor([-1.0])
    assert (names["first"](x).item(), x.item()) == (1.0, -1.0)
