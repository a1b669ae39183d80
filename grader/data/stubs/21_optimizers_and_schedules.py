"""Optimizers, schedules and clipping: what turns a gradient into the next parameters, and by how much.

In the formulas p is one parameter, g its gradient, lr the learning rate; everything acts elementwise.
"""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn


def warmup_cosine(step: int, *, max_lr: float, min_lr: float, warmup_steps: int, max_steps: int) -> float:
    """The learning rate of a step: a straight rise, then half a cosine down, then flat.

    Args:
        step: the steps taken so far, from 0.
        max_lr: the rate at the top.
        min_lr: the rate at the end and from there on.
        warmup_steps: how many steps the rise takes.
        max_steps: the step at which `min_lr` is reached.
    Returns:
        A plain Python float:

        - step < warmup_steps: max_lr · (step + 1) / warmup_steps. With 4 of them: a quarter, a half, three quarters
          and all of max_lr; never 0, for a step at rate 0 is a batch wasted.
        - from there to max_steps: half a cosine, which starts at max_lr when step is warmup_steps and ends at min_lr
          when step is max_steps. Half way it is at the mean of the two.
        - step ≥ max_steps: min_lr.

    `warmup_steps` may be 0 (no rise) or equal to `max_steps` (no cosine). With `warmup_steps=0` this is PyTorch's
    `CosineAnnealingLR` (Loshchilov and Hutter 2017, "SGDR", formula 5).

    Raises:
        ValueError: unless 0 ≤ warmup_steps ≤ max_steps.
    """
    raise NotImplementedError


class SGD:
    """Gradient descent with momentum: along the gradient, or along a running sum of gradients.

    For every parameter p with gradient g a step does

    1. g ← g + weight_decay · p
    2. with momentum: the buffer starts as g in the first step of p, and later buf ← momentum · buf + g;
       then g ← buf, or with nesterov g ← g + momentum · buf
    3. p ← p − lr · g

    With momentum 0.9 and g = 1 in every step the buffer is 1, 1.9, 2.71, … and tends to 10: momentum also makes steps
    longer. The result equals that of `torch.optim.SGD` with the same arguments.

    Args:
        params: the parameters, in any iterable (a generator, too), all in one group. Or an iterable of dicts, one a
            group: `{"params": iterable of parameters}` and any of the hyperparameters under their argument names,
            which override the arguments for this group: `[{"params": weights, "lr": 0.1}, {"params": biases}]`.
        lr, momentum, weight_decay, nesterov: the hyperparameters, and the defaults of all groups.
    Attributes:
        param_groups: list of dicts, one a group, each with "params" (a list) and all the hyperparameters under their
            argument names. A `group["lr"]` that is changed counts from the next step on; so do the others.
        state: a mapping that holds what is remembered between steps, laid out as you like. It holds no graph.

    A step writes into the parameters: they remain the same objects in the same memory, and leaves. Their `.grad` stays
    as it was. A parameter whose `.grad` is None is skipped altogether: it does not move, does not decay, and nothing is
    remembered of that step. Steps work after `loss.backward()` as it is, outside any `torch.no_grad()`. Nothing of
    `torch.optim` that does the update is used; its base class `Optimizer` may be.

    Raises:
        ValueError: `params` is empty (a group without parameters is fine); a parameter is in two groups; `lr` is
            negative (the message holds it); nesterov with momentum 0.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter | dict[str, Any]],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        raise NotImplementedError

    def step(self) -> None:
        """Move every parameter that has a gradient, once."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every `.grad` to None; with `set_to_none=False` fill those that are there with zeros."""
        raise NotImplementedError


class Adam:
    """Steps of nearly equal size for every element: the mean gradient divided by its typical size.

    For every parameter p with gradient g, in its t-th step (t = 1, 2, …), with m and v starting at 0,

    1. g ← g + weight_decay · p
    2. m ← β1 · m + (1 − β1) · g and v ← β2 · v + (1 − β2) · g²
    3. m̂ = m / (1 − β1ᵗ) and v̂ = v / (1 − β2ᵗ), which makes up for starting at 0
    4. p ← p − lr · m̂ / (√v̂ + eps)

    The first step is lr · g / (|g| + eps): about lr, whether g is 1000 or 0.001. Each parameter has its own t: one that
    gets its first gradient late has t = 1 then (Kingma and Ba 2015, algorithm 1). The result equals that of
    `torch.optim.Adam` with the same arguments.

    Args:
        params: as in `SGD`: parameters, or dicts with groups of them.
        lr: about the size of a step.
        betas: (β1, β2), how much of the past m and v keep.
        eps: added to the root, not under it.
        weight_decay: here it is part of the gradient (the "L2" kind), so that √v̂ divides it like the rest.
        All of these are hyperparameters, which a group may override.
    Attributes:
        param_groups, state: as in `SGD`, with the hyperparameters of this class.

    All that `SGD` promises of a step holds here, too: in place, `.grad` untouched, None skipped altogether (so that it
    does not count as one of the t steps either), nothing of `torch.optim` that does the update.

    Raises:
        ValueError: as in `SGD` for `params` and `lr`; or one of `betas` is outside [0, 1).
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter | dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        raise NotImplementedError

    def step(self) -> None:
        """Move every parameter that has a gradient, once."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every `.grad` to None; with `set_to_none=False` fill those that are there with zeros."""
        raise NotImplementedError


class AdamW:
    """Adam with decoupled weight decay: the decay shrinks the parameter itself and never enters the moments.

    For every parameter p with a gradient a step does

    1. p ← p · (1 − lr · weight_decay), with the lr that its group has now
    2. the Adam step, with moments of the plain gradient

    So every weight shrinks at the same rate. In `Adam` the decay is divided by √v̂, and weights with large gradients
    hardly feel it (Loshchilov and Hutter 2019, algorithm 2). The result equals that of `torch.optim.AdamW` with the
    same arguments.

    Args:
        params, lr, betas, eps: as in `Adam`.
        weight_decay: how much of lr is taken off each weight in a step; another default than in `Adam`.
    Attributes:
        param_groups, state: as in `Adam`.

    All that `Adam` promises holds here, too. A parameter whose `.grad` is None does not decay.

    Raises:
        ValueError: as in `Adam`.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter | dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        raise NotImplementedError

    def step(self) -> None:
        """Move every parameter that has a gradient, once."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every `.grad` to None; with `set_to_none=False` fill those that are there with zeros."""
        raise NotImplementedError


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups that decay the matrices of a model and nothing else.

    Args:
        model: any module.
        weight_decay: the decay of the first group.
    Returns:
        Always two dicts, ready for an optimizer: `{"params": [...], "weight_decay": weight_decay}` with the parameters
        of two or more dimensions, then `{"params": [...], "weight_decay": 0.0}` with the rest, such as biases and the
        weights of norms. The number of dimensions decides, not the name.

    Both lists are in the order of `model.parameters()`. A parameter that the model holds twice (tied weights) is listed
    once; one that is frozen (`requires_grad` is False) is in neither. A list may be empty.
    """
    raise NotImplementedError


class StepLR:
    """A schedule that multiplies the learning rate of every group by gamma each `step_size` epochs.

    After k calls of `step` a group that started at the rate base is at base · gamma ** (k // step_size). Two groups
    that start at 1.0 and 0.2, with step_size 3 and gamma 0.1, have 0.1 and 0.02 after three calls.

    Args:
        optimizer: anything with `param_groups`, a list of dicts with "lr". Building the schedule changes no rate.
        step_size: how many epochs a rate holds.
        gamma: what the rate is multiplied by then.
    Attributes:
        last_epoch: int, how many epochs the schedule has seen; 0 at the start.

    A run is resumed like this: the optimizer gets its state back, with rates that have already fallen; a new StepLR is
    built on it with the same arguments; it loads the state of the old one, and from there goes on as if never stopped.
    Nothing of `torch.optim.lr_scheduler` is used.

    Raises:
        ValueError: step_size < 1.
    """

    def __init__(self, optimizer: Any, step_size: int, gamma: float = 0.1):
        raise NotImplementedError

    def step(self) -> None:
        """One epoch has passed: called once an epoch, after the optimizer's step."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rate that each group has now, in a list of its own."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """What a new StepLR needs in order to go on from here: a snapshot, which later steps leave alone."""
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        raise NotImplementedError


def clip_grad_norm(
    params: Iterable[Tensor] | Tensor, max_norm: float, *, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients down together until they are no longer than `max_norm`, keeping their direction.

    Args:
        params: the parameters, in any iterable (a generator, too), or a single tensor.
        max_norm: the limit.
        norm_type: 1 (sum of absolute values), 2 (root of the sum of squares) or inf (largest absolute value).
        error_if_nonfinite: whether a norm that is infinite or NaN is an error.
    Returns:
        The norm of all gradients taken as one long vector, as it was before clipping: a 0-d tensor. Gradients
        [3, 0] and [4] have the norm 5.

    If the norm exceeds `max_norm`, every gradient is multiplied by max_norm / norm, in place: each `.grad` remains the
    same tensor object. (PyTorch adds 1e-6 to the denominator; you may, too.) Otherwise none changes: short gradients
    are not stretched. A parameter whose `.grad` is None is passed over; if none has a gradient the norm is 0
    (Pascanu et al. 2013, section 3.2). `torch.nn.utils` is not used.

    Raises:
        ValueError: max_norm ≤ 0.
        RuntimeError: with `error_if_nonfinite`, a norm that is not finite; then no gradient has been touched. Without
            it, that norm is returned like any other.
    """
    raise NotImplementedError


def clip_grad_value(params: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Cut every element of every gradient off at ±`clip_value`.

    Args:
        params: as in `clip_grad_norm`.
        clip_value: the limit. With 2, the gradient [-5, 1, 3] becomes [-2, 1, 2].

    In place, and None gradients are passed over. Unlike `clip_grad_norm` this may change the direction of the step.
    `torch.nn.utils` is not used.

    Raises:
        ValueError: clip_value ≤ 0.
    """
    raise NotImplementedError


def batch_size_schedule(tokens_seen: int, *, start: int, end: int, ramp_tokens: int, multiple_of: int = 1) -> int:
    """The batch size after so many tokens of training: small early, when every step learns much, and large later.

    Args:
        tokens_seen: how many tokens have been trained on.
        start: the batch size at 0 tokens.
        end: the batch size once `ramp_tokens` have been seen.
        ramp_tokens: the length of the ramp.
        multiple_of: what the sizes on the ramp are to be divisible by.
    Returns:
        An int. On the ramp start + (end − start) · tokens_seen / ramp_tokens, rounded down to an int and then down to a
        multiple of `multiple_of`, but never below `start`. From 16 to 48 in multiples of 8, a quarter of the way gives
        24 and just before that still 16.

    From tokens_seen ≥ ramp_tokens on it is `end` exactly, a multiple or not; with ramp_tokens = 0 that is so from the
    first token (Brown et al. 2020, appendix B).

    Raises:
        ValueError: unless 1 ≤ start ≤ end.
    """
    raise NotImplementedError
