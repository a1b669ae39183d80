"""Train GPT-2 124M from scratch on one GPU or on many, with the code of katas 23 to 33.

    python katas/33_gpt_capstone/train_gpt2.py --preset tiny
        a small model, for a look without a GPU
    torchrun --standalone --nproc-per-node=8 katas/33_gpt_capstone/train_gpt2.py --data
    data/fineweb_edu_10b

The folder --out gets checkpoint.pt, log.jsonl and log.png. Ctrl-C or SIGTERM ends the
run after the next step, and the same command resumes it. Your own code is used where
its core exercises work, the reference elsewhere; the stream of batches, the loop and
the checkpoint are the program's own. --recipe speedrun replaces GPT-2's parts by
today's, those of ladder/; --without leaves some out.
"""

import argparse
import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, TypeVar

import batch_size
import hellaswag
import numpy as np
import shard_files
import speedrun
import torch
import torch.distributed as dist
from checkpoint_writer import CheckpointWriter
from ladder import RUNGS, document_windows, multi_token, schedules
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from grader import devices
from grader.course import downloads
from grader.course.catalogue import ROOT
from grader.errors import KataError
from grader.lesson import COLOURS, Figure, stretch
from grader.loading import prerequisite

if sys.platform != "win32":
    import fcntl

T = TypeVar("T")
IS_MAIN = os.environ.get("RANK", "0") == "0"
KATAS = (
    "23_tokenizers", "24_token_batches", "26_gpt_model", "27_generation",
    "29_gpt_training", "30_fast_training",
    "31_distributed_training", "32_hellaswag_evaluation", "33_gpt_capstone",
)  # fmt: skip
AUTO = "auto"
# what each one changes in a preset
RECIPES: dict[str, dict[str, Any]] = {"gpt2": {}, "speedrun": speedrun.RATES}
# for the recipe speedrun
TODAY = ("today/01_todays_block", "today/02_muon_and_schedules")


@dataclass(frozen=True)
class Preset:
    """Sizes and settings. The defaults are GPT-2 124M's, with GPT-3's rates. Token
    counts are over all processes.
    """

    vocab_size: int = 50257  # of the tokenizer; the model's is a multiple of 128
    block_size: int = 1024
    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    dropout: float = 0.0
    batch_size: int = 16  # rows per micro-batch of one process
    tokens_per_step: int = 2**19
    steps: int = 19073  # 10 billion tokens
    max_lr: float = 6e-4
    min_lr: float = 6e-5
    warmup_steps: int = 715
    weight_decay: float = 0.1
    max_norm: float = 1.0
    val_tokens: int = 20 * 2**19
    val_every: int = 250  # steps; also between two checkpoints
    judge_every: int = 1000  # steps; HellaSwag and a sample
    prompt: str = "Hello, I'm a language model,"


PRESETS = {
    "124M": Preset(),
    "tiny": Preset(
        vocab_size=384, block_size=64, n_layer=2, n_head=4, n_embd=96, batch_size=8,
        tokens_per_step=1024, steps=200,
        max_lr=3e-3, min_lr=3e-4, warmup_steps=20, val_tokens=8192, val_every=50,
        judge_every=100, prompt="The ",
    ),
}  # fmt: skip


class Stream:
    """One process's batches: kata 24's `DataLoaderLite` over memory maps, of which it
    copies one batch at a time.

    A step takes the next `tokens` tokens of a shard and cuts them into micro-batches of
    `rows` rows, which the processes take in turn. So the tokens of a step do not depend
    on the number of processes.
    """

    def __init__(
        self,
        own: Any,
        shards: list[Tensor],
        tokens: int,
        rows: int,
        block_size: int,
        info: Any,
    ):
        self.sequential_batch = own.token_batches.sequential_batch
        self.shards, self.tokens, self.rows, self.block_size = (
            shards,
            tokens,
            rows,
            block_size,
        )
        self.mine, self.together = (
            info.rank * rows * block_size,
            info.world_size * rows * block_size,
        )
        self.shard = self.position = 0
        if tokens % self.together:
            shape = f"{info.world_size} processes × {rows} rows × {block_size} tokens"
            refuse(
                f"{tokens:,} tokens are no multiple of {shape}: change the number of "
                "processes or --batch-size"
            )
        longest = max(map(len, shards))
        if longest <= tokens:
            refuse(
                f"{tokens + 1:,} tokens of one shard are needed at once, and the "
                f"longest has {longest:,}"
            )

    @property
    def micro_batches(self) -> int:
        return self.tokens // self.together

    def next_step(self, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's micro-batches of the next step: x and y, both (rows,
        block_size) and long.
        """
        while self.position + self.tokens + 1 > len(self.shards[self.shard]):
            self.shard, self.position = (self.shard + 1) % len(self.shards), 0
        begin, self.position = self.position + self.mine, self.position + self.tokens
        starts = range(begin, self.position, self.together)
        shard = self.shards[self.shard]
        return on(
            device,
            (
                self.sequential_batch(shard, self.rows, self.block_size, start)
                for start in starts
            ),
        )


def on(
    device: torch.device, batches: Iterable[tuple[Tensor, Tensor]]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches on the device. The next one is cut and on its way while a step
    runs on the present one.
    """
    present = None
    for batch in batches:
        following = devices.sent(batch[0], device), devices.sent(batch[1], device)
        if present:
            yield present
        present = following
    if present:
        yield present


class WithLoss(nn.Module):
    """The model with its loss, so that torch.compile sees both. Tokens that only pad
    the vocabulary have no share.

    Attributes:
        ahead: where it learns, the weight of the next token, the one after it, and
            so on.
    """

    ahead: tuple[float, ...] = (1.0,)

    def __init__(self, own: Any, model: nn.Module, vocab_size: int):
        super().__init__()
        self.model, self.vocab_size = model, vocab_size
        self.mask_padded_logits = own.fast_training.mask_padded_logits

    def forward(self, x: Tensor, y: Tensor) -> tuple[None, Tensor]:
        logits = self.mask_padded_logits(self.model(x)[0], self.vocab_size)
        if self.model.training and len(self.ahead) > 1:
            return None, multi_token.loss(logits, y, self.ahead)
        return None, F.cross_entropy(logits.flatten(0, 1), y.flatten())


@dataclass
class Run:
    """All that the next step depends on: the content of a checkpoint.

    A resumed run may divide a step's tokens among its processes in another way:
    `DIVIDED` names these settings.
    """

    DIVIDED = {"batch_size": "rows in a micro-batch", "world_size": "processes"}
    settings: dict[str, Any]
    model: nn.Module
    optimizer: torch.optim.Optimizer | speedrun.Optimizers
    stream: Stream
    generators: list[torch.Generator]  # torch's own, of this process
    step: int = 0

    def save(self, writer: CheckpointWriter) -> None:
        """Have the checkpoint written on rank 0."""
        random = [generator.get_state() for generator in self.generators]
        mine = {
            "shard": self.stream.shard,
            "position": self.stream.position,
            "random": random,
        }
        processes = [mine]
        if dist.is_initialized():
            processes *= dist.get_world_size()
            dist.all_gather_object(processes, mine)
        if IS_MAIN:
            state = {
                "settings": self.settings,
                "step": self.step,
                "processes": processes,
            }
            state |= {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
            writer.save(state)

    def resume(self, path: Path, rank: int) -> None:
        """Bring a new run to where the checkpoint is."""
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            # older checkpoints know no other recipe
            saved = {"recipe": "gpt2"} | state["settings"]
            for name, value in self.settings.items():
                if name not in self.DIVIDED and saved[name] != value:
                    raise ValueError(f"its {name} is {saved[name]}, not {value}")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            # all of them are at the same place of the stream
            first, *_ = processes = state["processes"]
            self.stream.shard, self.stream.position = first["shard"], first["position"]
            # another one keeps the random numbers of its seed
            if rank < len(processes):
                for generator, state_then in zip(
                    self.generators, processes[rank]["random"], strict=True
                ):
                    generator.set_state(state_then)
            self.step = state["step"]
            changed = {name: saved[name] for name in self.DIVIDED}
        except Exception as error:  # whatever a damaged file or changed code leads to
            reason = str(error).partition("\n")[0][:100] or type(error).__name__
            refuse(
                f"{path} cannot be resumed ({reason}): take another --out, or --restart"
            )
        for name, before in changed.items():
            if before != self.settings[name]:
                now = f"{self.settings[name]} {self.DIVIDED[name]}"
                say(f"resumed with {now}, not {before}: the tokens of a step stay")


def moment(device: torch.device) -> Any:
    """Now, on the device's own clock: a GPU reaches it when it has done what it was
    given before.
    """
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


class Report:
    """Loss, norm and stop of a step, on their way from the device: to read them is to
    wait for that step alone.
    """

    def __init__(
        self, line: dict[str, Any], begun: Any, loss: Tensor, norm: Tensor, stop: bool
    ):
        self.line, self.begun = line, begun
        values = torch.stack([loss, norm, torch.full_like(loss, float(stop))])
        if dist.is_initialized():
            dist.all_reduce(values)
            values /= dist.get_world_size()
        self.values = torch.empty_like(values, device="cpu", pin_memory=values.is_cuda)
        self.values.copy_(values, non_blocking=True)
        self.arrived = moment(values.device)

    def read(self) -> tuple[dict[str, Any], float, bool]:
        """The log's line, the seconds of the step, and if any process got a signal
        before it was over.
        """
        if self.values.is_pinned():
            self.arrived.synchronize()
            seconds = self.begun.elapsed_time(self.arrived) / 1000
        else:
            seconds = self.arrived - self.begun
        loss, norm, stop = self.values.tolist()
        return self.line | {"loss": loss, "norm": norm}, seconds, stop > 0


def main() -> None:
    # until the first step, Ctrl-C simply ends the program
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    options, preset = parsed()
    rungs = (
        [name for name in RUNGS if name not in options.without]
        if options.recipe == "speedrun"
        else None
    )
    own = own_code(KATAS + (TODAY if options.recipe == "speedrun" else ()))
    reduce_mean = own.distributed_training.reduce_mean
    info = own.distributed_training.dist_info_from_env()
    device = joined(own, info, options.device)
    on_gpu = device.type == "cuda"
    dtype = (
        torch.bfloat16
        if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
        else None
    )
    autocast = torch.autocast(device.type, dtype, enabled=dtype is not None)
    torch.set_float32_matmul_precision("high")

    train, val, tokenizer, examples = together(lambda: read(own, options, preset))
    torch.manual_seed(options.seed)
    config = own.gpt_model.GPTConfig(
        block_size=preset.block_size,
        vocab_size=own.fast_training.padded_size(preset.vocab_size),
        n_layer=preset.n_layer, n_head=preset.n_head, n_embd=preset.n_embd,
        dropout=preset.dropout,
    )  # fmt: skip
    compiles = on_gpu if options.compile is None else options.compile
    model, optimizer, rate = built(own, rungs, preset, config, device, dtype, compiles)
    learning = WithLoss(own, model, preset.vocab_size)
    left_out = [name for name in RUNGS if name in options.without]
    recipe = options.recipe + (f" without {', '.join(left_out)}" if left_out else "")
    settings = (
        {"recipe": recipe}
        | asdict(preset)
        | {"seed": options.seed, "world_size": info.world_size}
    )
    name = torch.cuda.get_device_name(device) if on_gpu else device.type.upper()
    sizes = (
        schedules.sizes(preset.tokens_per_step)
        if rungs and "schedules" in rungs
        else 3 * (preset.tokens_per_step,)
    )
    row = info.world_size * preset.block_size
    if options.batch_size == AUTO and (
        possible := batch_size.dividing((*sizes, preset.val_tokens), row)
    ):

        def loss_of(rows: int) -> Tensor:
            ids = torch.zeros(rows, preset.block_size, dtype=torch.long, device=device)
            return own.fast_training.amp_loss(learning, ids, ids, dtype)

        fits = partial(
            batch_size.fits_on_gpu if on_gpu else batch_size.fits_elsewhere,
            loss_of,
            model,
        )
        kept = options.out / "batch_size.json"
        rows = settings["batch_size"] = batch_size.chosen(
            kept, settings | {"on": name}, possible, fits
        )
        preset = replace(preset, batch_size=rows)
        say(f"{rows} rows in a micro-batch, the most that fit and divide a step")
    cut = (preset.batch_size, preset.block_size, info)
    stream, *_ = together(lambda: [Stream(own, train, size, *cut) for size in sizes])
    # refuses now what validation would refuse later
    together(lambda: Stream(own, val, preset.val_tokens, *cut))
    compiled: Any = torch.compile(learning) if compiles else learning
    called = compiled
    if dist.is_initialized():
        called = spread(compiled, device, dtype)
    # every process draws its own dropout
    torch.manual_seed(options.seed + 1 + info.rank)

    settings |= {"device": device.type, "training tokens": sum(map(len, train))}
    generators = [
        torch.default_generator,
        *([torch.cuda.default_generators[device.index]] if on_gpu else []),
    ]
    run = Run(settings, model, optimizer, stream, generators)
    encode = hellaswag.remembering(tokenizer.encode) if tokenizer else None
    log, checkpoint = options.out / "log.jsonl", options.out / "checkpoint.pt"
    # not 0 if one process sees it
    if reduce_mean(float(checkpoint.exists() and not options.restart)):
        together(lambda: run.resume(checkpoint, info.rank))
    together(lambda: prepare_out(log, checkpoint, run.step))

    peak = devices.peak(name) if dtype else None
    per_token = own.fast_training.flops_per_token(
        config, model.num_params(non_embedding=True)
    )
    passes = preset.steps * preset.tokens_per_step / sum(map(len, train))
    say(
        f"{model.num_params():,} parameters, {info.world_size} × {name}, "
        f"{dtype or torch.float32}, in {options.out}"
    )
    say(
        f"{preset.steps:,} steps of {preset.tokens_per_step:,} tokens, {passes:.2f} "
        "passes over the training data"
    )
    say(f"resumed after step {run.step:,}" if run.step else "a new run")

    # is filled by Ctrl-C and SIGTERM; a second one ends the process at once
    stopping: list[Any] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            number,
            lambda number, _: stopping.append(signal.signal(number, signal.SIG_DFL)),
        )

    writer = CheckpointWriter(checkpoint, refuse)

    def stopped(step: int) -> NoReturn:
        writer.wait()
        say(
            f"stopped after step {step:,} of {preset.steps:,}: the same command "
            "resumes the run"
        )
        leave(130)

    def logged(report: Report) -> bool:
        """Log a step. True if the run is to stop."""
        line, seconds, stop = report.read()
        speed = own.fast_training.tokens_per_second(line["tokens"], seconds)
        mfu = (
            own.fast_training.mfu(speed, per_token, peak * info.world_size)
            if peak
            else None
        )
        record(log, line | {"seconds": seconds, "tokens_per_s": speed, "mfu": mfu})
        text = (
            f"step {line['step']:>6,}  loss {line['loss']:.4f}  norm "
            f"{line['norm']:.2f}  lr {line['lr']:.2e}"
        )
        text += f"  {1000 * seconds:,.0f} ms  {speed:,.0f} tokens/s"
        say(text + (f"  MFU {mfu:.1%}" if mfu else ""))
        return stop

    stop, report = False, None
    for step in range(run.step, preset.steps + 1):
        is_last = step == preset.steps
        is_due = is_last or step % preset.val_every == 0
        is_judged = bool(tokenizer) and (is_last or step % preset.judge_every == 0)
        if report and (stop or is_due or is_judged):
            stop, report = logged(report) or stop, None
        if step > run.step and (stop or is_due or is_judged):
            run.step = step
            run.save(writer)
        if stop:
            stopped(step)

        stage = schedules.stage_of(step, preset.steps)
        stream.tokens = sizes[stage]
        if rungs and "schedules" in rungs:
            model.windows = schedules.WINDOWS[stage]
        if rungs and "multi_token" in rungs:
            learning.ahead = multi_token.WEIGHTS[stage]

        if is_due:
            with autocast:
                val_loss = reduce_mean(
                    validated(
                        compiled, Stream(own, val, preset.val_tokens, *cut), device
                    )
                )
            record(log, {"step": step, "val": val_loss})
            say(f"step {step:>6,}  validation loss {val_loss:.4f}")
        if is_judged:
            with autocast:
                share = (
                    hellaswag.share_right(
                        own, model, encode, examples, preset, info, stopping
                    )
                    if examples
                    else None
                )
                if examples and share is None:
                    stopped(step)
                text = sampled(
                    own, model, tokenizer, preset.prompt, options.seed + step
                )
            record(log, {"step": step, "hellaswag": share, "sample": text})
            say(
                f"step {step:>6,}  HellaSwag "
                f"{'not judged' if share is None else f'{share:.4f}'}, sample {text!r}"
            )
        if is_last:
            break

        begun = moment(device)
        lr = rate(step)
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get("times", 1)
        model.train()
        total = torch.zeros((), device=device)
        for i, (x, y) in enumerate(stream.next_step(device), start=1):
            with own.distributed_training.sync_context(
                called, is_last=i == stream.micro_batches
            ):
                loss = (
                    own.fast_training.amp_loss(called, x, y, dtype)
                    / stream.micro_batches
                )
                loss.backward()
            total += loss.detach()
        norm = nn.utils.clip_grad_norm_(model.parameters(), preset.max_norm)
        optimizer.step()
        optimizer.zero_grad()
        before, report = (
            report,
            Report(
                {"step": step, "lr": lr, "tokens": stream.tokens},
                begun,
                total,
                norm,
                bool(stopping),
            ),
        )
        # one step late: the device has the next one while this process reads and writes
        if before:
            stop = logged(before)

    writer.wait()
    if IS_MAIN:
        title = (
            f"{options.preset}, recipe {recipe}, {model.num_params() / 1e6:.1f} M "
            "parameters"
        )
        draw(log, options.out / "log.png", title)
    leave(0)


def built(
    own: Any,
    rungs: Collection[str] | None,
    preset: Preset,
    config: Any,
    device: torch.device,
    dtype: torch.dtype | None,
    compiles: bool,
) -> tuple[Any, Any, Callable[[int], float]]:
    """The model on its device, its optimizer, and the learning rate of a step. No rungs
    at all: GPT-2's recipe.
    """
    if rungs is None:
        fused = device.type == "cuda"
        model = own.gpt_model.GPT(config).to(device)
        optimizer = own.gpt_training.make_optimizer(
            model, preset.max_lr, preset.weight_decay, fused=fused
        )
        rates = (preset.max_lr, preset.min_lr, preset.warmup_steps, preset.steps)
        return model, optimizer, lambda step: own.gpt_training.cosine_lr(step, *rates)
    end_of_text = preset.vocab_size - 1  # the last id of both tokenizers
    model = speedrun.SpeedrunGPT(own.todays_block, config, end_of_text, rungs).to(
        device
    )
    if "document_windows" in rungs:
        model.flex = compiles and document_windows.flex_works(
            device, config.n_embd // config.n_head
        )
        say(
            "document windows, with "
            f"{'FlexAttention' if model.flex else 'usual attention and masks'}"
        )
    optimizer = speedrun.Optimizers(
        own.muon_and_schedules, model, preset.max_lr, dtype, compiles
    )
    return model, optimizer, speedrun.schedule(own.muon_and_schedules, preset, rungs)


def spread(
    compiled: nn.Module, device: torch.device, dtype: torch.dtype | None
) -> DistributedDataParallel:
    """The model on every process, with one gradient. What crosses between GPUs is in
    their half precision.
    """
    on_gpu = device.type == "cuda"
    # from PyTorch 2.13 on
    is_new = (
        "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    )
    given: dict[str, Any] = {
        "forward_sync_buffers" if is_new else "broadcast_buffers": False
    }
    given |= {
        "device_ids": [device] if on_gpu else None,
        "gradient_as_bucket_view": True,
    }
    model = DistributedDataParallel(compiled, **given)
    if on_gpu and dtype is torch.bfloat16:
        model.register_comm_hook(None, default_hooks.bf16_compress_hook)
    return model


@torch.no_grad()
def validated(compiled: nn.Module, stream: Stream, device: torch.device) -> Tensor:
    """This process's mean loss over the next step of the stream, which stays on the
    device until somebody reads it.
    """
    compiled.eval()
    total = torch.zeros((), device=device)
    for x, y in stream.next_step(device):
        total += compiled(x, y)[1]
    return total / stream.micro_batches


def parsed() -> tuple[argparse.Namespace, Preset]:
    """The options of the command line, and the preset with those that change it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="124M",
        help="sizes and settings (default: %(default)s)",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="gpt2",
        help="GPT-2's, or today's (default: %(default)s)",
    )
    parser.add_argument(
        "--without",
        nargs="+",
        choices=RUNGS,
        default=[],
        help="what of the recipe speedrun to leave out",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="a folder of shards (default: data/fineweb_edu; tiny: Python's help)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="for checkpoint, log and plot (default: in .kata/runs/)",
    )
    parser.add_argument("--steps", type=int, help="steps of the whole run")
    parser.add_argument(
        "--batch-size",
        type=rows_or_auto,
        help="rows per micro-batch; auto: the most that fit",
    )
    parser.add_argument(
        "--restart", action="store_true", help="begin anew where --out has a checkpoint"
    )
    parser.add_argument("--device", help="cuda, mps or cpu (default: the fastest)")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="torch.compile (default: with CUDA)",
    )
    parser.add_argument(
        "--seed", type=int, default=1337, help="of weights, dropout and samples"
    )
    options = parser.parse_args()
    preset = replace(PRESETS[options.preset], **RECIPES[options.recipe])
    if options.data:  # shards hold GPT-2's tokens
        preset = replace(preset, vocab_size=PRESETS["124M"].vocab_size)
    if options.without and options.recipe != "speedrun":
        refuse("--without leaves out parts of --recipe speedrun")
    steps = preset.steps if options.steps is None else options.steps
    rows = (
        preset.batch_size if options.batch_size in (None, AUTO) else options.batch_size
    )
    if min(steps, rows) < 1:
        refuse("--steps and --batch-size are at least 1")
    name = (
        options.preset
        if options.recipe == "gpt2"
        else f"{options.preset}-{options.recipe}"
    )
    options.out = options.out or ROOT / ".kata" / "runs" / name
    return options, replace(
        preset,
        steps=steps,
        batch_size=rows,
        warmup_steps=min(preset.warmup_steps, steps // 4),
    )


def rows_or_auto(text: str) -> int | str:
    return AUTO if text == AUTO else int(text)


def say(text: str) -> None:
    """Print on rank 0."""
    if IS_MAIN:
        print(text, flush=True)


def refuse(message: str) -> NoReturn:
    """End this process with exit code 2, and say why, with its rank if there
    are several.
    """
    rank = (
        f"rank {os.environ['RANK']}: "
        if os.environ.get("WORLD_SIZE", "1") != "1"
        else ""
    )
    print(f"train_gpt2.py: {rank}{message}", file=sys.stderr, flush=True)
    raise SystemExit(2)


def together(work: Callable[[], T]) -> T:
    """Do what some processes may refuse. Where one does, all end: none of them waits
    for it.
    """
    refused = None
    try:
        result = work()
    except SystemExit as end:
        refused = end
    if dist.is_initialized():
        every = [False] * dist.get_world_size()
        dist.all_gather_object(every, refused is not None)
        if any(every) and not refused:
            ranks = ", ".join(
                str(rank) for rank, has_refused in enumerate(every) if has_refused
            )
            refuse(f"ended, since rank {ranks} refused")
    if refused:
        raise refused
    return result


def leave(code: int) -> NoReturn:
    """End this process when all of them have come here."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
        sys.stdout.flush(), sys.stderr.flush()
        # freeing DistributedDataParallel after its group can wait for a thread that
        # waits for this one
        os._exit(code)
    raise SystemExit(code)


def own_code(katas: tuple[str, ...]) -> SimpleNamespace:
    """Load the katas: `own.gpt_model` is the module of 26_gpt_model, the learner's if
    its core works.

    One process of a machine after the other: the first one runs the specs, and the
    others find their results.
    """
    say("looking at which of your katas work …")
    with open(__file__, "rb") as this:
        if sys.platform != "win32":
            fcntl.flock(this, fcntl.LOCK_EX)
        try:
            own = {name.partition("_")[2]: prerequisite(name) for name in katas}
        except KataError as error:
            refuse(str(error))
    borrowed = [
        name
        for name, module in own.items()
        if str(ROOT / "katas") not in str(module.__file__)
    ]
    if borrowed:
        say(f"the reference stands in for your own {', '.join(borrowed)}")
    return SimpleNamespace(**own)


def joined(own: Any, info: Any, preference: str | None) -> torch.device:
    """Choose this process's device, and join the processes that torchrun
    has started.
    """
    try:
        device = own.generation.pick_device(preference)
    except RuntimeError:
        refuse(f"there is no device of the name {preference!r}")
    if device.type not in ("cuda", "cpu") and info.world_size > 1:
        refuse(f"several processes need CUDA or --device cpu, not {device.type}")
    if device.type == "cuda":
        here = int(os.environ.get("LOCAL_WORLD_SIZE", info.world_size))
        # on every rank alike: none of them waits for the others
        if here > torch.cuda.device_count():
            refuse(
                f"each of {here} processes needs a GPU of its own, and there are "
                f"{torch.cuda.device_count()}"
            )
        device = torch.device("cuda", info.local_rank)
        torch.cuda.set_device(device)
    if "RANK" in os.environ:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        )
    return device


def read(
    own: Any, options: argparse.Namespace, preset: Preset
) -> tuple[list[Tensor], list[Tensor], Any, list[dict]]:
    """Shards for training and validation, 1-D integer tensors, the tokenizer or None,
    and HellaSwag's examples.
    """
    if options.preset == "tiny" and not options.data:
        text = own.gpt_capstone.prepare(own.gpt_capstone.prose_documents())
        return (
            [text.train],
            [text.val],
            text.tokenizer,
            own.hellaswag_evaluation.EMBEDDED_EXAMPLES,
        )
    folder = options.data or downloads.find("fineweb_edu")
    if not folder:
        refuse(
            "there is no data: download a sample with `kata data fineweb_edu`, or "
            "name a folder with --data"
        )
    train, val = mapped(folder, "train", preset), mapped(folder, "val", preset)
    tokenizer, examples = None, []
    if found := downloads.find("gpt2_bpe"):
        tokenizer = stretch(
            own.tokenizers.load_gpt2_files, found / "encoder.json", found / "vocab.bpe"
        )
    if options.preset == "tiny":
        examples = own.hellaswag_evaluation.EMBEDDED_EXAMPLES
    elif tokenizer and (found := downloads.find("hellaswag")):
        lines = (found / "hellaswag_val.jsonl").read_text(encoding="utf-8").split("\n")
        examples = [json.loads(line) for line in lines if line]
    else:
        say(
            "no HellaSwag: it needs `kata data gpt2_bpe`, as samples do, and `kata "
            "data hellaswag`"
        )
    return train, val, tokenizer, examples


def mapped(folder: Path, split: str, preset: Preset) -> list[Tensor]:
    """Map a split's shards into memory: .bin files of `kata data fineweb_edu`, or .npy
    files of kata 24.
    """
    paths = sorted(
        path for path in folder.glob(f"*{split}*") if path.suffix in (".bin", ".npy")
    )
    if not paths:
        refuse(f"{folder} has no shards (.bin or .npy) with {split!r} in their names")
    shards = []
    for path in paths:
        try:
            if path.suffix == ".npy":
                tokens = np.load(path, mmap_mode="c")
            else:
                count = shard_files.token_count(path)
                tokens = np.memmap(path, np.uint16, "c", shard_files.HEADER, (count,))
            # in GPT-2's data the end-of-text mark, which is in each document
            largest = int(tokens[:1_000_000].max())
        except (OSError, ValueError) as error:
            refuse(f"{path} cannot be read: {error}")
        if largest >= preset.vocab_size:
            refuse(
                f"{path} has the token id {largest}, and this preset has only "
                f"{preset.vocab_size} ids"
            )
        shards.append(torch.from_numpy(tokens))
    return shards


def sampled(own: Any, model: nn.Module, tokenizer: Any, prompt: str, seed: int) -> str:
    """Continue the prompt with the model. A generator of its own leaves the run as
    it is.
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    ids = torch.tensor([tokenizer.encode(prompt)], device=device)
    eot = tokenizer.special_tokens["<|endoftext|>"]
    [row] = own.generation.generate(
        model, ids, 40, top_k=50, stop_token=eot, generator=generator
    ).tolist()
    return tokenizer.decode([i for i in row if i < tokenizer.vocab_size and i != eot])


def prepare_out(log: Path, checkpoint: Path, step: int) -> None:
    """Keep what an earlier run has left only as far as this run resumes it: the log's
    lines about earlier steps.
    """
    if not IS_MAIN:
        return
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        lines = (
            log.read_text(encoding="utf-8").splitlines()
            if step and log.exists()
            else []
        )
        kept = [
            line
            for line in lines
            if line.endswith("}") and json.loads(line)["step"] < step
        ]
        part = log.with_suffix(".part")
        part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        os.replace(part, log)
        if not step:
            checkpoint.unlink(missing_ok=True)
    except OSError as error:
        refuse(f"{log.parent} cannot be used: {error.strerror}")


def record(log: Path, line: dict) -> None:
    """Append a line to the log on rank 0."""
    if IS_MAIN:
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def draw(log: Path, path: Path, title: str) -> None:
    """Plot the losses of the log, and HellaSwag where it was judged."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    points = {
        key: [(line["step"], line[key]) for line in lines if line.get(key) is not None]
        for key in ("loss", "val", "hellaswag")
    }
    figure = Figure(figsize=(9, 3.8))
    axes = figure.subplots(1, 2 if points["hellaswag"] else 1, squeeze=False)[0]
    axes[0].plot(*zip(*points["loss"], strict=True), label="training", linewidth=1)
    axes[0].plot(*zip(*points["val"], strict=True), label="validation")
    axes[0].set(xlabel="step", ylabel="nats per token", title=title)
    axes[0].legend()
    if points["hellaswag"]:
        axes[1].plot(*zip(*points["hellaswag"], strict=True), "o-")
        axes[1].axhline(0.25, color=COLOURS[-1], linewidth=1, linestyle="--")
        axes[1].set(
            xlabel="step",
            ylabel="share of right answers",
            title="HellaSwag (dashed: guessing)",
        )
    figure.savefig(path)
    say(f"the plot is in {path}")


if __name__ == "__main__":
    main()
