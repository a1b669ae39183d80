"""Measure a training step honestly, then make it faster one rung at a time. The loss
shows that it is still the same step.

Sizes: B rows of T tokens, V = vocab_size. A model is kata 26's GPT: `model(x)` gives
(logits, None), and `model(x, y)` gives (logits, loss). x and y are (B, T), long, and
may be non-contiguous slices. y holds the token that follows each token of x, or −100
where there is nothing to predict.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
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
    """Say how fast a step is, in a unit that does not depend on the batch size.

    Args:
        n_tokens: all tokens of the step: B·T, not B.
        seconds: how long the step took.
    Returns:
        Tokens per second: 16,384 tokens in 0.5 s are 32768.0.

    Edge cases ★
        A time of 0 or less is an error.
    """
    if seconds <= 0:
        raise ValueError(f"a step takes longer than {seconds} seconds")
    return n_tokens / seconds


def flops_per_token(config: GPTConfig, n_params: int) -> int:
    """Count the floating-point operations that one token costs in one training step,
    forward and backward.

    Args:
        config: uses n_layer, n_embd and block_size.
        n_params: the parameters that take part in matrix products:
            `model.num_params(non_embedding=True)`, without the position embeddings,
            which are only looked up.
    Returns:
        6·n_params + 12·n_layer·n_embd·block_size, an int.

    Each weight costs 2 operations forward and 4 backward. The second term is attention,
    whose scores and sums have no weights.
    """
    return 6 * n_params + 12 * config.n_layer * config.n_embd * config.block_size


def mfu(tokens_per_s: float, flops_per_tok: float, peak_flops: float) -> float:
    """Say which share of a device's arithmetic the model uses: the model
    FLOPs utilisation.

    Args:
        tokens_per_s: the measured speed.
        flops_per_tok: the count of `flops_per_token`.
        peak_flops: the operations per second that the device is capable of.
    Returns:
        The operations done per second as a fraction of the peak: 0.4 means 40 %.

    Edge cases ★
        A peak of 0 or less is an error.
    """
    if peak_flops <= 0:
        raise ValueError(f"no device has a peak of {peak_flops} operations per second")
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

    Args:
        step: one step, called n_warmup + n_steps times.
        n_steps: how many are measured.
        n_warmup: how many run first and are not measured: they compile, and
            allocate memory.
        synchronize: waits until all work started so far is done. None:
            `torch.cuda.synchronize` where `torch.cuda.is_available()`, otherwise
            nothing (but see the star).
        clock: returns the time in seconds.
    Returns:
        The seconds of each measured step, in order.

    For each measured step: synchronize, read the clock, step, synchronize, read the
    clock. Without waiting, the clock shows how long it took to *ask* for the work. The
    clock is read exactly twice per measured step, and not for the others.

    Edge cases ★
        n_steps below 1 is an error, before any step is called. On an Apple GPU
        (`torch.backends.mps.is_available()`), None means `torch.mps.synchronize`.
    """
    if n_steps < 1:
        raise ValueError(f"at least one step must be measured, not {n_steps}")
    if synchronize is None:
        synchronize = _default_synchronize()
    for _ in range(n_warmup):
        step()
    seconds = []
    for _ in range(n_steps):
        synchronize()
        start = clock()
        step()
        synchronize()
        seconds.append(clock() - start)
    return seconds


def padded_size(n: int, multiple: int = 128) -> int:
    """Round a size up to a multiple, so that it fills whole tiles of a matrix product.

    Args:
        n: the size.
        multiple: the size of a tile.
    Returns:
        The smallest multiple that is at least n: 50257 becomes 50304, and 50304 stays.

    Edge cases ★
        n or multiple below 1 is an error.
    """
    if n < 1 or multiple < 1:
        raise ValueError(
            f"size and multiple should be at least 1, not {n} and {multiple}"
        )
    return -(-n // multiple) * multiple


def pad_vocab(model: GPT, multiple: int = 128) -> GPT:
    """Copy a GPT with a vocabulary rounded up by `padded_size`. No text uses the
    new tokens.

    Args:
        model: the GPT, which does not change.
        multiple: the new vocab_size is a multiple of this.
    Returns:
        A new GPT with weights of its own. Its config has the new vocab_size, as have
        `transformer.wte.num_embeddings` and `lm_head.out_features`. The extra rows of
        the token embedding are 0, all other weights are equal, and so the old tokens'
        logits are the same.

    `lm_head.weight is transformer.wte.weight` still holds. The new logits are 0, so
    without `mask_padded_logits` each takes a share e⁰ of the softmax.

    Edge cases ★
        Where there is nothing to pad, the result is a copy, too. Dtype, device, train
        or eval mode and the `flash` of the attention layers are kept.
    """
    padded = copy.deepcopy(model)
    size = padded_size(model.config.vocab_size, multiple)
    old = model.lm_head.weight
    weight = nn.Parameter(F.pad(old.detach(), (0, 0, 0, size - len(old))))
    padded.config = replace(model.config, vocab_size=size)
    padded.transformer.wte.weight = padded.lm_head.weight = weight
    padded.transformer.wte.num_embeddings = padded.lm_head.out_features = size
    return padded


def mask_padded_logits(logits: Tensor, vocab_size: int) -> Tensor:
    """Take the columns of padded tokens out of the softmax.

    Args:
        logits: (..., V) scores of a model with a padded vocabulary.
        vocab_size: how many of the V tokens are real: the first ones.
    Returns:
        A tensor of the same shape, with the first vocab_size columns unchanged and −inf
        in the others (or the smallest number of the dtype, `torch.finfo(dtype).min`).
        Their probability is then exactly 0, and so is their gradient.

    Edge cases ★
        `logits` is not written to. Any floating dtype and any strides are allowed;
        dtype and device stay. A vocab_size outside 1 … V is an error that names
        both numbers.
    """
    if not 1 <= vocab_size <= logits.size(-1):
        raise ValueError(
            f"{vocab_size} real tokens are not between 1 and the {logits.size(-1)} "
            "columns"
        )
    is_padding = torch.arange(logits.size(-1), device=logits.device) >= vocab_size
    return logits.masked_fill(is_padding, -torch.inf)


def amp_loss(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    dtype: torch.dtype | None = None,
    vocab_size: int | None = None,
) -> Tensor:
    """Compute the loss of a batch, in mixed precision if asked for.

    Args:
        model: a GPT, or the result of `torch.compile` on one.
        x, y: the batch.
        dtype: forward *and* loss run under `torch.autocast` with this dtype, for the
            device type of x. None: no autocast.
        vocab_size: how many tokens are real, for a model with a padded vocabulary: the
            loss is that of the logits after `mask_padded_logits`. None: the model's
            own loss.
    Returns:
        The cross entropy, a scalar with its graph: the mean over the positions whose
        target is not −100.
    """
    with torch.autocast(x.device.type, dtype) if dtype else nullcontext():
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

    Args:
        model, x, y, dtype, vocab_size: as in `amp_loss`.
        optimizer: of the model's parameters.
        scaler: a `torch.amp.GradScaler`, or anything with its methods `scale`,
            `unscale_`, `step` and `update`. float16 needs one: gradients below 6e-8
            would become 0.
        max_norm: clip the gradients, taken as one vector, to this norm; None: do
            not clip.
    Returns:
        The loss before the step as a float, without the scaler's factor.

    1. Backward runs outside of autocast, on the scaled loss if there is a scaler.
       Gradients of an earlier step do not count.
    2. With a scaler, `scaler.unscale_(optimizer)` comes before clipping. Without
       clipping it may be left out.
    3. `scaler.step(optimizer)` replaces `optimizer.step()`, because it skips the step
       where a gradient is infinite. Then `scaler.update()`.

    Edge cases ★
        Gradients in `.grad` before the first step do not count either. dtype float16
        without a scaler is an error, before anything has changed.
    """
    if dtype == torch.float16 and scaler is None:
        raise ValueError("float16 needs a scaler: small gradients would become 0")
    optimizer.zero_grad()
    loss = amp_loss(model, x, y, dtype, vocab_size)
    (loss if scaler is None else scaler.scale(loss)).backward()
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


def chunked_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    chunk_size: int = 1024,
    vocab_size: int | None = None,
) -> Tensor:
    """Compute the loss of a GPT's last layer while the logits of only a few positions
    exist at any time.

    Args:
        hidden: (B, T, C), what the output layer gets.
        weight: (V, C) of the output layer, which has no bias.
        targets: (B, T), −100 where there is nothing to predict.
        chunk_size: of how many of the B·T positions the logits may exist at once.
        vocab_size: how many tokens are real, as in `mask_padded_logits`. None: all V.
    Returns:
        The cross entropy of hidden @ weight.T, a scalar with its graph: the mean over
        the targets that are not −100.

    The gradients of hidden and weight are those of the usual loss. chunk_size need not
    divide B·T. No tensor of B·T × V numbers is made, and no logits are kept for
    backward: compute a chunk's logits again there
    (`torch.utils.checkpoint.checkpoint`), or its gradients in the forward pass.

    Edge cases ★
        Under autocast the products are in half precision and the loss is float32. The
        gradients follow a factor of the loss. Where every target is −100, loss and
        gradients are 0, not NaN. `hidden` and `targets` may be non-contiguous. A
        chunk_size below 1 is an error.
    """
    if chunk_size < 1:
        raise ValueError(f"a chunk has at least one position, not {chunk_size}")
    losses = [
        checkpoint(_sum_of_losses, rows, weight, y, vocab_size, use_reentrant=False)
        for rows, y in zip(
            hidden.flatten(0, 1).split(chunk_size),
            targets.flatten().split(chunk_size),
            strict=True,
        )
    ]
    return torch.stack(losses).sum() / (targets != -100).sum().clamp(min=1)


def round_mantissa(x: Tensor, bits: int) -> Tensor:
    """Keep only the leading bits of each number, as reduced-precision hardware does
    with its inputs.

    Args:
        x: float32, any shape. A float32 is a sign, 8 bits of exponent and 23 bits of
            mantissa, from the highest bit down.
        bits: how many bits of the mantissa stay: 10 for TF32, 7 for bfloat16.
    Returns:
        The nearest float32 numbers that need no more bits. Of two that are equally
        near, take the one whose last kept bit is 0: with 2 bits, 1.125 becomes 1 and
        1.375 becomes 1.5.

    Work on the bits, or with arithmetic: no tensor of bfloat16 or float16 may be made
    on the way.

    Edge cases ★
        Zeros (with their sign), infinities and NaN stay; numbers near float32's largest
        may round to infinity. The result is always a new tensor, also with all 23 bits.
        x may be non-contiguous and is not written to. Errors: x is not float32; bits is
        outside 1 … 23.
    """
    if x.dtype != torch.float32:
        raise TypeError(f"only float32 has these bits, not {x.dtype}")
    if not 1 <= bits <= 23:
        raise ValueError(f"a float32 has 1 to 23 bits of mantissa to keep, not {bits}")
    # the last bit that stays, in the integer whose bits are those of the float
    unit = 1 << (23 - bits)
    raw = x.view(torch.int32)
    is_odd = (raw & unit != 0).int()
    rounded = (raw + (unit // 2 - 1 + is_odd)) & -unit if unit > 1 else raw
    return torch.where(x.isfinite(), rounded.view(torch.float32), x)


@contextmanager
def matmul_precision(level: str) -> Iterator[None]:
    """Let float32 matrix products be less exact inside a block, for speed:
    `with matmul_precision("high"): …`.

    Args:
        level: for `torch.set_float32_matmul_precision`: "highest" (all 23 bits), "high"
            (TF32 where the GPU has it) or "medium" (bfloat16).

    After the block, the level from before holds again.

    Edge cases ★
        The level is also restored if the block raises. Another level is an error on
        entering the block; the level from before still holds. (torch itself
        only warns.)
    """
    if level not in ("highest", "high", "medium"):
        raise ValueError(
            f"there is no precision {level!r}, only highest, high and medium"
        )
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


def rung_model(model: GPT, rung: Rung) -> nn.Module:
    """Make the copy of a model that a rung trains.

    Args:
        model: stays as it is.
        rung: uses its flash, pad_multiple and compile_backend.
    Returns:
        A module with weights of its own, in training mode, called as called(x, y). It
        returns a pair with the loss in second place, as GPT does.

    1. `flash` of every attention layer is the rung's.
    2. With pad_multiple, the copy is that of `pad_vocab`, and the loss is that of the
       masked logits.
    3. With compile_backend, `torch.compile(…, backend=compile_backend)` gets the model
       *and its loss*, the mask included: it can fuse only what is inside.
    """
    copied = (
        pad_vocab(model, rung.pad_multiple)
        if rung.pad_multiple
        else copy.deepcopy(model)
    )
    copied.train()
    for block in copied.transformer.h:
        block.attn.flash = rung.flash
    called = _WithLoss(copied, model.config.vocab_size) if rung.pad_multiple else copied
    return (
        torch.compile(called, backend=rung.compile_backend)
        if rung.compile_backend
        else called
    )


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
    """Train the copy of `rung_model` for a few steps with `amp_step`, and time them.

    Args:
        model: stays as it is.
        x, y: the batch of every step.
        rung: uses its dtype, precision and fused, too.
        n_steps, n_warmup, clock: for `time_steps`.
        lr: for the optimizer, `make_optimizer(…, lr, fused=rung.fused)`.
    Returns:
        (seconds, losses): n_steps seconds, and n_warmup + n_steps losses, the first
        before any update.

    float32 products have the rung's precision during the steps, and the one from before
    afterwards. float16 gets a `torch.amp.GradScaler`, one for all steps.

    Edge cases ★
        The precision is also restored if a step raises.
    """
    trained = rung_model(model, rung)
    optimizer = make_optimizer(trained, lr, fused=rung.fused)
    scaler = (
        torch.amp.GradScaler(x.device.type) if rung.dtype == torch.float16 else None
    )
    losses: list[float] = []

    def step() -> None:
        losses.append(amp_step(trained, optimizer, x, y, rung.dtype, scaler))

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

    Args:
        model: every rung starts from its weights; it stays as it is.
        x, y, n_steps, n_warmup, lr, clock: for `run_rung`.
        rungs: the rungs to measure, in this order.
        peak_flops: of the device, for the utilisation.
    Returns:
        A dict per rung:

        - "name": the rung's name.
        - "ms": the median of the measured steps in milliseconds. With an even number of
          steps, it is the mean of the middle two, as in `statistics.median` and unlike
          in `torch.median`.
        - "tokens_per_s": all tokens of the batch over this median.
        - "mfu": from this speed and the operations of the given model, without padding.
          None without peak_flops.
        - "losses": those of `run_rung`.
    """
    per_token = flops_per_token(model.config, model.num_params(non_embedding=True))
    rows = []
    for rung in rungs:
        seconds, losses = run_rung(model, x, y, rung, n_steps, n_warmup, lr, clock)
        median = statistics.median(seconds)
        speed = tokens_per_second(x.numel(), median)
        share = None if peak_flops is None else mfu(speed, per_token, peak_flops)
        row = {
            "name": rung.name,
            "ms": 1000 * median,
            "tokens_per_s": speed,
            "mfu": share,
            "losses": losses,
        }
        rows.append(row)
    return rows


class _WithLoss(nn.Module):
    """A GPT with a padded vocabulary and its loss in one, so that torch.compile sees
    both. The logits stay inside.
    """

    def __init__(self, model: GPT, vocab_size: int):
        super().__init__()
        self.model = model
        self.vocab_size = vocab_size

    def forward(self, x: Tensor, y: Tensor) -> tuple[None, Tensor]:
        return None, _loss(self.model, x, y, self.vocab_size)


def _loss(model: nn.Module, x: Tensor, y: Tensor, vocab_size: int | None) -> Tensor:
    if vocab_size is None:
        return model(x, y)[1]
    logits = mask_padded_logits(model(x)[0], vocab_size)
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def _sum_of_losses(
    rows: Tensor, weight: Tensor, targets: Tensor, vocab_size: int | None
) -> Tensor:
    logits = F.linear(rows, weight)
    if vocab_size is not None:
        logits = mask_padded_logits(logits, vocab_size)
    return F.cross_entropy(logits, targets, reduction="sum")


def _default_synchronize() -> Callable[[], None]:
    if torch.cuda.is_available():
        return torch.cuda.synchronize
    if torch.backends.mps.is_available():
        return torch.mps.synchronize
    return _nothing


def _nothing() -> None:
    pass
