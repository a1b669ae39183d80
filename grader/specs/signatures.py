"""Name a failure by what recorded mistakes look like over all specs of an exercise, where no spec names it.

A kata's signatures are hashes of its failing specs' rows,
without what the learner's own names and lines have in them.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grader import failure
from grader.course.handouts import SIGNATURES
from grader.failure import Failure

NOT_COMPARED = {"given", "at", "shapes", "dtypes", "takes"}
SCORE = 0.75  # at least, of what a match agrees in: with less, names of the judged failures were false
WEIGHT = 0.5  # at least, of the specs that agree: one spec of many fails alike for many reasons
LEAD = 0.1  # at least, before the next best: of two that look alike, neither is named
HABITS = "habits"  # where that is kept which would be said at sight of right code
LIGHT = 0.25  # a spec that shows no value: nothing was raised, a sentence without a number, a shape; others weigh 1

Signature = dict[str, tuple[str, float]]  # of a spec's hash: that of what it says, and its weight


def of(failing: Mapping[str, Failure]) -> Signature:
    """The signature of these failures.

    Args:
        failing: each failing spec of an exercise's point, by the spec's name.
    """
    found = {}
    for name, one in failing.items():
        rows = _rows(one)
        said = " ".join(rows.split())
        is_shape = {label for label, _ in one.rows if label not in NOT_COMPARED} <= {"of", "shape"}
        light = "raised nothing" in said or is_shape or (said.startswith("wrong ") and not re.search(r"\d", said))
        found[_hash(name, 3)] = _hash(rows, 5), LIGHT if light else 1.0
    return found


def written(failing: Mapping[str, Failure]) -> str:
    """The signature as a text: "3f0a1b2c 2c19d0e4"."""
    return " ".join(spec + said for spec, (said, _) in of(failing).items())


def told(folder: Path, spec_class: str, failing: Mapping[str, Failure]) -> Failure:
    """The first failure, with the recorded mistake that looks most like all of them if it names no cause.

    Args:
        failing: each failing spec of an exercise's point, by the spec's name.
    """
    first = next(iter(failing.values()))
    if first.is_named:
        return first
    known, mine = _known(folder), of(failing)
    name = _best(mine, known.get(spec_class, {}))
    return first.named(name, "mistake") if name else first


def habits(folder: Path, spec_class: str) -> list[str]:
    """What would be said at sight of right code for this class of specs."""
    return _known(folder).get(HABITS, {}).get(spec_class, [])


def _known(folder: Path) -> dict[str, Any]:
    """A kata's record; empty where there is none that can be read."""
    try:
        return json.loads((folder / SIGNATURES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _best(mine: Signature, recorded: Mapping[str, str]) -> str:
    """The name with the signature that agrees most; empty where that is too little, or another one's nearly as much."""
    scores = sorted(((*_score(mine, text), name) for name, text in recorded.items()), reverse=True)
    (best, weight, name), (next_best, *_) = (*scores, (0.0, 0.0, ""), (0.0, 0.0, ""))[:2]
    return name if best >= SCORE and weight >= WEIGHT and best - next_best >= LEAD else ""


def _score(mine: Signature, recorded: str) -> tuple[float, float]:
    """How much two signatures agree, from 0 to 1, and the weight of the specs in which they do."""
    theirs = {one[:3]: one[3:] for one in recorded.split()}
    agreeing = sum(weight for spec, (said, weight) in mine.items() if theirs.get(spec) == said)
    differing = sum(weight for spec, (said, weight) in mine.items() if theirs.get(spec, said) != said)
    only_here = sum(weight for spec, (_, weight) in mine.items() if spec not in theirs)
    only_there = len(theirs.keys() - mine.keys())
    return agreeing / (agreeing + differing + only_there + only_here / 2 or 1), agreeing


def _rows(one: Failure) -> str:
    """The rows that do not depend on how the code is written, their numbers with three digits."""
    told = re.sub(r"0x[0-9a-f]+|/\S+", "", failure.table(one.without(*NOT_COMPARED).rows))
    return re.sub(r"\d+\.\d+(?:e[-+]?\d+)?", lambda number: f"{float(number[0]):.3g}", told)


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
