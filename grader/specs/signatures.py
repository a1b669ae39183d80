"""Name a failure by what recorded mistakes look like over all specs of an exercise, where no spec names it.

Where none of them does, small changes of right code may. A kata's signatures are hashes of its failing specs' rows,
without what the learner's own names and lines have in them.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from grader.course.handouts import SIGNATURES

LIKE = "looks like"
NOT_COMPARED = {"given", "at", "shapes", "dtypes", "takes", "means", LIKE}
SCORE, WEIGHT, LEAD = 0.5, 0.5, 0.1  # at least: of the best match, of the specs that agree, before the next best
CHANGES, SURE = "changes", 0.8  # where the changes are kept, and how much one must agree
LIGHT = 0.25  # a spec that shows no value: nothing was raised, a sentence without a number, a shape; others weigh 1

Signature = dict[str, tuple[str, float]]  # of a spec's hash: that of what it says, and its weight


def of(failing: Mapping[str, str]) -> Signature:
    """The signature of these failures.

    Args:
        failing: the message of each failing spec of an exercise's point, by the spec's name.
    """
    found = {}
    for name, message in failing.items():
        rows = _rows(message)
        said = " ".join(rows.split())
        is_shape = {line[:10].strip() for line in rows.splitlines() if not line.startswith(" ")} <= {"of", "shape"}
        light = "raised nothing" in said or is_shape or (said.startswith("wrong ") and not re.search(r"\d", said))
        found[_hash(name, 3)] = _hash(rows, 5), LIGHT if light else 1.0
    return found


def written(failing: Mapping[str, str]) -> str:
    """The signature as a text: "3f0a1b2c 2c19d0e4"."""
    return " ".join(spec + said for spec, (said, _) in of(failing).items())


def told(folder: Path, spec_class: str, failing: Mapping[str, str]) -> str:
    """The first failure's message, with the recorded mistake that looks most like all of them if it names no cause.

    Args:
        failing: the message of each failing spec of an exercise's point, by the spec's name.
    """
    message = next(iter(failing.values()))
    if is_named(message):
        return message
    try:
        known = json.loads((folder / SIGNATURES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return message
    mine = of(failing)
    mistakes = {name: [text] for name, text in known.get(spec_class, {}).items()}
    name = _best(mine, mistakes, SCORE) or _best(mine, known.get(CHANGES, {}).get(spec_class, {}), SURE)
    if not name:
        return message
    *story, rows, place = message.split("\n\n")
    return "\n\n".join([*story, f"{rows}\n{LIKE} {name}", place])


def _best(mine: Signature, recorded: Mapping[str, Iterable[str]], least: float) -> str:
    """The name with the signature that agrees most; empty where that is too little, or another one's nearly as much."""
    scores = sorted(
        ((*max(_score(mine, text) for text in texts), name) for name, texts in recorded.items()), reverse=True
    )
    (best, weight, name), (next_best, *_) = (*scores, (0.0, 0.0, ""), (0.0, 0.0, ""))[:2]
    return name if best >= least and weight >= WEIGHT and best - next_best >= LEAD else ""


def _score(mine: Signature, recorded: str) -> tuple[float, float]:
    """How much two signatures agree, from 0 to 1, and the weight of the specs in which they do."""
    theirs = {one[:3]: one[3:] for one in recorded.split()}
    agreeing = sum(weight for spec, (said, weight) in mine.items() if theirs.get(spec) == said)
    differing = sum(weight for spec, (said, weight) in mine.items() if theirs.get(spec, said) != said)
    only_here = sum(weight for spec, (_, weight) in mine.items() if spec not in theirs)
    only_there = len(theirs.keys() - mine.keys())
    return agreeing / (agreeing + differing + only_there + only_here / 2 or 1), agreeing


def cause(message: str) -> str:
    """The line of a failure that names its cause; empty without one."""
    return next((line for line in message.splitlines() if line.startswith(f"{LIKE} ")), "")


def is_named(message: str) -> bool:
    """Tell if the failure names a cause already, or what its error means, or is one line without rows."""
    error = "\nraised " in message and "\nmeans " in message
    return message.count("\n\n") < 2 or bool(cause(message)) or error


def _rows(message: str) -> str:
    """The rows that do not depend on how the code is written, their numbers with three digits."""
    table, label, kept = message.split("\n\n")[-2:-1] or [message], "", []
    for line in table[0].splitlines():
        label = line[:10].strip() or label
        if label not in NOT_COMPARED:
            kept.append(re.sub(r"0x[0-9a-f]+|/\S+", "", line))
    return re.sub(r"\d+\.\d+(?:e[-+]?\d+)?", lambda number: f"{float(number[0]):.3g}", "\n".join(kept))


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
