"""Train train_gpt2.py's tiny preset by both recipes on one CPU core each: `python -m tests.bench.recipes`.

Five seeds on the reference code. Draws the picture of 33's lesson and prints its table. With --pieces it trains the
recipe speedrun without each of its pieces instead.
"""

import argparse
import importlib.util
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from grader.course import catalogue, kata_modules
from grader.course.catalogue import ROOT
from grader.lesson import COLOURS, Figure

KATA = catalogue.find("33_gpt_capstone").folder
RECIPES = ("gpt2", "speedrun")
SEEDS = range(5)
EVERY = 20  # steps between two points of the picture
Curve = list[tuple[int, float, float]]  # (step, CPU seconds of all steps so far, validation loss)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recipes", description=__doc__)
    parser.add_argument("--pieces", action="store_true", help="which pieces of the recipe make a difference")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many (default: %(default)s)")
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0], help="train gpt2 with these multiples, too")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    seeds = range(options.seeds)
    kinds = [("speedrun", piece, 1.0) for piece in ("", *PIECES)] if options.pieces else []
    kinds = kinds or [(recipe, "", rate) for rate in options.rates for recipe in RECIPES]
    jobs = [(*kind, seed) for kind in kinds for seed in seeds]
    with ProcessPoolExecutor(
        options.processes, multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as processes:
        found = dict(zip(jobs, processes.map(trained, *zip(*jobs, strict=True)), strict=True))
    curves = {kind: [found[(*kind, seed)] for seed in seeds] for kind in kinds}
    print(table(curves))
    if not options.pieces and options.rates == [1.0]:
        draw({recipe: curves[recipe, "", 1.0] for recipe in RECIPES}, KATA / "recipes.png")


def trained(recipe: str, without: str, rate: float, seed: int) -> Curve:
    """Train in this process, on one core."""
    torch.set_num_threads(1)
    train_gpt2 = program()
    preset = train_gpt2.PRESETS["tiny"]
    train_gpt2.PRESETS["tiny"] = replace(preset, val_every=EVERY, judge_every=10**9, max_lr=rate * preset.max_lr)
    train_gpt2.RECIPES["speedrun"]["max_lr"] *= rate
    train_gpt2.time = SimpleNamespace(perf_counter=time.process_time)
    train_gpt2.hellaswag.share_right = lambda *_: 0.0
    names = train_gpt2.KATAS + train_gpt2.TODAY
    katas = {name: kata_modules.load(catalogue.find(name), ROOT / "solutions") for name in names}
    train_gpt2.prerequisite = katas.get
    if without:
        PIECES[without](train_gpt2.speedrun, katas[train_gpt2.TODAY[0]], katas[train_gpt2.TODAY[1]])
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = ["train_gpt2.py", "--preset", "tiny", "--recipe", recipe, "--seed", str(seed), "--device", "cpu"]
        sys.argv += ["--out", folder]
        try:
            train_gpt2.main()
        except SystemExit as end:
            assert not end.code
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds, curve = 0.0, []
    for line in lines:
        seconds += line.get("seconds", 0.0)
        if "val" in line:
            curve.append((line["step"], seconds, line["val"]))
    return curve


def program() -> ModuleType:
    """train_gpt2.py as a module."""
    sys.path.insert(0, str(KATA))  # as where Python starts a program
    spec = importlib.util.spec_from_file_location("train_gpt2", KATA / "train_gpt2.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def without_qk_norm(speedrun: ModuleType, block: ModuleType, muon: ModuleType) -> None:
    block.qk_norm = lambda q, k, *_: (q, k)


def without_rope(speedrun: ModuleType, block: ModuleType, muon: ModuleType) -> None:
    block.rope_half = lambda x, *_: x


def with_gelu(speedrun: ModuleType, block: ModuleType, muon: ModuleType) -> None:
    speedrun.relu_squared = F.gelu


def with_small_projections(speedrun: ModuleType, block: ModuleType, muon: ModuleType) -> None:
    nn.init.zeros_ = lambda parameter: nn.init.normal_(parameter, std=0.02 / 2)  # 2 layers: 0.02 / √(2 · 2)


def with_a_tied_head(speedrun: ModuleType, block: ModuleType, muon: ModuleType) -> None:
    class Tied(speedrun.SpeedrunGPT):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.lm_head.weight = self.embedding.weight

    speedrun.SpeedrunGPT = Tied


def with_adamw(speedrun: ModuleType, block: ModuleType, muon: ModuleType) -> None:
    muon.split_parameters = lambda model: ([], list(model.parameters()))


def with_a_cosine(speedrun: ModuleType, block: ModuleType, muon: ModuleType) -> None:
    cosine = kata_modules.load(catalogue.find("29_gpt_training"), ROOT / "solutions").cosine_lr
    speedrun.schedule = lambda _, p: lambda step: cosine(step, p.max_lr, p.max_lr / 10, p.warmup_steps, p.steps)


def with_a_causal_mask(speedrun: ModuleType, block: ModuleType, muon: ModuleType) -> None:
    whole = speedrun.mask_of
    speedrun.mask_of = lambda documents, window, flex: whole(documents * 0, documents.size(1), flex)


# What stands in for each piece of the recipe.
PIECES: dict[str, Callable[[ModuleType, ModuleType, ModuleType], None]] = {
    "AdamW, not Muon": with_adamw,
    "small projections at the start, not zero": with_small_projections,
    "a tied head": with_a_tied_head,
    "GELU, not ReLU²": with_gelu,
    "half a cosine to a tenth, not flat and linear": with_a_cosine,
    "no QK-norm": without_qk_norm,
    "no RoPE, so no positions": without_rope,
    "a causal mask alone": with_a_causal_mask,
}


def table(curves: dict[tuple[str, str, float], list[Curve]]) -> str:
    """A row for each way to train: its last losses, and where it reaches what all runs of the first one reach."""
    target = max(curve[-1][2] for curve in next(iter(curves.values())))
    lines = [
        f"| recipe | validation loss: mean (worst, best) | steps to {target:.2f} | CPU seconds | for all steps |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (recipe, without, rate), runs in curves.items():
        last = [curve[-1][2] for curve in runs]
        name = f"{recipe}{f': {without}' if without else ''}{'' if rate == 1 else f', rates × {rate:g}'}"
        reached = [place for curve in runs if (place := reaching(curve, target))]
        if len(reached) < len(runs):
            reached = []
        steps, seconds = (f"{statistics.mean(one[i] for one in reached):.0f}" if reached else "–" for i in (0, 1))
        whole = statistics.mean(curve[-1][1] for curve in runs)
        losses = f"{statistics.mean(last):.3f} ({max(last):.3f}, {min(last):.3f})"
        lines.append(f"| {name} | {losses} | {steps} | {seconds} | {whole:.0f} |")
    return "\n".join(lines)


def reaching(curve: Curve, target: float) -> tuple[float, float] | None:
    """(step, CPU seconds) at which a line between the points comes down to the target."""
    for (step, seconds, loss), (next_step, next_seconds, next_loss) in zip(curve, curve[1:], strict=False):
        if next_loss <= target:
            way = (loss - target) / (loss - next_loss)
            return step + way * (next_step - step), seconds + way * (next_seconds - seconds)
    return None


def draw(curves: dict[str, list[Curve]], path: Path) -> None:
    figure = Figure(figsize=(9, 3.6))
    for axes, place, label in zip(figure.subplots(1, 2, sharey=True), (0, 1), ("step", "CPU seconds"), strict=True):
        for colour, (recipe, runs) in zip(COLOURS, curves.items(), strict=False):
            for number, curve in enumerate(runs):
                points = [(point[place], point[2]) for point in curve]
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=1, label=None if number else recipe)
        axes.set(xlabel=label)
    figure.axes[0].set(ylabel="validation loss, nats per token", ylim=(None, 6.2))
    figure.axes[0].legend()
    figure.savefig(path)
    print(f"The picture is in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
