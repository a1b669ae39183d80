"""Tries a part beside the course's: whether they agree, how long each takes, and what extreme numbers do to it."""

import time
from typing import Any

import torch
from torch import Tensor

from grader.mine.course_parts import COURSE
from grader.mine.samples import SAMPLES, Run

TURNS = 9  # of each, of which the fastest counts


def tried(kata: str, part: Any) -> dict[str, Any]:
    """What a trial came to: the largest difference, relative to the largest number, and seconds of both."""
    own, course = SAMPLES[kata](part, False), SAMPLES[kata](COURSE[kata], False)
    found = {"difference": difference(own(), course()), "seconds": _fastest(own), "course": _fastest(course)}
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


def _fastest(run: Run) -> float:
    seconds = []
    for _ in range(TURNS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
