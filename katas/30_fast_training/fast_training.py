"""Measure a training step honestly, then make it faster one rung at a time. The loss is the witness that it still is
the same step.

Sizes: B rows of T tokens, V = vocab_size. A model is kata 26's GPT: `model(x)` gives (logits, None), and `model(x, y)`
gives (logits, loss). x and y are (B, T), long, on the model's device, and may be non-contiguous: two slices of one
tensor, say. y holds the token that follows each token of x, or −100 where there is nothing to predict.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig
make_optimizer = prerequisite("29_gpt_training").make_optimizer


def tokens_per_second(n_tokens: int, seconds: float) -> float:
    """Say how fast a step is in a unit that does not depend on the batch size.

    Args:
        n_tokens: all tokens of the step: B·T, not B.
        seconds: how long it took.
    Returns:
        Tokens a second: 16,384 tokens in 0.5 s are 32768.0.
    Raises:
        ValueError: seconds is 0 or negative.
    """
    raise NotImplementedError


def flops_per_token(config: GPTConfig, n_params: int) -> int:
    """Count the floating-point operations that one token costs in one training step, forward and backward.

    Args:
        config: uses n_layer, n_embd and block_size.
        n_params: the parameters that take part in matrix products: `model.num_params(non_embedding=True)`, without the
            position embeddings, which are only looked up.
    Returns:
        6·n_params + 12·n_layer·n_embd·block_size, an int.

    Each weight multiplies and adds once in the forward pass (2 operations) and twice in the backward pass (4). The
    second term is attention, whose scores and sums have no weights: it grows with the length of the sequence.
    """
    raise NotImplementedError


def mfu(tokens_per_s: float, flops_per_tok: float, peak_flops: float) -> float:
    """Say which share of a device's arithmetic the model gets: the model FLOPs utilisation.

    Args:
        tokens_per_s: what was measured.
        flops_per_tok: what `flops_per_token` counts.
        peak_flops: what the device could do in a second, by its data sheet or by a measurement.
    Returns:
        The operations done a second as a fraction of the peak: 0.4 is 40 %.
    Raises:
        ValueError: peak_flops is 0 or negative.
    """
    raise NotImplementedError


def time_steps(
    step: Callable[[], object],
    n_steps: int,
    n_warmup: int = 1,
    synchronize: Callable[[], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Measure how long each of several steps takes, the work that it starts on a GPU included.

    Args:
        step: one step, called n_warmup + n_steps times.
        n_steps: how many are measured.
        n_warmup: how many run first and are not measured: they compile, and fetch memory.
        synchronize: waits until all work started so far is done. None: `torch.cuda.synchronize` where
            `torch.cuda.is_available()`, otherwise nothing.
        clock: tells the time in seconds.
    Returns:
        The seconds of each measured step, in order: n_steps floats.

    For each measured step: synchronize, read the clock, step, synchronize, read the clock. A GPU works on after Python
    has gone ahead, so a clock read without waiting shows how long it took to *ask* for the work, or counts the work of
    the step before. The clock is read exactly twice a measured step, and not for the others.

    Raises:
        ValueError: n_steps < 1; then nothing has been called.
    """
    raise NotImplementedError


def padded_size(n: int, multiple: int = 128) -> int:
    """Round a size up to a multiple, so that it fills whole tiles of a matrix product.

    Args:
        n: the size.
        multiple: of what.
    Returns:
        The smallest multiple that is not below n: 50257 becomes 50304, and 50304 stays.
    Raises:
        ValueError: n or multiple is less than 1.
    """
    raise NotImplementedError


def pad_vocab(model: GPT, multiple: int = 128) -> GPT:
    """Make a copy of a GPT whose vocabulary is rounded up by `padded_size`; no text ever uses the new tokens.

    Args:
        model: stays as it is.
        multiple: of what the new vocab_size should be.
    Returns:
        A new GPT with weights of its own, also where there is nothing to pad. Its config is that of `model` with the
        new vocab_size, which `transformer.wte.num_embeddings` and `lm_head.out_features` agree with. The extra rows of
        the token embedding are 0. All other weights are equal, and so the logits of the old tokens, up to rounding.

    `lm_head.weight is transformer.wte.weight` still holds. Dtype, device, train or eval mode and the `flash` of the
    attention layers (the same in all of them) are kept.

    The new logits are 0, and that is no small number: e⁰ is a share of every softmax. So the loss of the copy is larger
    than that of the model, unless `mask_padded_logits` takes these columns out.
    """
    raise NotImplementedError


def mask_padded_logits(logits: Tensor, vocab_size: int) -> Tensor:
    """Take the columns of padded tokens out of the softmax.

    Args:
        logits: (..., V) scores of a model with a padded vocabulary, any floating dtype, any leading dims.
        vocab_size: how many of the V tokens are real: the first ones.
    Returns:
        A tensor of the same shape and dtype: the first vocab_size columns as they are, −inf in the others (or the
        smallest number of the dtype, `torch.finfo(dtype).min`). After a softmax their probability is exactly 0, and so
        is the gradient that they get.

    `logits` is not written to.

    Raises:
        ValueError: unless 1 ≤ vocab_size ≤ V; the message names both.
    """
    raise NotImplementedError


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
    """Take one training step, in mixed precision if asked for: matrix products in half precision, weights in float32.

    Args:
        model: a GPT, or what torch.compile makes of one.
        optimizer: of the model's parameters.
        x, y: the batch.
        dtype: forward and loss run under `torch.autocast` for the device type of x with this dtype. None: no autocast.
        scaler: a `torch.amp.GradScaler`, or anything with its methods `scale`, `unscale_`, `step` and `update`. float16
            needs one: gradients below 6e-8 would become 0.
        max_norm: clip the gradients, taken as one vector, to this norm; None: do not clip.
        vocab_size: how many tokens are real, for a model with a padded vocabulary: the loss is that of the logits after
            `mask_padded_logits`. None: all of them.
    Returns:
        The loss before the step as a float, without the scaler's factor.

    The order matters:

    1. forward and loss under autocast, and nothing else: the backward pass takes over the dtypes of the forward pass.
    2. backward, of the scaled loss if there is a scaler.
    3. with a scaler and max_norm, `scaler.unscale_(optimizer)` before clipping, or the limit means something else.
    4. the step: `scaler.step(optimizer)` in place of `optimizer.step()`, for it leaves the step out where a gradient is
       infinite. Then `scaler.update()`.

    Loss: cross entropy, the mean over the positions whose target is not −100. Weights and gradients stay float32.
    Gradients that lie in `.grad` beforehand have no influence.

    Raises:
        ValueError: dtype is torch.float16 and there is no scaler; then nothing has changed.
    """
    raise NotImplementedError


def round_mantissa(x: Tensor, bits: int) -> Tensor:
    """Keep only the leading bits of each number, as reduced-precision hardware does with what it multiplies.

    Args:
        x: float32, any shape, contiguous or not. A float32 is a sign, 8 bits of exponent and 23 explicit bits of
            mantissa, in this order from the highest bit down.
        bits: how many bits of the mantissa stay: 10 for TF32, 7 for bfloat16.
    Returns:
        A new float32 tensor: the nearest numbers that need no more bits; of two that are equally near, the one whose
        last kept bit is 0 ("ties to even"). With 7 bits normal numbers become what `x.bfloat16().float()` would make of
        them, those near float32's largest included: the very largest round up to infinity. Zeros (with their sign),
        infinities and NaN stay.

    x is not written to. Work on the bits, or with arithmetic: no tensor of bfloat16 or float16 may be made on the way.

    Raises:
        TypeError: x is not float32.
        ValueError: unless 1 ≤ bits ≤ 23.
    """
    raise NotImplementedError


@contextmanager
def matmul_precision(level: str) -> Iterator[None]:
    """Let float32 matrix products be less exact inside the block, for speed: `with matmul_precision("high"): …`.

    Args:
        level: as `torch.set_float32_matmul_precision` takes it: "highest" (all 23 bits), "high" (TF32 where the GPU has
            it) or "medium" (bfloat16).

    The level from before is there again after the block, also when the block raises.

    Raises:
        ValueError: another level, on entering the block at the latest; the level from before still holds. (torch itself
            only warns.)
    """
    raise NotImplementedError


@dataclass
class Rung:
    """One way to run the same training step. The fields say all that this rung uses: it inherits nothing."""

    name: str
    precision: str = "highest"  # of float32 matrix products
    dtype: torch.dtype | None = None  # of autocast; None: no autocast
    flash: bool = False  # the fused attention kernel
    compile_backend: str | None = None  # of torch.compile; None: not compiled
    pad_multiple: int | None = None  # of what the vocabulary is made a multiple; None: it is left alone
    fused: bool = False  # one kernel for the optimizer


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
    """Train the same model on the same batch in several ways, and put speed and losses side by side.

    Args:
        model: every rung starts from a copy of it, so the rungs know nothing of each other; it stays as it is.
        x, y: the batch of every step.
        rungs: what to measure, in this order.
        n_steps, n_warmup, clock: as in `time_steps`, which measures every rung's steps.
        lr: of the optimizer that each rung makes, `make_optimizer(…, lr, fused=rung.fused)`.
        peak_flops: of the device, for the utilisation.
    Returns:
        For each rung a dict:

        - "name": that of the rung
        - "ms": the median of the measured steps, in milliseconds. (One step during which the machine did something else
          does not count; the median of an even number is the mean of the middle two.)
        - "tokens_per_s": all tokens of the batch over this median
        - "mfu": of `tokens_per_s`, with the operations of the given model, however this rung pads its vocabulary:
          padding is no work that anyone asked for. None without peak_flops.
        - "losses": those that `amp_step` returned, n_warmup + n_steps floats, the first before any update.

    What a rung does, besides:

    - training mode, and `flash` of every attention layer as the rung says
    - float32 products of its `precision`; the one from before is restored afterwards, whatever happens
    - autocast with its `dtype`; for float16 a `torch.amp.GradScaler` for the device of x, one for all its steps
    - with pad_multiple, the vocabulary of `pad_vocab` and the loss of masked logits
    - with compile_backend, `torch.compile(…, backend=compile_backend)` of the model *and its loss*, the mask included:
      what is left outside is not fused, and each of its operations writes all the logits to memory once more
    """
    raise NotImplementedError
