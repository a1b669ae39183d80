"""How fast one training step of a GPT is on this machine, rung by rung: the reference's speed ladder, in one run.

On a CUDA GPU it is GPT-2 124M on random tokens, with B = 16 and T = 1024, and once more with the largest batch that
fits. Elsewhere it is a small model. Exit code 1: a rung's losses are not those of the first.
"""

import gc
import re
import shutil
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from grader.course import catalogue, loading
from grader.course.catalogue import ROOT
from grader.lesson import COLOURS, Figure

FIGURE = ROOT / ".kata" / "figures" / "bench_gpt_ladder.png"
LR = 1e-4  # small, so that rounding is all that tells the losses of two rungs apart
AGREE = 0.05  # how far they may lie apart
GIB = 2**30
BYTES_OF_WEIGHTS = 20  # for each: the given model's, the trained copy's, its gradient and AdamW's two moments
FULL = 0.95  # the share of the GPU's memory that a batch may be planned to take
STEP = 8  # batches larger than the first are multiples of it

# What each rung adds to the one before.
ADDED: dict[str, dict[str, Any]] = {
    "fp32": {},
    "TF32": {"precision": "high"},
    "bf16": {"dtype": torch.bfloat16},
    "compile": {"compile_backend": "inductor"},
    "flash": {"flash": True},
    "padded vocabulary": {"pad_multiple": 128},
    "fused AdamW": {"fused": True},
}

# Operations a second of bfloat16 (T4, V100: float16) with sums in float32, without sparsity, from the data sheets.
PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10": 125e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "V100": 125e12,
    "T4": 65e12,
}


@dataclass(frozen=True)
class Run:
    """One ladder: the model and its batch, how many steps a rung takes, and against which peak they count."""

    model: torch.nn.Module
    batch: int
    n_steps: int
    n_warmup: int
    peak_flops: float

    @property
    def tokens(self) -> tuple[torch.Tensor, torch.Tensor]:
        config, device = self.model.config, self.model.lm_head.weight.device
        generator = torch.Generator().manual_seed(1)
        ids = torch.randint(config.vocab_size, (self.batch, config.block_size + 1), generator=generator).to(device)
        return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    @property
    def title(self) -> str:
        config = self.model.config
        size = f"{self.model.num_params() / 1e6:.1f} M parameters"
        return f"{size}, B = {self.batch}, T = {config.block_size}, vocabulary {config.vocab_size:,}"


@dataclass(frozen=True)
class Ladder:
    """What came of a run: a row for each rung that ran, and of the others the reason."""

    run: Run
    rows: list[dict[str, Any]]
    left_out: dict[str, str]

    def gap(self, row: dict[str, Any]) -> float:
        """How far this rung's losses lie from the first rung's, where they do most."""
        return max(abs(a - b) for a, b in zip(row["losses"], self.rows[0]["losses"], strict=True))


def main() -> int:
    kata = loading.load(catalogue.find("30_fast_training"), ROOT / "solutions")
    console = Console(width=110)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    peak, source = peak_flops(kata, device)
    console.print(f"{device_name(device)}, torch {torch.__version__}; peak {peak / 1e12:.3g} TFLOP/s: {source}")

    torch.manual_seed(0)
    if device.type == "cuda":
        config = kata.GPTConfig(block_size=1024, vocab_size=50257, n_layer=12, n_head=12, n_embd=768)
        with device:
            run = Run(kata.GPT(config, flash=False), batch=16, n_steps=20, n_warmup=3, peak_flops=peak)
    else:
        config = kata.GPTConfig(block_size=128, vocab_size=5003, n_layer=2, n_head=4, n_embd=128)
        run = Run(kata.GPT(config, flash=False), batch=8, n_steps=7, n_warmup=2, peak_flops=peak)

    ladders = [climb(kata, run, console)]
    show(ladders, console)
    if device.type == "cuda" and ladders[0].rows:
        larger = largest_batch(kata, ladders[0], console)
        if larger:
            ladders.append(climb(kata, larger, console, too_large(ladders[0], larger.batch)))
            show(ladders, console)
    draw(ladders, device_name(device))
    console.print(f"The figure is in {FIGURE.relative_to(ROOT)}")
    apart = [row["name"] for ladder in ladders for row in ladder.rows if not ladder.gap(row) <= AGREE]
    if apart or not ladders[0].rows:
        console.print(f"losses are further than {AGREE} from the first rung's: {', '.join(apart) or 'no rung ran'}")
    return 1 if apart or not ladders[0].rows else 0


def climb(kata: ModuleType, run: Run, console: Console, skip: dict[str, str] | None = None) -> Ladder:
    """Measure all rungs that this device has, each on top of those before it."""
    device = run.model.lm_head.weight.device
    rows, left_out = [], {}
    rung = kata.Rung("")
    for name, added in ADDED.items():
        reason = lacking(name, device)
        if reason is None:
            rung = replace(rung, name=name, **added)
            reason = (skip or {}).get(name)
        if reason is None:
            with console.status(f"{name} …"):
                row, reason = measure(kata, run, rung)
            if row:
                rows.append(row)
            elif reason != "out of memory":
                rung = replace(rung, **{field: getattr(kata.Rung(""), field) for field in added})
        if reason is not None:
            left_out[name] = reason
    return Ladder(run, rows, left_out)


def measure(kata: ModuleType, run: Run, rung: Any) -> tuple[dict[str, Any] | None, str | None]:
    """The row of one rung, with its peak memory in "bytes"; or None, and what went wrong."""
    x, y = run.tokens
    forget(x.device)
    try:
        [row] = kata.speed_ladder(
            run.model, x, y, [rung], n_steps=run.n_steps, n_warmup=run.n_warmup, lr=LR, peak_flops=run.peak_flops
        )
        return row | {"bytes": peak_bytes(x.device)}, None
    except torch.OutOfMemoryError:
        return None, "out of memory"
    except RuntimeError as error:  # what torch.compile raises, for one, where it has no working compiler
        return None, str(error).strip().splitlines()[0][:90]


def forget(device: torch.device) -> None:
    """Give back what the rung before has left, and count memory anew."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: torch.device) -> int | None:
    """The most memory since `forget`: of all tensors on the GPU, or of this process where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return 1024 * int(found[1]) if found else None


def lacking(name: str, device: torch.device) -> str | None:
    """Why this device has no such rung; None if it has."""
    gpu = device.type == "cuda"
    if name == "TF32" and not gpu:
        return "TF32 needs a CUDA GPU"
    if name == "TF32" and torch.cuda.get_device_capability() < (8, 0):
        return "this GPU is older than TF32"
    if name == "bf16" and gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "this GPU has no bfloat16"
    if name == "compile" and gpu and find_spec("triton") is None:
        return "Triton is not installed"
    if name == "compile" and not any(map(shutil.which, ("gcc", "clang", "cc") if gpu else ("g++", "clang++"))):
        return "there is no compiler"
    return None


def largest_batch(kata: ModuleType, ladder: Ladder, console: Console) -> Run | None:
    """The run with the largest batch at which the last rung fits; None where that is no larger than this one's."""
    last = ladder.rows[-1]
    fixed = BYTES_OF_WEIGHTS * ladder.run.model.num_params()
    each = (last["bytes"] - fixed) / ladder.run.batch
    total = torch.cuda.get_device_properties(0).total_memory
    batch = int((FULL * total - fixed) / each) // STEP * STEP
    rung = kata.Rung("")
    for name, added in ADDED.items():
        rung = rung if name in ladder.left_out else replace(rung, name=name, **added)
    while batch > ladder.run.batch:
        run = replace(ladder.run, batch=batch, n_steps=10)
        with console.status(f"does B = {batch} fit?"):
            row, reason = measure(kata, replace(run, n_steps=1, n_warmup=2), rung)
        if row:
            return run
        console.print(f"B = {batch}: {reason}")
        batch -= STEP
    return None


def too_large(ladder: Ladder, batch: int) -> dict[str, str]:
    """Those rungs of a measured ladder that would not fit with a larger batch, by what they took with this one."""
    fixed = BYTES_OF_WEIGHTS * ladder.run.model.num_params()
    total = torch.cuda.get_device_properties(0).total_memory
    found = {}
    for row in ladder.rows[:-1]:
        needed = fixed + (row["bytes"] - fixed) / ladder.run.batch * batch
        if needed > total:
            found[row["name"]] = f"would take {needed / GIB:.0f} GiB"
    return found


def peak_flops(kata: ModuleType, device: torch.device) -> tuple[float, str]:
    """The operations a second that count as 100 %, and where the number comes from."""
    for name, flops in PEAKS.items() if device.type == "cuda" else ():
        if name in torch.cuda.get_device_name():
            return flops, "by the data sheet, in half precision"
    n, best = (8192 if device.type == "cuda" else 1024), 0.0
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(n, n, device=device).to(dtype)
        best = max(best, 2 * n**3 / min(kata.time_steps(lambda a=a: a @ a, 5, 2)))
    return best, f"the fastest product of two {n} × {n} matrices"


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return f"{found[1] if found else 'CPU'}, threads: {torch.get_num_threads()}"


def show(ladders: list[Ladder], console: Console) -> None:
    """The table of the last ladder."""
    ladder = ladders[-1]
    table = Table("rung", title=ladder.run.title)
    for heading in ("ms/step", "× the first", "tokens/s", "MFU", "peak memory", "last loss", "from the first's"):
        table.add_column(heading, justify="right")
    for row in ladder.rows:
        memory = "–" if row["bytes"] is None else f"{row['bytes'] / GIB:.2f} GiB"
        table.add_row(
            row["name"],
            f"{row['ms']:.1f}",
            f"{ladder.rows[0]['ms'] / row['ms']:.2f}",
            f"{row['tokens_per_s']:,.0f}",
            f"{row['mfu']:.1%}",
            memory,
            f"{row['losses'][-1]:.4f}",
            f"{ladder.gap(row):.1e}",
        )
    console.print(table)
    for name, reason in ladder.left_out.items():
        console.print(f"left out: {name}: {reason}")


def draw(ladders: list[Ladder], device: str) -> None:
    """Bars of ms a step for each ladder, with the distance of the losses on each bar."""
    figure = Figure(figsize=(9, 0.8 + 3.4 * len(ladders)))
    for axes, ladder in zip(figure.subplots(len(ladders), squeeze=False)[:, 0], ladders, strict=True):
        names, times = [row["name"] for row in ladder.rows], [row["ms"] for row in ladder.rows]
        bars = axes.bar(names, times, color=COLOURS[0])
        notes = [f"{row['ms']:.1f} ms\nΔ loss {ladder.gap(row):.1g}" for row in ladder.rows]
        axes.bar_label(bars, notes, fontsize=8, padding=2)
        axes.margins(y=0.2)
        axes.set(ylabel="ms a step", title=ladder.run.title)
        axes.tick_params(axis="x", labelsize=8)
    figure.suptitle(device, fontsize=9)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE)


if __name__ == "__main__":
    sys.exit(main())
