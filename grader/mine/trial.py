"""Tries a part beside the course's: whether they agree, how long each takes, and what extreme numbers do to it."""

import time
from typing import Any

import torch
from torch import Tensor

from grader.mine.course_parts import COURSE
from grader.mine.samples import SAMPLES, Run

ENOUGH, MOST_TURNS = 0.03, 150  # seconds, and runs, after which the time of one is known


def tried(kata: str, part: Any) -> dict[str, Any]:
    """What a trial came to: the largest difference, relative to the largest number, and seconds of both."""
    own, course = SAMPLES[kata](part, False), SAMPLES[kata](COURSE[kata], False)
    found = {"difference": difference(own(), course()), "seconds": _seconds(own), "course": _seconds(course)}
    return found | {"extreme": _on_extremes(kata, part)}


def difference(own: list[Any], course: list[Tensor]) -> float:
    """The largest difference of two results relative to the course's largest number; infinite if shapes differ."""
    worst = 0.0
    for one, other in zip(own, course, strict=True):
        one, other = torch.as_tensor(one).detach().double(), other.detach().double()
        if one.shape != other.shape or not one.isfinite().all():
            return float("inf")
        if other.numel():
            worst = max(worst, ((one - other).abs().max() / other.abs().max().clamp(min=1e-12)).item())
    return worst


def _on_extremes(kata: str, part: Any) -> float:
    try:
        return difference(SAMPLES[kata](part, True)(), SAMPLES[kata](COURSE[kata], True)())
    except Exception:  # a guard may refuse them
        return 0.0


def _seconds(run: Run) -> float:
    """The CPU time of one run, as the mean of many: some systems tell it in steps of 10 ms."""
    turns, began = 0, time.process_time()
    while (spent := time.process_time() - began) < ENOUGH and turns < MOST_TURNS:
        run()
        turns += 1
    return spent / turns
