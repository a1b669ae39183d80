"""Repeats a track's key results over five seeds: `kata results papers`, or
`kata results papers/03` for one kata.

A kata's recipe is a file in tests/results/: `LIMITS`, from a metric's name to what it
must be ("> 0.75"), and `run(kata, seed)`, which trains with the kata's functions and
returns the metrics. Each run has a process and a core of its own. For a whole track,
the table is written to the RESULTS.md in its folder.

`kata results papers --others` does the same on other right code: the textbook and the
accepted solutions. Its table is the page's second one.
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

Every row is a metric of a kata's recipe on the reference code, with model seed = data
seed = 0 to 4. The limit is what the recipe must reach. Seconds are CPU seconds of one
run, on one core.

```
kata results {track}
```

| kata | metric | limit | worst | best | seconds |
| --- | --- | --- | --- | --- | --- |
"""
OTHERS = """
## On other right code

The same on the textbook's code and on each accepted solution, which draw numbers in
another order or round otherwise: the worst and the best of all runs, over five seeds
each, and how many of them miss the limit. One in ten may.

```
kata results {track} --others
```

| kata | metric | limit | worst | best | missed |
| --- | --- | --- | --- | --- | --- |
"""


def repeat(katas: list[Kata], track: str, *, others: bool = False) -> bool:
    """Print the key results of those katas that have a recipe. Returns whether a seed
    misses a limit.

    Args:
        others: on the textbook and the accepted solutions instead of the reference.
            There one run in ten may miss.
    """
    katas = [kata for kata in katas if path(kata).is_file()]
    rows: list[str] = []
    missed = False
    for kata in katas:
        texts = (
            other_code(kata) if others else [kata.reference.read_text(encoding="utf-8")]
        )
        found = [
            _in_a_new_process(kata, text, seed) for text in texts for seed in SEEDS
        ]
        seconds = [result.pop("seconds") for result in found]
        for metric, limit in recipe(kata)["LIMITS"].items():
            relation, bound = limit.split()
            values = sorted(
                (result[metric] for result in found), reverse=relation == "<"
            )
            beyond = sum(
                not RELATIONS[relation](value, float(bound)) for value in values
            )
            missed = missed or beyond > (len(values) // 10 if others else 0)
            last = (
                f"{beyond} of {len(values)}"
                if others
                else f"{min(seconds):.1f}–{max(seconds):.1f}"
            )
            rows.append(
                f"| {kata.number} | {metric} | {limit} | {values[0]:.3g} | "
                f"{values[-1]:.3g} | {last} |"
            )
            print(rows[-1], flush=True)
    if len(katas) > 1:
        page = katas[0].folder.parent / "RESULTS.md"
        write(page, track, rows, others=others)
    return missed


def write(page: Path, track: str, rows: list[str], *, others: bool) -> None:
    """Write one of the page's two tables. The other one stays."""
    old = page.read_text(encoding="utf-8") if page.is_file() else ""
    mark = OTHERS.partition("\n\n")[0]
    first, _, second = old.partition(mark)
    table = (OTHERS if others else HEAD).format(track=track) + "\n".join(rows) + "\n"
    page.write_text(
        first + table if others else table + (mark + second if second else ""),
        encoding="utf-8",
    )


def other_code(kata: Kata) -> list[str]:
    """The textbook, and the reference with each accepted solution in the place of its
    own definitions.
    """
    reference, accepted = (
        kata.reference.read_text(encoding="utf-8"),
        sorted((kata.author / "accepted").glob("*.py")),
    )
    return [
        kata.textbook.read_text(encoding="utf-8"),
        *(f"{reference}\n\n{path.read_text(encoding='utf-8')}" for path in accepted),
    ]


def path(kata: Kata) -> Path:
    """The kata's recipe."""
    return kata.root / "tests" / "results" / f"{kata.name}.py"


def recipe(kata: Kata) -> dict[str, Any]:
    """The names that the recipe defines."""
    return runpy.run_path(str(path(kata)))


def run(kata: Kata, text: str, seed: int) -> dict[str, float]:
    """The metrics of one seed on this text of the kata's file, and "seconds"."""
    torch.set_num_threads(1)
    # its imports are not the recipe's seconds
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    module = kata_modules.load(kata, kata.root / "solutions", {}, text)
    torch.manual_seed(seed)
    started = time.process_time()
    found = {
        name: float(value) for name, value in recipe(kata)["run"](module, seed).items()
    }
    return found | {"seconds": time.process_time() - started}


def _in_a_new_process(kata: Kata, text: str, seed: int) -> dict[str, float]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(run, kata, text, seed).result()
