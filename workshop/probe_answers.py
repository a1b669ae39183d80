"""What probes answer on the reference: other inputs have other answers, answers are no
verdicts, and no lie is taken for one.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from grader.course import kata_modules, packages
from grader.course.catalogue import Kata
from grader.lock import lists, probes, values
from grader.lock.judge import compare

SEEDS = range(6)
NEAR = 1e-6  # so near to 0 or 1 a number is one of them
# what code could return that has solved nothing, for each number of a right answer
LIES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "NaN": lambda numbers: numbers * torch.nan,
    "zeros": torch.zeros_like,
    "ones": torch.ones_like,
    "huge numbers": lambda numbers: torch.full_like(numbers, 1e30),
}


def faults(kata: Kata) -> list[str]:
    """What is wrong with the kata's probes, each a sentence."""
    text, problems = lists.probes(kata), []
    module = kata_modules.load(kata, kata.solutions) if text else None
    for exercise in lists.probed(kata):
        assert module
        packages.enter(module)
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.chdir(folder),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            answers = [
                values.plain(probes.run(text, exercise, module, seed)) for seed in SEEDS
            ]
        first, other, *_ = answers
        known = exercise in kata.description.by_heart
        found = [] if known else alike(answers)
        if second_half := probes.second_half(text, exercise):
            lies = {name: changed(first, lie) for name, lie in LIES.items()}
            lies |= {} if known else {"the answer to another seed": other}
            found += believed(second_half, first, lies)
        else:
            found += verdicts(answers)
        problems += [f"{lists.probe_name(exercise)} {problem}" for problem in found]
    return problems


def alike(answers: list[Any]) -> list[str]:
    """Say if seeds share an answer, as one that is the same for all could be known."""
    texts = [
        [(place, told(leaf)) for place, leaf in leaves(answer)] for answer in answers
    ]
    different = len(set(map(repr, texts)))
    if different == len(answers):
        return []
    return [f"has {different} different answers for {len(answers)} seeds"]


def verdicts(answers: list[Any]) -> list[str]:
    """Say if half of the answer or more is True, False, 0.0 or 1.0, for each
    seed the same: that anyone can send.
    """
    found = [{place: verdict(leaf) for place, leaf in leaves(one)} for one in answers]
    shared = [place for place in found[0] if all(place in one for one in found)]
    constant = [
        place
        for place in shared
        if found[0][place] and len({one[place] for one in found}) == 1
    ]
    if not constant or 2 * len(constant) < len(shared):
        return []
    names = ", ".join(constant[:3])
    return [
        f"answers with verdicts in {len(constant)} of {len(shared)} parts ({names}): "
        "return what they are made of"
    ]


def verdict(leaf: Any) -> str | None:
    """The verdict that this part of an answer could be; None if it is none."""
    numbers = told(leaf)
    if isinstance(numbers, list) and len(numbers) == 1:
        [leaf] = numbers
    if isinstance(leaf, bool):
        return str(leaf)
    if isinstance(leaf, float) and min(abs(leaf), abs(leaf - 1)) < NEAR:
        return str(round(leaf))
    return None


def believed(
    second_half: probes.Judge, expected: Any, lies: dict[str, Any]
) -> list[str]:
    """Say which lies the second half of a probe takes for a right answer."""
    return [
        f"takes {name} for a right answer"
        for name, lie in lies.items()
        if _is_taken(lie, expected, second_half)
    ]


def _is_taken(got: Any, expected: Any, second_half: probes.Judge) -> bool:
    try:
        compare(got, expected, second_half)
    except Exception:
        return False
    return True


def changed(value: Any, lie: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A value of the same form with other numbers."""
    match value:
        case dict():
            return {key: changed(part, lie) for key, part in value.items()}
        case list() | tuple():
            return type(value)(changed(part, lie) for part in value)
        case np.ndarray():
            return changed(torch.from_numpy(value), lie).numpy()
        case torch.Tensor() if value.dtype != torch.bool and not value.is_meta:
            return as_dtype(lie(value.double()), value.dtype)
        case int() | float() if not isinstance(value, bool):
            number = lie(torch.tensor(float(value), dtype=torch.float64))
            kind = torch.float64 if isinstance(value, float) else torch.int64
            return as_dtype(number, kind).item()
    return value


def as_dtype(numbers: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The float64 numbers in another dtype: what it cannot hold is the nearest."""
    if not dtype.is_floating_point:
        most = float(torch.iinfo(dtype).max // 2)
        numbers = numbers.nan_to_num().clamp(-most, most)
    return numbers.to(dtype)


def told(leaf: Any) -> Any:
    """The leaf; of a tensor or an array, its numbers as a flat list."""
    if isinstance(leaf, torch.Tensor):
        return [] if leaf.is_meta else leaf.flatten().tolist()
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.flatten().tolist()
    return leaf


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The parts of an answer that hold no others, each with its place."""
    match value:
        case dict():
            for key, part in value.items():
                yield from leaves(part, f"{place}[{key!r}]")
        case list() | tuple():
            for i, part in enumerate(value):
                yield from leaves(part, f"{place}[{i}]")
        case set() | frozenset():
            yield from leaves(sorted(value, key=repr), place)
        case _:
            yield place, value
