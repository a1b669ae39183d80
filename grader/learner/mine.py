"""The learner's own GPT: which of its parts are theirs, what it learns, and what it wrote before their last kata."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from grader import printable
from grader.course.catalogue import Kata
from grader.course.parts import EXERCISES, PARTS, Part
from grader.errors import NotPossible
from grader.execution import result_cache
from grader.learner import progress, runs
from grader.memory import Memory
from grader.mine import budget
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.workers.jobs import Job

AGREES = 1e-3  # the largest difference of a right part, relative to the largest number
WEAK = 1e-2  # the same where numbers are extreme
RATIO, NOTICED = 3.0, 2e-4  # times, and seconds in a use, from which a part is called slow
MOST_MORE = 0.015  # seconds that a training step may take longer with the learner's parts

Told = dict[str, Any]


@dataclass(frozen=True)
class Standing:
    """How a part stands.

    Attributes:
        is_own: the learner's code runs.
        is_begun: there is code of theirs, which may not run.
        note: what there is to say about it.
        more: the seconds that a use of it takes longer than of the course's.
    """

    part: Part
    is_own: bool = False
    is_begun: bool = False
    note: str = ""
    more: float = 0.0


@dataclass(frozen=True)
class Mine:
    """The artefact as it is now.

    Attributes:
        told: what reader and GPT came to, as `grader.mine.model` tells it.
        last: the part of the latest kata.
        before: what they came to without that part.
    """

    standings: tuple[Standing, ...]
    told: Told
    last: Part | None = None
    before: Told | None = None

    @property
    def exercises(self) -> int:
        """Those of the learner's that run in it."""
        return sum(len(one.part.exercises) for one in self.standings if one.is_own)

    @property
    def steps(self) -> int:
        return budget.STEPS * self.exercises

    @property
    def share(self) -> str:
        """ "61 % of this GPT is your code: 31 of the 51 exercises that it is made of"."""
        percent = f"{100 * self.exercises / EXERCISES:.0f}"
        return f"{percent} % of this GPT is your code: {self.exercises} of the {EXERCISES} exercises that it is made of"


def look(
    root: Path,
    said: Callable[[str], None] = lambda doing: None,
    *,
    wrong_too: bool = False,
    cells: tuple[Kata, str, KataResult] | None = None,
) -> Mine:
    """Find out what is the learner's, and train and write with it. What is known is not run again.

    Args:
        said: is told what is going on.
        wrong_too: also use parts that are wrong.
        cells: a kata whose code is that of a notebook, with the code and its result.
    Raises:
        NotPossible: there is no kata of which it could have a part.
    """
    katas = {part: Kata(root, part.kata) for part in PARTS if (root / "katas" / part.kata).is_dir()}
    if not katas:
        raise NotPossible("no kata here adds to the GPT: 00 to 06, 09 to 11, 13, 15 to 21 and 23 to 27 do")
    said("checking your code")
    there = {kata: result for kata, _, result in [cells]} if cells else {}
    results = progress.so_far(katas.values() - there.keys(), root / "katas") | there
    written = {part: kata for part, kata in katas.items() if not _unwritten(part, results[kata])}
    said("trying your parts beside the course's")
    texts = {kata: text for kata, text, _ in [cells]} if cells else {}
    jobs = {part: progress.job(kata, texts.get(kata)) for part, kata in written.items()}
    trials = dict(zip(jobs, _answers(root, [_order(job, {"try": part.kata}) for part, job in jobs.items()])))
    of_part = {part: results[kata] for part, kata in katas.items()}
    standings = [_standing(part, of_part.get(part), trials.get(part), wrong_too) for part in PARTS]
    standings = _fast_enough(standings)
    own = [one.part for one in standings if one.is_own]
    said("training")
    orders = [_together(katas, jobs, own), *([_together(katas, jobs, own[:-1])] if own else [])]
    told, *before = _answers(root, orders)
    if "gpt" not in told:  # nothing that is the learner's can run: not even its errors can be told
        reason = f"it was ended with the others: {told['raised']}"
        standings = [replace(one, is_own=False, note=reason) if one.is_own else one for one in standings]
        own = []
        told, before = _answers(root, [_together(katas, jobs, [])])[0], []
    left_out = told.get("left_out", {})
    standings = [
        replace(one, is_own=False, note=f"it ended the training: {printable.line(left_out[one.part.kata])}")
        if one.part.kata in left_out
        else one
        for one in standings
    ]
    return Mine(tuple(standings), told, own[-1] if own else None, before[0] if before and "gpt" in before[0] else None)


def added(kata: Kata, result: KataResult) -> str:
    """What a kata that is done adds to the GPT, in a line for `kata watch`; empty if it adds nothing."""
    found = [part for part in PARTS if part.kata == kata.name and not _open(part, result)]
    return (
        f"Your own GPT now gets {found[0].gives} from your code. Press m to see it, or run kata mine." if found else ""
    )


def _open(part: Part, result: KataResult | None) -> list[str]:
    """The exercises of the part that do not work."""
    return [name for name in part.exercises if not progress.is_working(result, name)]


def _unwritten(part: Part, result: KataResult | None) -> list[str]:
    if result is None:
        return list(part.exercises)
    return [one.name for one in result.exercises if one.name in part.exercises and one.not_written]


def _standing(part: Part, result: KataResult | None, trial: Told | None, wrong_too: bool) -> Standing:
    open_ = _open(part, result)
    if trial is None:
        return Standing(part, note=f"open: {', '.join(open_)}" if result and len(open_) < len(part.exercises) else "")
    if "raised" in trial:
        return Standing(part, False, True, f"the course's runs, because yours {_ended(trial['raised'])}")
    wrong = []
    if open_:
        wrong.append(
            f"{', '.join(open_)} does not work yet" if len(open_) == 1 else f"{', '.join(open_)} do not work yet"
        )
    if trial["difference"] > AGREES:
        wrong.append(f"it differs from the course's by {_amount(trial['difference'])}")
    if wrong and not wrong_too:
        return Standing(part, False, True, f"the course's runs: {'; '.join(wrong)}")
    notes, more = [*wrong], trial["seconds"] - trial["course"]
    if more > max(NOTICED, (RATIO - 1) * trial["course"]):
        notes.append(f"takes {trial['seconds'] / max(trial['course'], 1e-5):.0f} times as long as the course's")
    if not wrong and trial["extreme"] > WEAK:
        notes.append("loses its digits where numbers are extreme: see its star")
    return Standing(part, True, True, "; ".join(notes), more)


def _amount(difference: float) -> str:
    if difference == float("inf"):
        return "its shape, or in NaN"
    return f"up to {100 * difference:.3g} % of the largest number"


def _ended(reason: str) -> str:
    return f"ended with {printable.line(reason)}"


def _fast_enough(standings: list[Standing]) -> list[Standing]:
    """The same, with the slowest parts left to the course until a training step is quick enough."""
    found = list(standings)
    while sum(one.more for one in found if one.is_own) > MOST_MORE:
        slowest = max((one for one in found if one.is_own), key=lambda one: one.more)
        note = f"right, but too slow to train with, so the course's runs: it {slowest.note}"
        found[found.index(slowest)] = replace(slowest, is_own=False, note=note)
    return found


def _order(job: Job, asked: Told) -> Job:
    seconds = budget.TRIAL_SECONDS if "try" in asked else budget.RUNS * budget.RUN_SECONDS
    return replace(job, options=RunOptions(mine=json.dumps(asked), spec_seconds=seconds))


def _together(katas: dict[Part, Kata], jobs: dict[Part, Job], own: list[Part]) -> Job:
    """The order to train with these parts: in the first kata, with the files of all."""
    files = {path: text for part in own for path, text in jobs[part].files.items()}
    return _order(Job(next(iter(katas.values())), files), {"run": [part.kata for part in own]})


def _answers(root: Path, orders: Iterable[Job]) -> list[Told]:
    """What workers answer to these orders, from memory where it is known."""
    memory, orders = Memory(root), list(orders)
    keys = [_key(order) for order in orders]
    known = {key: memory.find("mine", key, key) for key in keys}
    new = [(key, order) for key, order in zip(keys, orders) if known[key] is None]
    for (key, _), (worker, result) in zip(new, runs.finished(order for _, order in new)):
        known[key] = worker.traces.get("")
        if known[key] is None:
            known[key] = json.dumps({"raised": result.message or "nothing that could be told"})
        memory.keep("mine", key, key, known[key] or "")
    return [json.loads(known[key] or "") for key in keys]


def _key(order: Job) -> str:
    files = [[path.as_posix(), text] for path, text in sorted(order.files.items())]
    what = [files, asdict(order.options), result_cache.surroundings(), _how_it_is_made()]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


@cache
def _how_it_is_made() -> str:
    files = sorted(Path(budget.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
