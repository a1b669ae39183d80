"""Measure a training step honestly, then make it faster one rung at a time. The loss
shows that it is still the same step.

Sizes: B rows of T tokens, V = vocab_size. A model is kata 26's GPT: `model(x)` gives
(logits, None), and `model(x, y)` gives (logits, loss). x and y are (B, T), long, on the
model's device, and may be non-contiguous: two slices of one tensor, say. y holds the
token that follows each token of x, or −100 where there is nothing to predict.
"""

import copy
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig
make_optimizer = prerequisite("29_gpt_training").make_optimizer


def tokens_per_second(n_tokens: int, seconds: float) -> float:
    """Say how fast a step is in a unit that does not depend on the batch size."""
    return n_tokens / seconds


def flops_per_token(config: GPTConfig, n_params: int) -> int:
    """Count the floating-point operations that one token costs in one training step,
    forward and backward.
    """
    return 6 * n_params + 12 * config.n_layer * config.n_embd * config.block_size


def mfu(tokens_per_s: float, flops_per_tok: float, peak_flops: float) -> float:
    """Say which share of a device's arithmetic the model gets: the model
    FLOPs utilisation.
    """
    return tokens_per_s * flops_per_tok / peak_flops


def time_steps(
    step: Callable[[], object],
    n_steps: int,
    n_warmup: int = 1,
    synchronize: Callable[[], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Measure how long each of several steps takes, the work that it starts on a
    GPU included.
    """
    if synchronize is None:
        synchronize = (
            torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
        )
    for _ in range(n_warmup):
        step()
    times = []
    for _ in range(n_steps):
        synchronize()
        start = clock()
        step()
        synchronize()
        times.append(clock() - start)
    return times


def padded_size(n: int, multiple: int = 128) -> int:
    """Round a size up to a multiple, so that it fills whole tiles of a
    matrix product.
    """
    return (n + multiple - 1) // multiple * multiple


def pad_vocab(model: GPT, multiple: int = 128) -> GPT:
    """Make a copy of a GPT whose vocabulary is rounded up by `padded_size`; no text
    ever uses the new tokens.
    """
    old_size = model.config.vocab_size
    new_size = padded_size(old_size, multiple)
    padded = copy.deepcopy(model)
    padded.config = dataclasses.replace(model.config, vocab_size=new_size)
    weight = F.pad(padded.lm_head.weight.detach(), (0, 0, 0, new_size - old_size))
    padded.transformer.wte.weight = padded.lm_head.weight = nn.Parameter(weight)
    padded.transformer.wte.num_embeddings = padded.lm_head.out_features = new_size
    return padded


def mask_padded_logits(logits: Tensor, vocab_size: int) -> Tensor:
    """Take the columns of padded tokens out of the softmax."""
    padding = torch.arange(logits.shape[-1], device=logits.device) >= vocab_size
    return logits.masked_fill(padding, -torch.inf)


def _loss(model: nn.Module, x: Tensor, y: Tensor, vocab_size: int | None) -> Tensor:
    if vocab_size is None:
        return model(x, y)[1]
    logits = mask_padded_logits(model(x)[0], vocab_size)
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def amp_loss(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    dtype: torch.dtype | None = None,
    vocab_size: int | None = None,
) -> Tensor:
    """Compute the loss of a batch, under autocast if a dtype is given."""
    with torch.autocast(x.device.type, dtype=dtype, enabled=dtype is not None):
        return _loss(model, x, y, vocab_size)


def amp_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    dtype: torch.dtype | None = None,
    scaler: Any = None,
    max_norm: float | None = 1.0,
    vocab_size: int | None = None,
) -> float:
    """Take one training step, in mixed precision if asked for: matrix products in half
    precision, weights in float32.
    """
    optimizer.zero_grad()
    loss = amp_loss(model, x, y, dtype, vocab_size)
    if scaler is None:
        loss.backward()
    else:
        scaler.scale(loss).backward()
    if max_norm is not None:
        if scaler is not None:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
    return loss.item()


def _summed_loss(
    hidden: Tensor, weight: Tensor, targets: Tensor, vocab_size: int | None
) -> Tensor:
    logits = hidden @ weight.T
    if vocab_size is not None:
        logits = mask_padded_logits(logits, vocab_size)
    return F.cross_entropy(logits, targets, reduction="sum")


def chunked_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    chunk_size: int = 1024,
    vocab_size: int | None = None,
) -> Tensor:
    """Compute the loss of a GPT's last layer while the logits of only a few positions
    exist at any time.
    """
    hidden, targets = hidden.flatten(0, 1), targets.flatten()
    total = 0.0
    for start in range(0, len(targets), chunk_size):
        part = slice(start, start + chunk_size)
        total += checkpoint(
            _summed_loss,
            hidden[part],
            weight,
            targets[part],
            vocab_size,
            use_reentrant=False,
        )
    return total / (targets != -100).sum()


def round_mantissa(x: Tensor, bits: int) -> Tensor:
    """Keep only the leading bits of each number, as reduced-precision hardware does
    with what it multiplies.
    """
    drop = 23 - bits
    if drop == 0:
        return x.clone()
    as_int = x.view(torch.int32)
    last_kept = (as_int >> drop) & 1
    rounded = as_int + (1 << (drop - 1)) - 1 + last_kept
    return (rounded >> drop << drop).view(torch.float32)


@contextmanager
def matmul_precision(level: str) -> Iterator[None]:
    """Let float32 matrix products be less exact inside the block, for speed:
    `with matmul_precision("high"): …`.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(level)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass
class Rung:
    """One way to run the same training step. The fields say all that this rung uses: it
    inherits nothing.
    """

    name: str
    precision: str = "highest"  # of float32 matrix products
    dtype: torch.dtype | None = None  # of autocast; None: no autocast
    flash: bool = False  # the fused attention kernel
    compile_backend: str | None = None  # of torch.compile; None: not compiled
    # of what the vocabulary is made a multiple; None: it is left alone
    pad_multiple: int | None = None
    fused: bool = False  # one kernel for the optimizer


class _WithLoss(nn.Module):
    """A model and its loss in one module, so that both are compiled together."""

    def __init__(self, model: GPT, vocab_size: int | None):
        super().__init__()
        self.model = model
        self.vocab_size = vocab_size

    def forward(self, x: Tensor, y: Tensor) -> tuple[None, Tensor]:
        return None, _loss(self.model, x, y, self.vocab_size)


def rung_model(model: GPT, rung: Rung) -> nn.Module:
    """Make the copy of a model that a rung trains."""
    gpt, vocab_size = copy.deepcopy(model), None
    if rung.pad_multiple is not None:
        gpt, vocab_size = pad_vocab(model, rung.pad_multiple), model.config.vocab_size
    for block in gpt.transformer.h:
        block.attn.flash = rung.flash
    net = _WithLoss(gpt, vocab_size).train()
    if rung.compile_backend is not None:
        net = torch.compile(net, backend=rung.compile_backend)
    return net


def run_rung(
    model: GPT,
    x: Tensor,
    y: Tensor,
    rung: Rung,
    n_steps: int = 3,
    n_warmup: int = 1,
    lr: float = 1e-3,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[float], list[float]]:
    """Train a copy of the model for a few steps, and time them."""
    net = rung_model(model, rung)
    optimizer = make_optimizer(net, lr, fused=rung.fused)
    scaler = (
        torch.amp.GradScaler(x.device.type) if rung.dtype == torch.float16 else None
    )
    losses = []

    def step():
        losses.append(amp_step(net, optimizer, x, y, rung.dtype, scaler))

    with matmul_precision(rung.precision):
        seconds = time_steps(step, n_steps, n_warmup, clock=clock)
    return seconds, losses


def speed_ladder(
    model: GPT,
    x: Tensor,
    y: Tensor,
    rungs: Sequence[Rung],
    n_steps: int = 3,
    n_warmup: int = 1,
    lr: float = 1e-3,
    peak_flops: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[dict[str, Any]]:
    """Train the same model on the same batch in several ways, and put speed and losses
    side by side.
    """
    flops = flops_per_token(model.config, model.num_params(non_embedding=True))
    results = []
    for rung in rungs:
        times, losses = run_rung(model, x, y, rung, n_steps, n_warmup, lr, clock)
        seconds = statistics.median(times)
        speed = tokens_per_second(x.numel(), seconds)
        results.append(
            {
                "name": rung.name,
                "ms": 1000 * seconds,
                "tokens_per_s": speed,
                "mfu": mfu(speed, flops, peak_flops)
                if peak_flops is not None
                else None,
                "losses": losses,
            }
        )
    return results
