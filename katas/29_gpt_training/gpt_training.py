"""The training loop of GPT-2 and GPT-3, with validation and samples on the way, and
runs that stop and go on.

A batch is a pair (x, y) of token ids, both (B, T) and long, on the device of the model.
(Only `train` moves batches.)
y holds the token that follows each token of x, or −100 where there is nothing to
predict. `model(x, y)` returns (logits, loss), as kata 26's GPT does; loss is the mean
over the targets that are not −100. An optimizer holds all trainable parameters of
its model.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

DataLoaderLite = prerequisite("24_token_batches").DataLoaderLite
GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig


@dataclass
class TrainConfig:
    """The settings of a run. One step is one update of the weights."""

    max_steps: int = 100  # steps of the whole run, those before a resumption included
    max_lr: float = 3e-3
    min_lr: float = 3e-4
    warmup_steps: int = 10
    accum_steps: int = 1  # micro-batches per step
    max_norm: float = 1.0
    eval_every: int = 50


def cosine_lr(
    step: int, max_lr: float, min_lr: float, warmup_steps: int, max_steps: int
) -> float:
    """Compute the learning rate of a step: up in a straight line, down along half a
    cosine, then flat.

    Args:
        step: the number of the step, from 0.
        max_lr: the rate at the top.
        min_lr: the rate at the end.
        warmup_steps: how many steps the rise takes; with 0 the run begins at the top.
        max_steps: the step at which the rate has come down to min_lr.
    Returns:
        A plain float:

        - step < warmup_steps: max_lr · (step + 1) / warmup_steps. With
          warmup_steps = 4: 1/4, 1/2, 3/4, all of max_lr.
        - from there to max_steps: half a cosine. It is max_lr at step = warmup_steps,
          and the mean of both rates halfway to max_steps.
        - step ≥ max_steps: exactly min_lr.

    Edge cases ★
        Anything but 0 ≤ warmup_steps < max_steps is an error: such a rate would never
        come down.
    """
    raise NotImplementedError


def param_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Sort the parameters of a model into those that decay and those that do not.

    Args:
        model: any module.
        weight_decay: the decay of those that do.
    Returns:
        Two dicts as optimizers take them, in any order: {"params": list of parameters,
        "weight_decay": float}. One holds the parameters with two or more dimensions
        (weights of linear layers and embeddings) and has `weight_decay`. The other
        holds the rest (biases, the weights of norms) and has 0.0. A list may be empty.

    Each trainable parameter appears once, also the one that wte and lm_head share.
    Frozen parameters (`requires_grad` is False) are in neither list.
    """
    raise NotImplementedError


def make_optimizer(
    model: nn.Module,
    lr: float,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    fused: bool = False,
) -> torch.optim.AdamW:
    """Build AdamW with GPT-3's settings, in which only matrices decay.

    Args:
        model: its trainable parameters are optimized, in the two groups
            of `param_groups`.
        lr: the learning rate of both groups.
        weight_decay: the decay of the matrices; 0.1 in GPT-3.
        betas: GPT-3's second one is 0.95 instead of 0.999: a mean over 20 steps instead
            of 1000.
        eps: added to the root in the denominator.
        fused: whether AdamW uses one kernel for many parameters: the same
            update, faster.
    Returns:
        A `torch.optim.AdamW` with these settings.
    """
    raise NotImplementedError


def batch_size_at(
    tokens_seen: int, start: int, full: int, ramp_tokens: int, multiple: int = 1
) -> int:
    """Compute the batch size after a number of tokens, by GPT-3's schedule: small at
    first, then rising linearly.

    Args:
        tokens_seen: the tokens that the run has been trained on.
        start: the batch size at 0 tokens.
        full: the batch size once the ramp is over.
        ramp_tokens: the tokens that the ramp takes.
        multiple: on the ramp, sizes are rounded down to a multiple of this.
    Returns:
        An int. On the ramp start + (full − start) · tokens_seen / ramp_tokens, rounded
        down to a multiple, but never below `start`. From ramp_tokens on exactly `full`,
        not rounded.

    From 16 to 48 in multiples of 8, a quarter of the ramp gives 24; just before that,
    the size is still 16.

    Edge cases ★
        A `ramp_tokens` of 0 or less means `full` at once. Anything but 1 ≤ start ≤ full
        is an error.
    """
    raise NotImplementedError


def accumulation_steps(
    total_tokens: int, batch_size: int, block_size: int, world_size: int = 1
) -> int:
    """Count the micro-batches that each process needs for a step of
    `total_tokens` tokens.

    Args:
        total_tokens: tokens of one step, over all processes.
        batch_size: B, rows per micro-batch.
        block_size: T, tokens per row.
        world_size: the number of processes.
    Returns:
        An int. GPT-2's 524288 tokens with B = 16, T = 1024 and 8 processes make 4.

    Edge cases ★
        Tokens that do not divide evenly are an error.
    """
    raise NotImplementedError


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[tuple[Tensor, Tensor]],
    max_norm: float | None = 1.0,
    lr: float | None = None,
) -> dict[str, float]:
    """Make one update of the weights out of one or more micro-batches.

    Args:
        model: is put into training mode.
        optimizer: makes exactly one step.
        batches: the micro-batches. Each goes through the model by itself.
        max_norm: the accumulated gradient of all parameters, as one vector, is scaled
            down to this norm if it is longer. None: no clipping.
        lr: the learning rate of this very step, for every group of the optimizer. None:
            the groups keep theirs.
    Returns:
        Two plain floats: "loss", the mean over the micro-batches, and "grad_norm", the
        norm of the accumulated gradient before clipping, also with max_norm=None.

    The accumulated gradient is the mean over the micro-batches, so three of equal size
    make the same step as one batch with all their rows.

    Edge cases ★
        Old values in `.grad` have no influence. Micro-batches of different sizes count
        equally. A rate of 0.0 is a rate. Without a batch there is an error, and no
        weight changes.
    """
    raise NotImplementedError


def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Measure the mean loss of a model, target by target, in eval mode and
    without gradients.

    Args:
        model: the model to measure.
        batches: an iterable of batches; their sizes may differ.
    Returns:
        The mean loss over all targets of all batches that are not −100, a plain float:
        what one batch of all the rows would have. Losses of 1 over 10 targets and 4
        over 5 give (10 · 1 + 5 · 4) / 15 = 2.

    `.grad` does not change, and no random numbers are drawn.

    Edge cases ★
        Afterwards the model is in its former mode, also after an error. `batches` may
        be a generator. A batch without a target that counts is skipped; if no target is
        left at all, that is an error.
    """
    raise NotImplementedError


def overfit_one_batch(
    model: nn.Module, x: Tensor, y: Tensor, steps: int, lr: float
) -> list[float]:
    """Train a model on one batch over and over: the first test of every new model.

    Args:
        model: is trained in place, in training mode.
        x, y: the batch.
        steps: the number of steps.
        lr: the learning rate of all of them.
    Returns:
        The loss of each step before its update, as plain floats. The first is the
        untrained model's.

    The optimizer is a fresh Adam or AdamW without weight decay for any parameter. A
    model that works learns a few rows by heart: within some tens of steps its loss goes
    towards 0.
    """
    raise NotImplementedError


def save_checkpoint(
    path: Path | str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    loader: DataLoaderLite | None = None,
) -> None:
    """Save everything that a run needs to continue later as if it had never stopped.

    Args:
        path: the file.
        model: a GPT, with its `config`.
        optimizer: its optimizer.
        step: how many steps have been made.
        loader: if given, its `state_dict()` is saved too: how far the data has
            been read.

    The file holds plain data only, so that `torch.load(path, weights_only=True)` opens
    it: a dict with at least

        "model", "optimizer": their state dicts
        "step": the int
        "config": the fields of `model.config` as a plain dict, {"block_size": …,
        "vocab_size": …, …} "loader": the loader's state dict, or None
        "rng": the result of `torch.get_rng_state()` (dropout draws from there)

    Edge cases ★
        The path may be a str. Saving changes nothing in the run: weights, mode, random
        state, the loader's position.
        If `torch.cuda.is_available()`, the random state of the GPU is saved as well:
        dropout on a GPU draws from there.
    """
    raise NotImplementedError


def load_checkpoint(
    path: Path | str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    loader: DataLoaderLite | None = None,
) -> int:
    """Bring a run back to where `save_checkpoint` was called.

    Args:
        path: a file that `save_checkpoint` wrote. Open it with `weights_only=True`,
            which refuses code.
        model: a GPT of the same config; it gets the saved weights.
        optimizer: if given, it gets its saved state, such as the moments of Adam.
        loader: if given, it continues where the saved one was.
    Returns:
        The step that was saved.

    torch's random state is restored too. A run that is resumed in fresh objects
    therefore gives the same numbers as one that was never interrupted,
    dropout included.

    Edge cases ★
        A file saved from a model with another config is an error. So is a `loader`
        without a saved state. Then model, optimizer, loader and random state are
        unchanged. The random state of a GPU is restored too.
    """
    raise NotImplementedError


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoaderLite,
    config: TrainConfig,
    val_batches: Sequence[tuple[Tensor, Tensor]] | None = None,
    start_step: int = 0,
    sample: Callable[[nn.Module], object] | None = None,
) -> dict[str, list]:
    """Run the steps from start_step to config.max_steps − 1, and record them.

    Args:
        model, optimizer: are trained in place.
        loader: has `next_batch()`, like DataLoaderLite. Each step takes its next
            `accum_steps` batches.
        config: step s has the rate cosine_lr(s, …) of the whole run, wherever
            it started.
        val_batches: if given, `evaluate` measures the loss over these on the way.
        start_step: the first step; not 0 for a resumed run.
        sample: if given, it is called on the way, with the model in eval mode.
    Returns:
        A dict of lists. "step", "loss", "lr", "grad_norm": one entry per step, as
        `train_step` reports it. "val" and "samples": pairs (step, value) from
        `evaluate` and `sample`; empty without val_batches or sample.

    - Validate and sample before the update of each step that is a multiple of
      eval_every, and of the last step, once each.
    - Make all updates in training mode. Validation does not change them.

    Edge cases ★
        With start_step = max_steps nothing is done, and the record is empty. Batches of
        `loader` and `val_batches` may be on another device than the model's parameters,
        and are moved there.
    """
    raise NotImplementedError
