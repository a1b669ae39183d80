"""Muon, which learns at the same rate in every direction of a matrix; a schedule for
runs of any length; the z-loss.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig


def newton_schulz(g: Tensor, steps: int = 5, eps: float = 1e-7) -> Tensor:
    """Bring the singular values of a matrix near 1, and keep its singular vectors: by
    products alone.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / max(g.norm(), eps)
    if g.size(0) > g.size(1):
        x = x.T
    for _ in range(steps):
        A = x @ x.T
        x = a * x + (b * A + c * A @ A) @ x
    if g.size(0) > g.size(1):
        x = x.T
    return x


def shape_scale(shape: Sequence[int], mode: str = "original") -> float:
    """Compute the factor for a step, so that one learning rate suits matrices of
    every shape.
    """
    if mode == "original":
        return max(1, shape[0] / shape[1]) ** 0.5
    return 0.2 * max(shape) ** 0.5


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Sort the trainable parameters of a model by the optimizer that suits them."""
    embeddings = {m.weight for m in model.modules() if isinstance(m, nn.Embedding)}
    matrices = {
        m.weight
        for name, m in model.named_modules()
        if isinstance(m, nn.Linear) and "lm_head" not in name.split(".")
    }
    muon, adamw = [], []
    for p in model.parameters():
        if p.requires_grad:
            (muon if p in matrices and p not in embeddings else adamw).append(p)
    return muon, adamw


class Muon(torch.optim.Optimizer):
    """Momentum for matrices, in which every direction moves at the same rate."""

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        ns_steps: int = 5,
        mode: str = "original",
    ):
        defaults = dict(
            lr=lr,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            ns_steps=ns_steps,
            mode=mode,
        )
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "buffer" not in state:
                    state["buffer"] = torch.zeros_like(p)
                state["buffer"] = group["momentum"] * state["buffer"] + p.grad
                update = state["buffer"]
                if group["nesterov"]:
                    update = p.grad + group["momentum"] * update
                p *= 1 - group["lr"] * group["weight_decay"]
                p -= (
                    group["lr"]
                    * shape_scale(p.shape, group["mode"])
                    * newton_schulz(update, group["ns_steps"])
                )


def wsd_lr(
    step: int,
    max_lr: float,
    warmup_steps: int,
    decay_steps: int,
    max_steps: int,
    min_lr: float = 0.0,
    shape: str = "linear",
) -> float:
    """Compute the learning rate of a step: up in a straight line, then flat, then down
    at the end.
    """
    if step < warmup_steps:
        return max_lr * (step + 1) / warmup_steps
    if step <= max_steps - decay_steps:
        return max_lr
    if step >= max_steps:
        return min_lr
    u = (step - (max_steps - decay_steps)) / decay_steps
    if shape == "sqrt":
        u = math.sqrt(u)
    return min_lr + (max_lr - min_lr) * (1 - u)


def z_loss(
    logits: Tensor, targets: Tensor | None = None, coefficient: float = 1e-4
) -> Tensor:
    """Charge for a softmax whose normaliser moves away from 1, which keeps
    logits small.
    """
    lse = torch.logsumexp(logits, dim=-1)
    if targets is not None:
        lse = lse[targets != -100]
    return coefficient * (lse**2).mean()
