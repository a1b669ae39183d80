"""Derivatives, gradients and the graph: what autograd records, saves, adds
and frees.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def finite_difference_gradient(
    f: Callable[[Tensor], Tensor], x: Tensor, eps: float = 1e-6
) -> Tensor:
    """Estimate the gradient of f at x from values of f alone, without autograd.

    Args:
        f: takes a tensor of x's shape, in float64, and returns a 0-dim tensor.
        x: the point, of any shape.
        eps: the size of the step up and of the step down.
    Returns:
        Of x's shape, float64 whatever x's dtype, without grad: entry i is the central
        difference (f(x + eps) - f(x - eps)) / (2 * eps), with only element i of
        x moved.

    For f(x) = x³ at x = 2 and eps = 0.01 this is (2.01³ - 1.99³) / 0.02 = 12.0001;
    calculus says 12.

    Edge cases ★
        x may be 0-dim, non-contiguous, bfloat16 or integer, and is not changed. f may
        return one element of any shape, such as (1, 1); more or fewer elements are
        an error.
    """
    raise NotImplementedError


def partial_derivatives(
    f: Callable[..., Tensor], *inputs: Tensor
) -> tuple[Tensor, ...]:
    """Differentiate f with respect to each of its inputs, at their current values.

    Args:
        f: called as f(*inputs); returns a 0-dim tensor.
        inputs: floating-point tensors of any shapes, with or without requires_grad.
    Returns:
        One gradient per input, in order, each of its input's shape; none requires grad.

    For f(x, y) = x² · y at x = 3, y = 5 the partials are 2xy = 30 and x² = 9. An input
    that f does not use gets zeros. The inputs, their requires_grad and their .grad stay
    as they were.

    Edge cases ★
        A constant f, or one that depends on parameters alone, gives zeros too. No .grad
        changes anywhere, not even that of parameters that f closes over. The call works
        inside the caller's `torch.no_grad()`, which stays in force.
        A tensor that is passed twice counts as two variables; an input may be the
        result of other operations.
        Each gradient has its input's dtype. f may return one element of any shape;
        anything else is an error.
    """
    raise NotImplementedError


def gradient_history(
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    weight: Tensor,
    inputs: Iterable[Tensor],
    zero_between: bool,
) -> list[Tensor]:
    """Run one backward pass per input and record the weight's .grad after each.

    Args:
        loss_fn: called as loss_fn(w, input); returns a 0-dim loss.
        weight: the values that w starts from.
        inputs: tensors.
        zero_between: True gives each gradient alone; False lets `backward()` add it to
            the earlier ones.
    Returns:
        A list with one snapshot of w.grad per input. Snapshots do not change later and
        do not require grad.

    For gradients 2, 3 and 10 the history is [2, 3, 10] with zero_between and
    [2, 5, 15] without.
    w is a private copy that requires grad: weight, its flag and its .grad stay as they
    were, and an old .grad is ignored.

    Edge cases ★
        loss_fn is called once per input, in order. weight stays as it was even if
        loss_fn writes to w.
        The gradients have weight's dtype. `inputs` may be an iterator; without inputs
        the result is [].
    """
    raise NotImplementedError


def frozen_target_loss(
    value_fn: Callable[[Tensor], Tensor],
    state: Tensor,
    next_state: Tensor,
    reward: Tensor,
    gamma: float = 0.9,
    how: str = "detach",
) -> Tensor:
    """Compare a prediction with a target from the same function, and let only the
    prediction learn.

    Args:
        value_fn: maps states (N, D) to one value per state, (N,): a guess of the points
            that are still to come.
        state, next_state: (N, D), before and after a move.
        reward: (N,), the points won by the move.
        gamma: the weight of the next state's value.
        how: what keeps the target out of the graph. "detach" calls value_fn(next_state)
            as usual and detaches afterwards; "no_grad" and "inference_mode" call it
            inside that mode of torch.
    Returns:
        The 0-dim mean over N of (value_fn(state) - target)², where
        target = reward + gamma * value_fn(next_state).

    The target counts as a constant: no gradient flows through value_fn(next_state).
    value_fn(state) is always tracked. Loss and gradient are the same in all three ways.

    Edge cases ★
        No gradient reaches a reward that requires grad. Any other `how` is an error.

    Source: the temporal-difference target of Sutton and Barto, Reinforcement Learning,
    section 6.1.
    """
    raise NotImplementedError


def describe_graph(output: Tensor) -> dict[str, object]:
    """List what autograd recorded on the way to `output`: the operations of each kind,
    and the leaves.

    Args:
        output: the result of tracked operations.
    Returns:
        A dict with the keys
        "ops": dict from operation name to the number of nodes of that name reachable
        from output.grad_fn, "leaves": list of the leaf tensors that `output.backward()`
        would give a gradient to: the objects themselves,
            each once, in any order.

    With d = 2 * x, the graph of (d * d + b).sum() has the ops
    {"Mul": 2, "Add": 1, "Sum": 1} and the leaves x and b.

    - A name is the node's class name without trailing digits and then without the
      ending "Backward": "MulBackward0" → "Mul", "Log2Backward0" → "Log2", "MyBackward"
      (of a custom Function My) → "My".
    - The nodes of leaves (AccumulateGrad) are not operations.
    - Each node counts once, however many ways lead to it.

    Edge cases ★
        A chain of 3000 operations works. A leaf that requires grad has no ops and is
        its own only leaf. A tensor that is not tracked has neither: {} and []. A node
        with several outputs counts once.
    """
    raise NotImplementedError


def jacobian(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Differentiate every entry of f(x) with respect to every entry of x.

    Args:
        f: returns a tensor of any shape. It is called exactly once.
        x: floating-point tensor of any shape.
    Returns:
        A tensor of shape y.shape + x.shape, where y = f(x), without grad: entry [i, j]
        is ∂y[i] / ∂x[j].

    For f(x) = A @ x with A of shape (4, 3) the result is A; for y (3,) and x (2, 3) its
    shape is (3, 2, 3).
    Entries of y that do not depend on x give zeros.

    Write it without `torch.autograd.functional` and `torch.func`.

    Edge cases ★
        y or x may be 0-dim. If no entry depends on x, all are zeros. No .grad changes
        anywhere, and x stays as it was. All this holds inside the caller's
        `torch.no_grad()` as well. The result has x's dtype and device.
    """
    raise NotImplementedError


def inplace_is_safe(
    op: Callable[[Tensor], Tensor], x: Tensor, target: str = "output"
) -> bool:
    """Find out whether the output or the input of an operation may be changed in place
    before the backward pass.

    Args:
        op: maps a tensor to a new tensor.
        x: floating-point values for the trial.
        target: which tensor is changed: "output" or "input".
    Returns:
        False if autograd reports a tensor "modified by an inplace operation",
        else True.

    Try it: make a tracked copy h of x that is not a leaf, then y = op(h). Add 1 in
    place to y ("output") or to h ("input"), and run y.sum().backward(). Autograd
    complains if it saved the changed tensor: exp saves its output, sin its input, and
    x + 3 neither.

    Edge cases ★
        x stays as it was, its requires_grad and .grad included. The caller's
        `torch.no_grad()` makes no difference.
        Any other error of op or of its backward pass comes through. Any other target is
        an error.
    """
    raise NotImplementedError


class LeakyReLUFunction(torch.autograd.Function):
    """The leaky rectifier with a backward pass of its own: x where x > 0, and
    slope · x elsewhere.

    Used as `LeakyReLUFunction.apply(x, slope)`, with x a floating-point tensor of any
    shape and slope a float.
    With slope 0.1: [-2, 0, 3] → [-0.2, 0, 3], and the derivatives are [0.1, 0.1, 1]:
    x == 0 counts as elsewhere.

    backward returns one gradient for x and None for slope. It passes
    `torch.autograd.gradcheck` and `gradgradcheck`. Write it without `F.leaky_relu`.

    Edge cases ★
        All this holds for zero and negative slopes as well. Result and gradient have
        x's dtype, and x may be non-contiguous. Neither x nor the incoming gradient is
        written to. If x is changed in place between forward and backward, autograd
        raises its usual error or the gradient is still right: `ctx.save_for_backward`
        keeps what backward needs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        raise NotImplementedError
