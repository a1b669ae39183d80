"""Time one training step of a GPT on this machine, rung by rung, beside nanoGPT's:
`make bench-gpt`.

On a CUDA GPU the model is GPT-2 124M without biases, B = 16 and T = 1024, and then the
largest batch that fits. Elsewhere it is a small one. Each rung adds one thing to the
settings of the fastest rung before it. At the end the fastest rung and nanoGPT run in
turns. They do so once more with as many micro-batches per update as train_gpt2.py takes
on one device, so that an update counts as often as in a run. Exit code 1: a rung's
losses are not those of the first, or no rung ran.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from grader import devices
from grader.course import catalogue, kata_modules
from grader.course.catalogue import ROOT
from tests.bench.gpt import measure, nanogpt, peaks, report, rungs
from tests.bench.gpt.measure import Batches, Step, Steps
from tests.bench.gpt.rungs import LADDER, Rung

FIGURE = ROOT / ".kata" / "figures" / "bench_gpt_ladder.png"
LR = 1e-4  # small, so that rounding is all that tells the losses of two rungs apart
AGREE = 0.05  # how far they may lie apart
# for each: the given model's, the trained copy's, its gradient and AdamW's two moments
BYTES_OF_WEIGHTS = 20
FULL = 0.9  # the share of the GPU's memory that a batch may be planned to take
# per update: 2¹⁹ tokens, 16 · 1024 at a time; nanoGPT takes 40 of 12 · 1024
MICRO_BATCHES = 32
SECONDS = {"max-autotune": 200.0}  # that a rung may take, if it is more than
USUAL = 60.0


@dataclass
class Run:
    """The model, its batches, how rungs are measured, and what was found so far."""

    kata: ModuleType
    model: torch.nn.Module
    batches: Batches
    steps: Steps
    quick: bool
    data_sheet: float | None
    reachable: float
    found: dict[str, Any]
    best: Rung = field(default_factory=Rung)

    @property
    def device(self) -> torch.device:
        return self.model.lm_head.weight.device

    def compiled(self, of: Any, mode: str) -> Any:
        """Compile a module or function with torch.compile; a quick run traces it and
        compiles nothing.
        """
        how = {"backend": "aot_eager"} if self.quick else {"mode": mode}
        return torch.compile(of, fullgraph=True, dynamic=False, **how)

    def step(self, rung: Rung, micro_batches: int = 1) -> Step:
        """A training step of a rung, or of nanoGPT at that batch, under its
        own settings.
        """
        fetch = self.batches.of(rung.batch)
        if rung.name == "nanoGPT":
            rung = Rung(precision="high")
            padded = self.kata.pad_vocab(self.model)
            taken = nanogpt.training(
                padded,
                fetch,
                LR,
                lambda net: self.compiled(net, "default"),
                micro_batches,
            )
        else:
            taken = rungs.training(
                self.kata, self.model, rung, fetch, LR, self.compiled, micro_batches
            )

        def step() -> torch.Tensor | float:
            with rungs.settings(self.kata, rung):
                return taken()

        return step


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = prepared(options, Path(folder))
        found = run.found
        print(f"{found['device']}, torch {found['torch']}; {found['model']}")
        sheet = (
            "not in the list"
            if run.data_sheet is None
            else f"{run.data_sheet / 1e12:.0f} TFLOP/s"
        )
        print(
            f"peak by the data sheet: {sheet}; reachable: {run.reachable / 1e12:.3g} "
            "TFLOP/s in a large product"
        )
        print(
            f"attention that PyTorch chooses: {found['attention']}\n\n"
            f"{report.line(report.HEADINGS)}",
            flush=True,
        )
        try:
            for name in options.rungs:
                climb(run, name, options.seconds - (time.perf_counter() - start))
                report.save(found, options.json)
            if "nanoGPT" in options.rungs and any(
                row["name"] != "nanoGPT" for row in found["rows"]
            ):
                pair(run)
                accumulated(run)
        finally:
            report.save(found, options.json)
            print(
                f"\n{report.markdown(found)}\n\n"
                f"{time.perf_counter() - start:.0f} s in all",
                flush=True,
            )
    rows = found["rows"]
    apart = [row["name"] for row in rows if not report.gap(row, rows) <= AGREE]
    if rows:
        report.draw(found, FIGURE)
        print(f"The figure is in {FIGURE.relative_to(ROOT)}")
    if apart or not rows:
        print(
            f"losses are further than {AGREE} from the first rung's: "
            f"{', '.join(apart) or 'no rung ran'}"
        )
    return 1 if apart or not rows else 0


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.gpt", description=__doc__
    )
    parser.add_argument(
        "--rungs",
        type=names,
        default=list(LADDER),
        help=f"some of: {', '.join(LADDER)}",
    )
    parser.add_argument(
        "--given",
        type=names,
        default=[],
        help="rungs that the first one uses already, not measured",
    )
    parser.add_argument("--batch", type=int, help="rows of the first batch")
    parser.add_argument(
        "--json",
        type=Path,
        help="write what was found so far to this file after every rung",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=480.0,
        help="start no rung that may take longer than this",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a tiny model, few steps, nothing compiled"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in [*options.rungs, *options.given] if name not in LADDER]
    if unknown:
        parser.error(
            f"no rung is called {', '.join(unknown)}; there are: {', '.join(LADDER)}"
        )
    return options


def prepared(options: argparse.Namespace, folder: Path) -> Run:
    """The model on its device, and what is known before the first rung."""
    kata = kata_modules.load(catalogue.find("30_fast_training"), ROOT / "solutions")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config, rows, steps = (
        kata.GPTConfig(vocab_size=50257, bias=False),
        16,
        Steps(5, 4, 5),
    )
    if options.quick:
        config = kata.GPTConfig(
            block_size=16, vocab_size=127, n_layer=2, n_head=2, n_embd=16, bias=False
        )
        rows, steps = 4, Steps(1, 2, 2)
    elif device.type == "cpu":
        config = kata.GPTConfig(
            block_size=256, vocab_size=5101, n_layer=2, n_head=4, n_embd=128, bias=False
        )
        rows, steps = 4, Steps(2, 5, 2)
    torch.manual_seed(0)
    with device:
        model = kata.GPT(config, flash=False)
    rows = options.batch or rows
    name = peaks.device_name(device)
    found = {
        "device": name,
        "torch": torch.__version__,
        "model": (
            f"{model.num_params() / 1e6:.1f} M parameters, T = {config.block_size}, "
            f"{config.vocab_size:,} tokens"
        ),
        "attention": rungs.attention_chosen(device),
        "rows": [],
        "not_kept": [],
        "left_out": {},
        "pairs": None,
        "accumulated": None,
    }
    sheet = devices.peak(name) if device.type == "cuda" else None
    found |= {
        "data_sheet_flops": sheet,
        "reachable_flops": peaks.reachable(kata, device),
    }
    batches = Batches(config.vocab_size, rows, config.block_size, device, folder)
    best = Rung(batch=rows)
    for used in options.given:
        best = replace(best, **rungs.added(best, used))
    return Run(
        kata,
        model,
        batches,
        steps,
        options.quick,
        sheet,
        found["reachable_flops"],
        found,
        best,
    )


def climb(run: Run, name: str, seconds_left: float) -> None:
    """Measure a rung on top of the fastest before it, and carry it on if it
    is faster.
    """
    rung = replace(run.best, name=name, **rungs.added(run.best, name))
    reason = rungs.lacking(name, run.device)
    if (
        reason is None
        and (rung.mode or rung.update == "compiled" or name == "nanoGPT")
        and not run.quick
    ):
        reason = rungs.compiler_lacks(run.device)
    if reason is None and seconds_left < SECONDS.get(name, USUAL) + (
        USUAL if run.device.type == "cuda" else 0.0
    ):
        reason = "no time left"  # the turns at the end need some, too
    if reason is None and name == "larger batch":
        rung, reason = larger(run, rung)
    row = None
    if reason is None:
        row, reason = measured(run, rung)
    if row is None:
        run.found["left_out"][name] = reason
        print(f"{name}: left out: {reason}", flush=True)
        return
    rows = run.found["rows"]
    fastest = max(
        (r["tokens_per_s"] for r in rows if r["name"] != "nanoGPT"), default=0.0
    )
    rows.append(row)
    print(report.line(report.cells(row, rows)), flush=True)
    if name == "nanoGPT":
        return
    if row["tokens_per_s"] > fastest:
        run.best = rung
    else:
        run.found["not_kept"].append(name)


def measured(run: Run, rung: Rung) -> tuple[dict[str, Any] | None, str | None]:
    """The row of one rung; or None, and what went wrong."""
    return attempted(run, lambda: row_of(run, rung))


def row_of(run: Run, rung: Rung) -> dict[str, Any]:
    ms, losses = measure.timed(run.kata, run.step(rung), run.steps)
    speed = run.kata.tokens_per_second(
        rung.batch * run.model.config.block_size, ms / 1000
    )
    per_token = run.kata.flops_per_token(
        run.model.config, run.model.num_params(non_embedding=True)
    )
    return {
        "name": rung.name,
        "batch": rung.batch,
        "ms": ms,
        "tokens_per_s": speed,
        "of_data_sheet": run.data_sheet
        and run.kata.mfu(speed, per_token, run.data_sheet),
        "of_reachable": run.kata.mfu(speed, per_token, run.reachable),
        "bytes": measure.peak_bytes(run.device),
        "losses": losses,
    }


def attempted(run: Run, work: Callable[[], Any]) -> tuple[Any, str | None]:
    """Return the work's result, or None and the error's text. A rung that fails must
    not end the run.
    """
    measure.forget(run.device)
    try:
        return work(), None
    except torch.OutOfMemoryError:
        return None, "out of memory"
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return None, f"{type(error).__name__}: {lines[0][:150]}"


def larger(run: Run, rung: Rung) -> tuple[Rung, str | None]:
    """The rung with the largest batch, of twice, four times, … the rows, at which it
    and nanoGPT should fit.
    """
    fixed = BYTES_OF_WEIGHTS * run.model.num_params()
    rows = run.found["rows"][-1:]
    rows += [row for row in run.found["rows"] if row["name"] == "nanoGPT"]
    if not rows:
        return rung, "no rung before it says how much memory a row takes"
    each = max((row["bytes"] - fixed) / row["batch"] for row in rows)
    room = FULL * torch.cuda.get_device_properties(0).total_memory - 2 * fixed
    batch = rung.batch
    while 2 * batch * each <= room:
        batch *= 2
    return replace(
        rung, batch=batch
    ), None if batch > rung.batch else "no larger batch fits"


def pair(run: Run) -> None:
    """Run the fastest rung and nanoGPT in turns, at the batch of the fastest rung."""
    theirs = replace(run.best, name="nanoGPT")
    times, reason = attempted(
        run,
        lambda: measure.in_turns(
            run.kata, run.step(run.best), run.step(theirs), run.steps
        ),
    )
    if times is None:
        run.found["left_out"]["in turns"] = reason
        return
    ratios = sorted(b / a for a, b in zip(*times))
    run.found["pairs"] = {
        "batch": run.best.batch,
        "ours": run.best.name,
        "ours_ms": times[0],
        "nanogpt_ms": times[1],
        "ratio": ratios[len(ratios) // 2],
    }


def accumulated(run: Run) -> None:
    """The same with as many micro-batches per update as a run takes: seconds per
    update, and to the same loss.
    """
    micro_batches = 2 if run.quick else MICRO_BATCHES
    steps = replace(run.steps, warm_up=1)
    ours, theirs = run.best, replace(run.best, name="nanoGPT")

    def race() -> tuple[list[measure.Update], list[measure.Update]]:
        return measure.raced(
            run.kata,
            run.step(ours, micro_batches),
            run.step(theirs, micro_batches),
            steps,
        )

    raced, reason = attempted(run, race)
    if raced is None:
        run.found["left_out"]["accumulated"] = reason
        return
    loss = max(min(loss for _, loss in updates) for updates in raced)
    tokens = micro_batches * run.best.batch * run.model.config.block_size
    run.found["accumulated"] = {
        "micro_batches": micro_batches,
        "tokens_per_s": [
            tokens / statistics.median(seconds for seconds, _ in updates)
            for updates in raced
        ],
        "loss": loss,
        "seconds_to_loss": [measure.seconds_to(loss, updates) for updates in raced],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
