"""Climb the ladder of kata 33: `python -m tests.bench.ladder`, on one CPU core, about a
quarter of an hour.

Trains train_gpt2.py's tiny preset on the reference code: GPT-2's recipe, today's
without any rung, and with one rung after the other, five seeds each; then with all
rungs but one. Writes ladder/results.json, from which `kata ladder` reads, and the
picture of LADDER.md. What the file already has is not trained again: remove it, or name
rungs to train anew with --again.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from grader.course import catalogue, kata_modules
from grader.course.catalogue import ROOT
from grader.learner import ladder

KATA = catalogue.find("33_gpt_capstone").folder
SEEDS = range(5)
EVERY = 20  # steps between two points of a curve
BELOW = {  # the first rung
    "gpt2": ("GPT-2's recipe", "1 (2024-05-28)", "45 min", ""),
    "rotary": (
        "rotary positions, RMSNorm, another rate",
        "2 (2024-06-06)",
        "45 → 31.4 min",
        "hardly anything",
    ),
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.ladder", description=__doc__
    )
    parser.add_argument(
        "--seeds", type=int, default=len(SEEDS), help="how many (default: %(default)s)"
    )
    parser.add_argument(
        "--again",
        nargs="+",
        default=[],
        help="rungs from whose level on nothing is kept",
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    train_gpt2 = program()
    names = [*BELOW, *train_gpt2.RUNGS]
    path = ladder.results()
    found: list[dict[str, Any]] = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    )
    for number, name in enumerate(names):
        if number == len(found):
            found.append({"curves": [], "without": []})
        found[number] |= described(train_gpt2, name)
        curves = found[number]["curves"]
        if name in options.again:
            curves.clear()
        for seed in range(len(curves), options.seeds):
            above = names[max(number, 1) + 1 :]
            curves.append(
                trained(
                    "gpt2" if name == "gpt2" else "speedrun",
                    above if number else [],
                    seed,
                )
            )
            write(found, path)
    for number, name in enumerate(names):
        if name in train_gpt2.RUNGS and (not found[number]["without"] or options.again):
            found[number]["without"] = trained("speedrun", [name], 0)
            write(found, path)
    write(found, path)
    levels = ladder.measured(path)
    print(ladder.tables(levels))
    ladder.draw(levels, KATA / "ladder.png")


def described(train_gpt2: ModuleType, name: str) -> dict[str, str]:
    """What `ladder.Level` says of a rung beside its curves."""
    if name in BELOW:
        return dict(
            zip(("title", "place", "published", "costs"), BELOW[name], strict=True)
        )
    rung = train_gpt2.RUNGS[name]
    place = f"{rung.record} ({rung.date})"
    return {
        "title": rung.title,
        "place": place,
        "published": rung.published,
        "costs": rung.costs,
    }


def write(found: list[dict[str, Any]], path: Path) -> None:
    path.write_text(
        json.dumps(found, ensure_ascii=False).replace("}, {", "},\n{") + "\n",
        encoding="utf-8",
    )


def trained(recipe: str, without: list[str], seed: int) -> ladder.Curve:
    """Train the tiny preset on the reference code."""
    train_gpt2 = program()
    train_gpt2.PRESETS["tiny"] = replace(
        train_gpt2.PRESETS["tiny"], val_every=EVERY, judge_every=10**9
    )
    train_gpt2.time = SimpleNamespace(perf_counter=time.process_time)
    train_gpt2.hellaswag.share_right = lambda *_: 0.0
    names = train_gpt2.KATAS + train_gpt2.TODAY
    train_gpt2.prerequisite = {
        name: kata_modules.load(catalogue.find(name), ROOT / "solutions")
        for name in names
    }.get
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = [
            "train_gpt2.py",
            "--preset",
            "tiny",
            "--recipe",
            recipe,
            "--seed",
            str(seed),
            "--device",
            "cpu",
        ]
        sys.argv += ["--out", folder, *(["--without", *without] if without else [])]
        try:
            train_gpt2.main()
        except SystemExit as end:
            assert not end.code
        lines = [
            json.loads(line)
            for line in (Path(folder) / "log.jsonl")
            .read_text(encoding="utf-8")
            .splitlines()
        ]
    seconds, curve = 0.0, []
    for line in lines:
        seconds += line.get("seconds", 0.0)
        if "val" in line:
            curve.append((line["step"], round(seconds, 2), round(line["val"], 4)))
    return curve


def program() -> ModuleType:
    """train_gpt2.py as a module."""
    if str(KATA) not in sys.path:
        sys.path.insert(0, str(KATA))  # as where Python starts a program
    spec = importlib.util.spec_from_file_location("train_gpt2", KATA / "train_gpt2.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
