"""Optimizers, schedules and clipping: what turns a gradient into the next parameters,
and by how much.

In the formulas p is one parameter, g its gradient, lr the learning rate; everything
acts elementwise.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def warmup_cosine(
    step: int, *, max_lr: float, min_lr: float, warmup_steps: int, max_steps: int
) -> float:
    """The learning rate of a step: a straight rise, then half a cosine down,
    then flat.
    """
    if step < warmup_steps:
        return max_lr * (step + 1) / warmup_steps
    if step >= max_steps:
        return min_lr
    progress = (step - warmup_steps) / (max_steps - warmup_steps)
    return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2


class _Optimizer:
    """Groups of parameters with their hyperparameters, and a state for
    each parameter.
    """

    def __init__(
        self, params: Iterable[nn.Parameter | dict[str, Any]], **defaults: Any
    ):
        params = list(params)
        if not isinstance(params[0], dict):
            params = [{"params": params}]
        self.param_groups = [
            {**defaults, **group, "params": list(group["params"])} for group in params
        ]
        self.state = {}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every `.grad` to None; with `set_to_none=False` fill those that are there
        with zeros.
        """
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.zero_()


class SGD(_Optimizer):
    """Gradient descent with momentum: along the gradient, or along a running sum
    of gradients.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter | dict[str, Any]],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient, once."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad + group["weight_decay"] * p
                if group["momentum"] > 0:
                    buf = (
                        group["momentum"] * self.state[p] + g if p in self.state else g
                    )
                    self.state[p] = buf
                    g = g + group["momentum"] * buf if group["nesterov"] else buf
                p -= group["lr"] * g


def _adam_step(
    p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]
) -> None:
    """Move p by Adam's rule along g."""
    if not state:
        state.update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
    beta1, beta2 = group["betas"]
    state["t"] += 1
    state["m"] = beta1 * state["m"] + (1 - beta1) * g
    state["v"] = beta2 * state["v"] + (1 - beta2) * g**2
    m_hat = state["m"] / (1 - beta1 ** state["t"])
    v_hat = state["v"] / (1 - beta2 ** state["t"])
    p -= group["lr"] * m_hat / (v_hat.sqrt() + group["eps"])


class Adam(_Optimizer):
    """Steps of nearly equal size for every element: the mean gradient divided by its
    typical size.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter | dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient, once."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    g = p.grad + group["weight_decay"] * p
                    _adam_step(p, g, self.state.setdefault(p, {}), group)


class AdamW(_Optimizer):
    """Adam with decoupled weight decay: the decay shrinks the parameter itself and
    never enters the moments.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter | dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient, once."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p *= 1 - group["lr"] * group["weight_decay"]
                    _adam_step(p, p.grad, self.state.setdefault(p, {}), group)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups that decay the matrices of a model and nothing else."""
    params = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in params if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0},
    ]


class StepLR:
    """A schedule that multiplies the learning rate of every group by gamma each
    `step_size` epochs.
    """

    def __init__(self, optimizer: Any, step_size: int, gamma: float = 0.1):
        self.optimizer = optimizer
        self.step_size = step_size
        self.gamma = gamma
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.last_epoch = 0

    def step(self) -> None:
        """One epoch has passed: called once an epoch, after the optimizer's step."""
        self.last_epoch += 1
        for group, base in zip(self.optimizer.param_groups, self.base_lrs):
            group["lr"] = base * self.gamma ** (self.last_epoch // self.step_size)

    def get_last_lr(self) -> list[float]:
        """The rate that each group has now, in a list of its own."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The state that a new StepLR needs to go on from here: a snapshot, which later
        steps leave alone.
        """
        return {"last_epoch": self.last_epoch, "base_lrs": self.base_lrs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.last_epoch = state["last_epoch"]
        self.base_lrs = state["base_lrs"]


def _gradients(params: Iterable[Tensor] | Tensor) -> list[Tensor]:
    params = [params] if isinstance(params, Tensor) else params
    return [p.grad for p in params if p.grad is not None]


def clip_grad_norm(
    params: Iterable[Tensor] | Tensor,
    max_norm: float,
    *,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients down together until they are no longer than `max_norm`,
    keeping their direction.
    """
    grads = _gradients(params)
    norms = torch.stack([torch.linalg.vector_norm(g, norm_type) for g in grads])
    norm = torch.linalg.vector_norm(norms, norm_type)
    if error_if_nonfinite and not norm.isfinite():
        raise RuntimeError(f"the norm of the gradients is {norm}")
    if norm > max_norm:
        for g in grads:
            g *= max_norm / norm
    return norm


def clip_grad_value(params: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Cut every element of every gradient off at ±`clip_value`."""
    for g in _gradients(params):
        g.clamp_(-clip_value, clip_value)


def batch_size_schedule(
    tokens_seen: int, *, start: int, end: int, ramp_tokens: int, multiple_of: int = 1
) -> int:
    """The batch size after so many tokens of training: small early, when every step
    learns much, and large later.
    """
    if tokens_seen >= ramp_tokens:
        return end
    size = start + (end - start) * tokens_seen // ramp_tokens
    return max(start, size // multiple_of * multiple_of)
