"""Optimizers, schedules and clipping: what turns a gradient into the next parameters,
and by how much.

In the formulas p is one parameter, g its gradient, lr the learning rate; all operations
act on each element.
"""

import copy
import math  # stub: keep
from collections.abc import Iterable, Iterator
from typing import Any

import torch  # stub: keep
from torch import Tensor, nn


def warmup_cosine(
    step: int, *, max_lr: float, min_lr: float, warmup_steps: int, max_steps: int
) -> float:
    """Return the learning rate of a step: a straight rise, then half a cosine down,
    then flat.

    Args:
        step: the steps taken so far, from 0.
        max_lr: the rate at the top.
        min_lr: the rate at the end and from there on.
        warmup_steps: the length of the rise.
        max_steps: the step at which `min_lr` is reached.
    Returns:
        A Python float.

        - step < warmup_steps: max_lr · (step + 1) / warmup_steps, never 0. With 4
          warm-up steps: ¼, ½, ¾ and all of max_lr.
        - then half a cosine: max_lr when step is warmup_steps, the mean of both rates
          halfway, min_lr at max_steps.
        - step ≥ max_steps: min_lr.

    Edge cases ★
        warmup_steps may be 0 (PyTorch's `CosineAnnealingLR`) or equal to max_steps.
        Otherwise it is an error unless 0 ≤ warmup_steps ≤ max_steps.
    """
    if not 0 <= warmup_steps <= max_steps:
        raise ValueError(
            f"expected 0 <= warmup_steps <= max_steps, not {warmup_steps} and "
            f"{max_steps}"
        )
    if step < warmup_steps:
        return max_lr * (step + 1) / warmup_steps
    if step >= max_steps:
        return min_lr
    progress = (step - warmup_steps) / (max_steps - warmup_steps)
    return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2


class SGD:
    """Gradient descent with momentum, along the gradient or along a running sum
    of gradients.

    Written without `torch.optim.SGD`. Deriving from `torch.optim.Optimizer` is fine.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter | dict[str, Any]],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        """Sort the parameters into groups with their hyperparameters.

        Args:
            params: any iterable of parameters, even a generator: one group. Or of
                dicts, one per group, each with "params" and any hyperparameters, which
                override the arguments: `[{"params": [w], "lr": 0.1}, …]`.
            lr, momentum, weight_decay, nesterov: for every group that does not name
                its own.

        `param_groups`: list of dicts, each with "params" (a list) and all
        hyperparameters under their argument names. `state`: a mapping for whatever is
        remembered between steps, laid out as you like.

        Edge cases ★
            A group may be empty. Errors: no parameters; a parameter in two groups; a
            negative lr, which the message holds; nesterov with momentum 0.
        """
        if nesterov and momentum == 0:
            raise ValueError("nesterov looks ahead along the momentum, which is 0")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        self.param_groups = _make_groups(params, defaults)
        self.state: dict[nn.Parameter, Tensor] = {}

    def step(self) -> None:
        """Move every parameter p that has a gradient g, with the settings that its
        group has now.

        1. g ← g + weight_decay · p
        2. with momentum: buf starts as g, and later buf ← momentum · buf + g; then g ←
           buf, or with nesterov g ← g + momentum · buf
        3. p ← p − lr · g

        With momentum 0.9 and g = 1 the buffer is 1, 1.9, 2.71, … Write into p: it stays
        the same object in the same memory, and a leaf. A p whose `.grad` is None is
        skipped: it does not move and does not decay.

        Edge cases ★
            `.grad` stays as it was. A skipped step is not remembered: momentum starts
            with the first gradient, and goes on after a pause. `state` holds no graph.
        """
        with torch.no_grad():
            for p, group in _with_gradients(self.param_groups):
                g = p.grad + group["weight_decay"] * p
                momentum = group["momentum"]
                if momentum:
                    buf = momentum * self.state[p] + g if p in self.state else g
                    self.state[p] = buf
                    g = g + momentum * buf if group["nesterov"] else buf
                p -= group["lr"] * g

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every `.grad` to None.

        Args:
            set_to_none: False = fill the gradients that are there with zeros instead.
        """
        for p, _ in _with_gradients(self.param_groups):
            p.grad = None if set_to_none else torch.zeros_like(p.grad)


class Adam:
    """Steps of nearly equal size for every element: the mean gradient divided by its
    typical size.

    Written without `torch.optim.Adam`. Deriving from `torch.optim.Optimizer` is fine.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter | dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        """Sort the parameters into groups with their hyperparameters, as `SGD` does.

        Args:
            params: parameters, or dicts with groups of them, as in `SGD`.
            lr: about the size of a step.
            betas: (β1, β2), the shares of the past that m and v keep.
            eps: added to the root, not under it.
            weight_decay: the "L2" kind, part of the gradient.

        `param_groups` and `state` as in `SGD`, with these hyperparameters.

        Edge cases ★
            As in `SGD`; a beta outside [0, 1) is an error.
        """
        _check_betas(betas)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        self.param_groups = _make_groups(params, defaults)
        self.state: dict[nn.Parameter, dict[str, Any]] = {}

    def step(self) -> None:
        """Move every parameter p that has a gradient g, in its t-th step (t = 1, 2, …),
        with m and v starting at 0.

        1. g ← g + weight_decay · p
        2. m ← β1 · m + (1 − β1) · g and v ← β2 · v + (1 − β2) · g²
        3. m̂ = m / (1 − β1ᵗ) and v̂ = v / (1 − β2ᵗ), which corrects the start at 0
        4. p ← p − lr · m̂ / (√v̂ + eps)

        The first step is lr · g / (|g| + eps): about lr, whether g is 1000 or 0.001. As
        in `SGD`, write into p, use the group's current settings, and skip a p whose
        `.grad` is None.
        Source: Kingma and Ba 2015, algorithm 1.

        Edge cases ★
            As in `SGD`. Each parameter has its own t: a first gradient that arrives
            late gets full bias correction, and skipped steps do not count.
        """
        with torch.no_grad():
            for p, group in _with_gradients(self.param_groups):
                g = p.grad + group["weight_decay"] * p
                p -= group["lr"] * _adam_direction(p, g, self.state, group)

    zero_grad = SGD.zero_grad


class AdamW:
    """Adam with decoupled weight decay: the decay shrinks the parameter itself and
    never enters the moments.

    Args:
        params, lr, betas, eps: as in `Adam`.
        weight_decay: lr times this is the share of each weight that a step takes off.
    Attributes:
        param_groups, state: as in `Adam`.

    step(): for every parameter p with a gradient,

    1. p ← p · (1 − lr · weight_decay), with the lr that its group has now
    2. the Adam step, with moments of the plain gradient

    So every weight shrinks at the same rate; in `Adam` the decay is divided by √v̂. All
    that `Adam` asks for holds here as well; a parameter whose `.grad` is None does
    not decay.
    Written without `torch.optim.AdamW`. Deriving from `torch.optim.Optimizer` is fine.
    Source: Loshchilov and Hutter 2019, algorithm 2.

    Edge cases ★
        As in `Adam` and `SGD`.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter | dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        _check_betas(betas)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        self.param_groups = _make_groups(params, defaults)
        self.state: dict[nn.Parameter, dict[str, Any]] = {}

    def step(self) -> None:
        """Shrink and move every parameter that has a gradient, once."""
        with torch.no_grad():
            for p, group in _with_gradients(self.param_groups):
                p *= 1 - group["lr"] * group["weight_decay"]
                p -= group["lr"] * _adam_direction(p, p.grad, self.state, group)

    zero_grad = SGD.zero_grad


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Make parameter groups that decay the matrices of a model and nothing else.

    Args:
        model: any module.
        weight_decay: the decay of the first group.
    Returns:
        Always two dicts, ready for an optimizer: `{"params": [...], "weight_decay":
        weight_decay}` with the parameters of two or more dimensions, then
        `{"params": [...], "weight_decay": 0.0}` with the rest, such as biases and the
        weights of norms. The number of dimensions decides, not the name.

    Both lists are in the order of `model.parameters()`. Tied weights are listed once,
    frozen parameters (`requires_grad` is False) not at all. A list may be empty.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]


class StepLR:
    """A schedule that multiplies the learning rate of every group by gamma each
    `step_size` epochs.

    Written without `torch.optim.lr_scheduler`: neither as a base class nor inside.
    """

    def __init__(self, optimizer: Any, step_size: int, gamma: float = 0.1):
        """Remember what determines the rates of the coming epochs.

        Args:
            optimizer: anything with `param_groups`, a list of dicts with "lr". No rate
                changes now.
            step_size: how many epochs a rate holds.
            gamma: the factor after that.

        `last_epoch`: int, how many epochs the schedule has seen; 0 at the start.
        `optimizer`: kept under this name.

        Edge cases ★
            step_size below 1 is an error.
        """
        if step_size < 1:
            raise ValueError(f"step_size should be at least 1, not {step_size}")
        self.optimizer = optimizer
        self.step_size = step_size
        self.gamma = gamma
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.last_epoch = 0

    def step(self) -> None:
        """Count one more epoch, after the optimizer's step, and set the rate of
        every group.

        After k calls a group that started at the rate base has base · gamma ** (k //
        step_size). Two groups that started at 1.0 and 0.2, with step_size 3 and gamma
        0.1, have 0.1 and 0.02 after three calls.
        """
        self.last_epoch += 1
        factor = self.gamma ** (self.last_epoch // self.step_size)
        for group, base_lr in zip(
            self.optimizer.param_groups, self.base_lrs, strict=True
        ):
            group["lr"] = base_lr * factor

    def get_last_lr(self) -> list[float]:
        """Return the current rate of each group. Given: nothing to write here."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all attributes but `optimizer`. Given: nothing to
        write here.
        """
        return copy.deepcopy(
            {name: value for name, value in vars(self).items() if name != "optimizer"}
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken, as if the run had never stopped.

        A run is resumed like this: the optimizer gets its state back, with rates that
        have already fallen; a new StepLR is built on it with the same arguments; it
        loads what `state_dict()` of the old one returned.

        Edge cases ★
            What is changed in `state` afterwards does not change the schedule.
        """
        self.last_epoch = state["last_epoch"]
        self.base_lrs = list(state["base_lrs"])


def clip_grad_norm(
    params: Iterable[Tensor] | Tensor,
    max_norm: float,
    *,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients down together until their norm is at most `max_norm`, keeping
    their direction.

    Args:
        params: the parameters, in any iterable (even a generator).
        max_norm: the limit.
        norm_type: 1 (sum of absolute values), 2 (root of the sum of squares) or inf
            (largest absolute value).
        error_if_nonfinite: see below.
    Returns:
        The norm of all gradients taken as one long vector, before clipping: a 0-d
        tensor. Gradients [3, 0] and [4] have the norm 5.

    If the norm exceeds `max_norm`, multiply every gradient by max_norm / norm in place
    (PyTorch adds 1e-6 to the denominator; you may, too). Otherwise change none. Skip
    parameters whose `.grad` is None.
    Written without `torch.nn.utils`. Source: Pascanu et al. 2013, section 3.2.

    Edge cases ★
        `params` may be a single tensor. Without any gradient the norm is 0. A norm that
        is inf or NaN is returned like any other; with error_if_nonfinite it is an
        error, and no gradient has been touched. So is max_norm ≤ 0.
    """
    if max_norm <= 0:
        raise ValueError(f"max_norm should be above 0, not {max_norm}")
    gradients = _gradients(params)
    if not gradients:
        return torch.tensor(0.0)
    norms = torch.stack([torch.linalg.vector_norm(g, norm_type) for g in gradients])
    total = torch.linalg.vector_norm(norms, norm_type)
    if error_if_nonfinite and not total.isfinite():
        raise RuntimeError(f"the norm of the gradients is {total.item()}")
    if total > max_norm:
        for g in gradients:
            g.mul_(max_norm / total)
    return total


def clip_grad_value(params: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Cut every element of every gradient off at ±`clip_value`, in place.

    Args:
        params: the parameters, in any iterable (even a generator). Those whose `.grad`
            is None are skipped.
        clip_value: the limit. With 2, the gradient [-5, 1, 3] becomes [-2, 1, 2].

    Unlike `clip_grad_norm` this may change the direction of the step. Written without
    `torch.nn.utils`.

    Edge cases ★
        `params` may be a single tensor. clip_value ≤ 0 is an error.
    """
    if clip_value <= 0:
        raise ValueError(f"clip_value should be above 0, not {clip_value}")
    for g in _gradients(params):
        g.clamp_(-clip_value, clip_value)


def batch_size_schedule(
    tokens_seen: int, *, start: int, end: int, ramp_tokens: int, multiple_of: int = 1
) -> int:
    """Return the batch size after so many tokens of training: small early, large later.

    Args:
        tokens_seen: how many tokens have been trained on.
        start: the batch size at 0 tokens.
        end: the batch size once `ramp_tokens` have been seen.
        ramp_tokens: the length of the ramp.
        multiple_of: sizes on the ramp are divisible by this.
    Returns:
        An int. On the ramp start + (end − start) · tokens_seen / ramp_tokens, rounded
        down to an int, then down to a multiple of `multiple_of`, but never below
        `start`. From 16 to 48 in multiples of 8, a quarter of the way gives 24; just
        before that, it is still 16. From tokens_seen ≥ ramp_tokens on it is `end`
        exactly, a multiple or not.

    Source: Brown et al. 2020, appendix B.

    Edge cases ★
        With ramp_tokens = 0 it is `end` from the first token. It is an error unless
        1 ≤ start ≤ end.
    """
    if not 1 <= start <= end:
        raise ValueError(f"expected 1 <= start <= end, not {start} and {end}")
    if tokens_seen >= ramp_tokens:
        return end
    size = start + (end - start) * tokens_seen // ramp_tokens
    return max(start, size - size % multiple_of)


def _make_groups(
    params: Iterable[nn.Parameter | dict[str, Any]], defaults: dict[str, Any]
) -> list[dict[str, Any]]:
    if defaults["lr"] < 0:
        raise ValueError(f"lr should not be negative: {defaults['lr']}")
    given = list(params)
    if not given:
        raise ValueError("there are no parameters to optimize")
    if not isinstance(given[0], dict):
        given = [{"params": given}]
    groups = [{**defaults, **group, "params": list(group["params"])} for group in given]
    everything = [p for group in groups for p in group["params"]]
    if len(set(everything)) != len(everything):
        raise ValueError("a parameter is in more than one group")
    return groups


def _with_gradients(
    groups: list[dict[str, Any]],
) -> Iterator[tuple[nn.Parameter, dict[str, Any]]]:
    """Every parameter that has a gradient, with its group."""
    for group in groups:
        for p in group["params"]:
            if p.grad is not None:
                yield p, group


def _check_betas(betas: tuple[float, float]) -> None:
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas should be at least 0 and below 1: {betas}")


def _adam_direction(
    p: nn.Parameter, g: Tensor, state: dict, group: dict[str, Any]
) -> Tensor:
    """Count one more gradient of p, and return m̂ / (√v̂ + eps)."""
    if p not in state:
        state[p] = {"t": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)}
    own = state[p]
    beta1, beta2 = group["betas"]
    own["t"] += 1
    own["m"] = beta1 * own["m"] + (1 - beta1) * g
    own["v"] = beta2 * own["v"] + (1 - beta2) * g.square()
    m_hat = own["m"] / (1 - beta1 ** own["t"])
    v_hat = own["v"] / (1 - beta2 ** own["t"])
    return m_hat / (v_hat.sqrt() + group["eps"])


def _gradients(params: Iterable[Tensor] | Tensor) -> list[Tensor]:
    params = [params] if isinstance(params, Tensor) else params
    return [p.grad for p in params if p.grad is not None]
