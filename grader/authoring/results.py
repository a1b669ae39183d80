"""Repeats a track's key results over five seeds: `kata results papers`, or `kata results papers/03` for one kata.

A kata's recipe is a file in tests/results/: `LIMITS`, from a metric's name to what it must be ("> 0.75"), and
`run(kata, seed)`, which trains with the kata's functions and returns the metrics. Each run has a process and a core of
its own. For a whole track, the table is written to the RESULTS.md in its folder.
"""

import multiprocessing
import operator
import runpy
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from grader.course import kata_modules
from grader.course.catalogue import Kata

SEEDS = range(5)
RELATIONS = {">": operator.gt, "<": operator.lt}
HEAD = """# Key results over five seeds

Every row is a metric of a kata's recipe on the reference code, with model seed = data seed = 0 to 4. The limit is what
the recipe must reach. Seconds are CPU seconds of one run, on one core.

```
kata results {track}
```

| kata | metric | limit | worst | best | seconds |
| --- | --- | --- | --- | --- | --- |
"""


def repeat(katas: list[Kata], track: str) -> bool:
    """Print the key results of those katas that have a recipe. Returns whether a seed misses a limit."""
    katas = [kata for kata in katas if path(kata).is_file()]
    rows: list[str] = []
    missed = False
    for kata in katas:
        found = [_in_a_new_process(kata, seed) for seed in SEEDS]
        seconds = [result.pop("seconds") for result in found]
        for metric, limit in recipe(kata)["LIMITS"].items():
            relation, bound = limit.split()
            values = sorted((result[metric] for result in found), reverse=relation == "<")
            missed = missed or not all(RELATIONS[relation](value, float(bound)) for value in values)
            took = f"{min(seconds):.1f}–{max(seconds):.1f}"
            rows.append(f"| {kata.number} | {metric} | {limit} | {values[0]:.3g} | {values[-1]:.3g} | {took} |")
            print(rows[-1], flush=True)
    if len(katas) > 1:
        page = katas[0].folder.parent / "RESULTS.md"
        page.write_text(HEAD.format(track=track) + "\n".join(rows) + "\n", encoding="utf-8")
    return missed


def path(kata: Kata) -> Path:
    """The kata's recipe."""
    return kata.root / "tests" / "results" / f"{kata.name}.py"


def recipe(kata: Kata) -> dict[str, Any]:
    """The names that the recipe defines."""
    return runpy.run_path(str(path(kata)))


def run(kata: Kata, seed: int) -> dict[str, float]:
    """The metrics of one seed, and "seconds"."""
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # its imports are not the recipe's seconds
    module = kata_modules.load(kata, kata.root / "solutions", {})
    torch.manual_seed(seed)
    started = time.process_time()
    found = {name: float(value) for name, value in recipe(kata)["run"](module, seed).items()}
    return found | {"seconds": time.process_time() - started}


def _in_a_new_process(kata: Kata, seed: int) -> dict[str, float]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(run, kata, seed).result()
