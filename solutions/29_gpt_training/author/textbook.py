"""The training loop of GPT-2 and GPT-3: which weights decay, how the rate and the batch
grow and shrink, one step out of several micro-batches, validation and samples on the
way, and a run that stops and goes on as if nothing had happened.

A batch is a pair (x, y) of token ids, both (B, T) and long, on the device of the model;
y holds the token that follows each token of x, or −100 where there is nothing to
predict. `model(x, y)` returns (logits, loss), as kata 26's GPT does; loss is the mean
over the targets that are not −100. An optimizer holds all trainable parameters of
its model.
"""

import dataclasses
import math
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


def cosine_lr(
    step: int, max_lr: float, min_lr: float, warmup_steps: int, max_steps: int
) -> float:
    """Give the learning rate of a step: up in a straight line, down along half a
    cosine, then flat.
    """
    if step < warmup_steps:
        return max_lr * (step + 1) / warmup_steps
    if step >= max_steps:
        return min_lr
    progress = (step - warmup_steps) / (max_steps - warmup_steps)
    return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2


def param_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Sort the parameters of a model into those that decay and those that do not."""
    params = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in params if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0},
    ]


def make_optimizer(
    model: nn.Module,
    lr: float,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    fused: bool = False,
) -> torch.optim.AdamW:
    """Build the optimizer of GPT-2 and GPT-3: AdamW in which only matrices decay."""
    return torch.optim.AdamW(
        param_groups(model, weight_decay), lr=lr, betas=betas, eps=eps, fused=fused
    )


def batch_size_at(
    tokens_seen: int, start: int, full: int, ramp_tokens: int, multiple: int = 1
) -> int:
    """Give the batch size after so many tokens, by GPT-3's schedule: small at first,
    then rising in a straight line.
    """
    if tokens_seen >= ramp_tokens:
        return full
    size = start + (full - start) * tokens_seen // ramp_tokens
    return max(start, size // multiple * multiple)


def accumulation_steps(
    total_tokens: int, batch_size: int, block_size: int, world_size: int = 1
) -> int:
    """Count the micro-batches that each process must add up for a step of so
    many tokens.
    """
    return total_tokens // (batch_size * block_size * world_size)


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[tuple[Tensor, Tensor]],
    max_norm: float | None = 1.0,
    lr: float | None = None,
) -> dict[str, float]:
    """Make one update of the weights out of one or more micro-batches."""
    model.train()
    optimizer.zero_grad()
    total = 0.0
    for x, y in batches:
        _, loss = model(x, y)
        (loss / len(batches)).backward()
        total += loss.item() / len(batches)
    norm = nn.utils.clip_grad_norm_(
        model.parameters(), math.inf if max_norm is None else max_norm
    )
    if lr is not None:
        for group in optimizer.param_groups:
            group["lr"] = lr
    optimizer.step()
    return {"loss": total, "grad_norm": norm.item()}


@torch.no_grad()
def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Measure the mean loss of a model over batches, target by target."""
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    for x, y in batches:
        _, loss = model(x, y)
        n = (y != -100).sum().item()
        total += loss.item() * n
        count += n
    model.train(was_training)
    return total / count


def overfit_one_batch(
    model: nn.Module, x: Tensor, y: Tensor, steps: int, lr: float
) -> list[float]:
    """Train a model on one batch over and over: the first test of every new model."""
    optimizer = make_optimizer(model, lr, weight_decay=0.0)
    return [train_step(model, optimizer, [(x, y)])["loss"] for _ in range(steps)]


def save_checkpoint(
    path: Path | str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    loader: DataLoaderLite | None = None,
) -> None:
    """Write all that a run needs to go on later as if it had never stopped."""
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "config": dataclasses.asdict(model.config),
        "loader": loader.state_dict() if loader is not None else None,
        "rng": torch.get_rng_state(),
    }
    torch.save(checkpoint, path)


def load_checkpoint(
    path: Path | str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    loader: DataLoaderLite | None = None,
) -> int:
    """Bring a run back to where `save_checkpoint` was called."""
    checkpoint = torch.load(path, weights_only=True)
    model.load_state_dict(checkpoint["model"])
    if optimizer is not None:
        optimizer.load_state_dict(checkpoint["optimizer"])
    if loader is not None:
        loader.load_state_dict(checkpoint["loader"])
    torch.set_rng_state(checkpoint["rng"])
    return checkpoint["step"]


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoaderLite,
    config: TrainConfig,
    val_batches: Sequence[tuple[Tensor, Tensor]] | None = None,
    start_step: int = 0,
    sample: Callable[[nn.Module], object] | None = None,
) -> dict[str, list]:
    """Run the steps start_step … config.max_steps − 1, and keep a record of them."""
    record = {
        "step": [],
        "loss": [],
        "lr": [],
        "grad_norm": [],
        "val": [],
        "samples": [],
    }
    for step in range(start_step, config.max_steps):
        if step % config.eval_every == 0 or step == config.max_steps - 1:
            if val_batches is not None:
                record["val"].append((step, evaluate(model, val_batches)))
            if sample is not None:
                model.eval()
                record["samples"].append((step, sample(model)))
        batches = [loader.next_batch() for _ in range(config.accum_steps)]
        lr = cosine_lr(
            step, config.max_lr, config.min_lr, config.warmup_steps, config.max_steps
        )
        result = train_step(model, optimizer, batches, config.max_norm, lr)
        record["step"].append(step)
        record["loss"].append(result["loss"])
        record["lr"].append(lr)
        record["grad_norm"].append(result["grad_norm"])
    return record
