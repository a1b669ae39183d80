"""Repeat a track's key results over five seeds: `python -m tests.course.results papers`, or `… papers/03` for one kata.

A kata's recipe is a file in tests/results/: `LIMITS`, from a metric's name to what it must be ("> 0.75"), and
`run(kata, seed)`, which trains with the kata's functions and returns the metrics. Each run has a process and a core of
its own. For a whole track, the table is written to the RESULTS.md in its folder.
"""

import argparse
import json
import operator
import runpy
import subprocess
import sys
import time
from pathlib import Path

import torch

from grader.course import catalogue
from grader.course import kata_modules as loading
from grader.course.catalogue import ROOT, Kata

SEEDS = range(5)
RELATIONS = {">": operator.gt, "<": operator.lt}
HEAD = """# Key results over five seeds

Every row is a metric of a kata's recipe on the reference code, with model seed = data seed = 0 to 4. The limit is what
the recipe must reach. Seconds are CPU seconds of one run, on one core.

```
python -m tests.course.results {track}
```

| kata | metric | limit | worst | best | seconds |
| --- | --- | --- | --- | --- | --- |
"""


def main() -> int:
    """The command. Exit code 1: a seed misses a limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.course.results", description=__doc__)
    parser.add_argument("kata", help="a track, papers, or one kata, papers/03")
    parser.add_argument("--seed", type=int, help="run this seed only, in this process, and print its metrics as JSON")
    options = parser.parse_args()
    katas = [kata for kata in catalogue.matching(options.kata) if path(kata).is_file()]
    if options.seed is not None:
        print(json.dumps(run(katas[0], options.seed)))
        return 0
    rows, missed = [], False
    for kata in katas:
        found = [_in_a_process(kata, seed) for seed in SEEDS]
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
        page.write_text(HEAD.format(track=options.kata) + "\n".join(rows) + "\n", encoding="utf-8")
    return int(missed)


def path(kata: Kata) -> Path:
    """The kata's recipe."""
    return kata.root / "tests" / "results" / f"{kata.name}.py"


def recipe(kata: Kata) -> dict:
    """What the recipe defines."""
    return runpy.run_path(str(path(kata)))


def run(kata: Kata, seed: int) -> dict[str, float]:
    """The metrics of one seed, and "seconds"."""
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # its imports are not the recipe's seconds
    module = loading.load(kata, kata.root / "solutions", {})
    torch.manual_seed(seed)
    started = time.process_time()
    found = {name: float(value) for name, value in recipe(kata)["run"](module, seed).items()}
    return found | {"seconds": time.process_time() - started}


def _in_a_process(kata: Kata, seed: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.course.results", kata.name, "--seed", str(seed)]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
