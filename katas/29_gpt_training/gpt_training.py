"""The training loop of GPT-2 and GPT-3: which weights decay, how the rate and the batch grow and shrink, one step out
of several micro-batches, validation and samples on the way,
and a run that stops and goes on as if nothing had happened.

A batch is a pair (x, y) of token ids, both (B, T) and long, on the device of the model; y holds the token that follows
each token of x, or −100 where there is nothing to predict. `model(x, y)` returns (logits, loss), as kata 26's GPT does;
loss is the mean over the targets that are not −100. An optimizer holds all trainable parameters of its model.
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
    accum_steps: int = 1  # micro-batches a step
    max_norm: float = 1.0
    eval_every: int = 50


def cosine_lr(step: int, max_lr: float, min_lr: float, warmup_steps: int, max_steps: int) -> float:
    """Give the learning rate of a step: up in a straight line, down along half a cosine, then flat.

    Args:
        step: how many steps came before this one, from 0.
        max_lr: the rate at the top.
        min_lr: the rate at the end and from there on.
        warmup_steps: how many steps the rise takes; 0 means that the run begins at the top.
        max_steps: the step from which on the rate is min_lr.
    Returns:
        A plain float:

        - step < warmup_steps: max_lr · (step + 1) / warmup_steps. With 4 of them: a quarter, a half, three quarters and
          all of max_lr.
        - from there to max_steps: half a cosine, max_lr at step = warmup_steps, the mean of both half way.
        - step ≥ max_steps: min_lr itself, to the last digit.
    Raises:
        ValueError: unless 0 ≤ warmup_steps < max_steps: a run that never comes down again is a slip.
    """
    raise NotImplementedError


def param_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Sort the parameters of a model into those that decay and those that do not.

    Args:
        model: any module.
        weight_decay: the decay of those that do.
    Returns:
        Two dicts as optimizers take them, in any order: {"params": list of parameters, "weight_decay": float}. One
        holds the trainable parameters with two or more dimensions (the matrices of linear layers and embeddings) and
        has `weight_decay`; the other holds the remaining trainable ones (biases, the weights of norms) and has 0.0.

    Every trainable parameter is in exactly one of them, once: the weight that wte and lm_head share, too. Frozen ones
    (`requires_grad` is False) are in neither. A list may be empty.
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
    """Build the optimizer of GPT-2 and GPT-3: AdamW in which only matrices decay.

    Args:
        model: its trainable parameters are optimized, in the two groups of `param_groups`.
        lr: the learning rate of both groups.
        weight_decay: that of the matrices; 0.1 in GPT-3.
        betas: GPT-3's second one is 0.95, not the usual 0.999: a mean over 20 steps rather than 1000.
        eps: added to the root in the denominator.
        fused: one kernel for many parameters instead of several for each: the same numbers, sooner.
    Returns:
        A `torch.optim.AdamW` with these settings.
    """
    raise NotImplementedError


def batch_size_at(tokens_seen: int, start: int, full: int, ramp_tokens: int, multiple: int = 1) -> int:
    """Give the batch size after so many tokens, by GPT-3's schedule: small at first, then rising in a straight line.

    Args:
        tokens_seen: how many tokens the run has been trained on.
        start: the batch size at 0 tokens.
        full: the batch size once the ramp is over.
        ramp_tokens: how many tokens the ramp takes; 0 or less means `full` from the first token on.
        multiple: what sizes on the ramp are rounded down to a multiple of.
    Returns:
        An int. On the ramp start + (full − start) · tokens_seen / ramp_tokens, rounded down to a multiple of
        `multiple`, but never below `start`. From 16 to 48 in multiples of 8, a quarter of the way gives 24, and just
        before that it still is 16. From ramp_tokens on `full` itself, whether it is such a multiple or not.
    Raises:
        ValueError: unless 1 ≤ start ≤ full.
    """
    raise NotImplementedError


def accumulation_steps(total_tokens: int, batch_size: int, block_size: int, world_size: int = 1) -> int:
    """Count the micro-batches that each process must add up for a step of so many tokens.

    Args:
        total_tokens: tokens of one step, all processes together.
        batch_size: B, rows of a micro-batch.
        block_size: T, tokens a row.
        world_size: how many processes work side by side.
    Returns:
        An int. GPT-2's 524288 tokens with B = 16, T = 1024 and 8 processes make 4.
    Raises:
        ValueError: the tokens do not divide evenly.
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
        model: is put into training mode, whatever mode it comes in.
        optimizer: makes exactly one step.
        batches: the micro-batches. Each goes through the model by itself.
        max_norm: the accumulated gradient of all parameters, taken as one vector, is scaled down to this norm if it is
            longer. None: no clipping.
        lr: the learning rate of this very step, in every group of the optimizer. None: the groups keep theirs.
    Returns:
        Plain floats: "loss", the mean of the losses of the micro-batches, and "grad_norm", the norm of the accumulated
        gradient before clipping, with max_norm=None as well.

    The accumulated gradient is the mean of the gradients of the micro-batches, all of equal weight. So three of equal
    size come to the same step, up to rounding, as one batch with the rows of all three. What lies in `.grad` when the
    function is called has no influence.

    Raises:
        ValueError: there are no batches; then no weight has changed.
    """
    raise NotImplementedError


def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Measure the mean loss of a model over batches, target by target.

    Args:
        model: is in eval mode while it is measured.
        batches: any iterable, gone through once; batches of different sizes as it comes.
    Returns:
        The mean loss over all targets of all batches that are not −100, a plain float: what one batch of all the rows
        would have. Losses of 1 over 10 targets and 4 over 5 come to (10 · 1 + 5 · 4) / 15 = 2. A batch without any
        such target is passed over.

    No gradients are computed, and none in `.grad` change. Afterwards the model is in the mode that it came in, training
    or eval, also when an error is raised on the way.

    Raises:
        ValueError: there is not one target to measure.
    """
    raise NotImplementedError


def overfit_one_batch(model: nn.Module, x: Tensor, y: Tensor, steps: int, lr: float) -> list[float]:
    """Train a model on one batch over and over: the first test of every new model.

    Args:
        model: is trained in place, in training mode.
        x, y: the batch.
        steps: how many steps.
        lr: the learning rate of all of them.
    Returns:
        The loss of each step, measured before its update: `steps` plain floats, of which the first is the untrained
        model's.

    The optimizer is an Adam or AdamW of its own, made anew by each call, with no weight decay for any parameter. With a
    model that works, the loss goes towards 0 within some tens of steps: a few rows can be learnt by heart. If it does
    not, something is wrong, and no data and no patience will mend it.
    """
    raise NotImplementedError


def save_checkpoint(
    path: Path | str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    loader: DataLoaderLite | None = None,
) -> None:
    """Write all that a run needs to go on later as if it had never stopped.

    Args:
        path: the file; an older one is replaced. Its folder is there.
        model: a GPT, with its `config`.
        optimizer: its optimizer.
        step: the step to go on with: how many steps have been made.
        loader: if given, its `state_dict()` goes along: how far the data has been read.

    The file holds plain data only, so that `torch.load(path, weights_only=True)` opens it: a dict with at least

        "model", "optimizer": their state dicts
        "step": the int
        "config": the fields of `model.config` as a plain dict, {"block_size": …, "vocab_size": …, …}
        "loader": the loader's state dict, or None
        "rng": what `torch.get_rng_state()` gives (dropout draws from there)

    Saving changes nothing in the run.
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
        path: the file, as `save_checkpoint` writes it.
        model: a GPT of the same config; it gets the saved weights.
        optimizer: if given, gets its saved state: the moments of Adam, the rates.
        loader: if given, goes on where the saved one stood. One that is in the file and not asked for is passed over.
    Returns:
        The step that was saved.

    torch's random state becomes the saved one, too. So a run that is resumed in fresh objects goes on with the very
    numbers of one that was never interrupted, dropout included. The file is opened with `weights_only=True`.

    Raises:
        ValueError: the file was saved from a model with another config, or a loader is given and the file has no state
            for it. Then nothing has been changed: neither model nor optimizer, loader or random state.
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
    """Run the steps start_step … config.max_steps − 1, and keep a record of them.

    Args:
        model, optimizer: are trained in place.
        loader: anything with `next_batch()`, such as DataLoaderLite. Each step takes the next `accum_steps` batches of
            it as its micro-batches, and no batch is taken without being used.
        config: the settings. Step s has the rate cosine_lr(s, …) of the whole run, wherever the run started, and clips
            at max_norm.
        val_batches: if given, the mean loss over these is measured on the way, as by `evaluate`.
        start_step: the first step; not 0 for a run that is resumed.
        sample: if given, is called on the way, with the model in eval mode. What it returns goes into the record.
    Returns:
        A dict of lists. "step", "loss", "lr", "grad_norm": one entry for each step (ints, then plain floats), as
        `train_step` reports them. "val" and "samples": pairs (step, value), and empty without val_batches or sample.

    Validation and sampling take place at every step that is a multiple of eval_every, and at the last step, once each
    and before the update of that step. So an entry of step 0 is about the untrained model. All updates are made in
    training mode, and validating does not change them, nor does it change what dropout draws.
    """
    raise NotImplementedError
