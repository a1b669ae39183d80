"""Derivatives, gradients and the graph: what autograd records, saves, adds up and frees."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def finite_difference_gradient(f: Callable[[Tensor], Tensor], x: Tensor, eps: float = 1e-6) -> Tensor:
    """Estimate the gradient of f at x from values of f alone, without autograd.

    Args:
        f: takes a tensor of x's shape and returns one element, of whatever shape: (), (1,), (1, 1), …
        x: the point, of any shape.
        eps: how far each element is moved, once up and once down.
    Returns:
        A float64 tensor of x's shape that does not require grad. Where only element i of x is moved, its entry i is
        (f(x + eps) - f(x - eps)) / (2 * eps), the central difference.

    For f(x) = x³ at x = 2 and eps = 0.01 this is (2.01³ - 1.99³) / 0.02 = 12.0001; calculus says 12.

    Everything happens in float64 whatever x's dtype, float32 and integers included: f is called with float64 tensors.
    x may be 0-dim or not contiguous, and is not changed.

    Raises:
        ValueError: f does not return exactly one element.
    """
    raise NotImplementedError


def partial_derivatives(f: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
    """Differentiate f with respect to each of its inputs, at their present values.

    Args:
        f: called as f(*inputs); returns one element, of whatever shape: (), (1,), (1, 1), …
        inputs: floating-point tensors of any shapes, with or without requires_grad.
    Returns:
        One gradient per input, in order, each of its input's shape and dtype; none requires grad.

    For f(x, y) = x² · y at x = 3, y = 5 the partials are 2xy = 30 and x² = 9.

    An input that f does not use gets zeros, and so does every input of a constant f. A tensor that is passed twice
    stands for two variables, and each position gets its own partial. The call leaves everything as it was: the
    inputs, their requires_grad, and every .grad, also that of parameters f closes over. It works inside the caller's
    `torch.no_grad()`, and that mode holds afterwards as before.

    Raises:
        ValueError: f does not return exactly one element, constant or not.
    """
    raise NotImplementedError


def gradient_history(
    loss_fn: Callable[[Tensor, Tensor], Tensor], weight: Tensor, inputs: Iterable[Tensor], zero_between: bool
) -> list[Tensor]:
    """Run one backward pass per input and record what stands in the weight's .grad after each.

    Args:
        loss_fn: called as loss_fn(w, input), once for each input in turn; returns a 0-dim loss.
        weight: the values that w starts from.
        inputs: any iterable of tensors, an iterator included.
        zero_between: True gives the gradient of each loss alone; False lets `backward()` add each one to those before.
    Returns:
        One snapshot of w.grad per input, in order. Snapshots do not change later and do not require grad.

    If the losses have gradients 2, 3 and 10, the history is [2, 3, 10] with zero_between and [2, 5, 15] without.

    w is a private copy that requires grad: weight, its requires_grad and its .grad stay as they were, even if loss_fn
    writes to w, and a .grad that weight had before the call does not count. No input gives [].
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
    """Compare a prediction with a target that the same function made, and let only the prediction learn.

    Args:
        value_fn: maps states (N, D) to one value for each (N,).
        state: (N, D).
        next_state: (N, D).
        reward: (N,).
        gamma: how much the next state's value counts.
        how: what keeps the target out of the graph:
            "detach" calls value_fn(next_state) in the ordinary way and detaches afterwards,
            "no_grad" calls value_fn(next_state) inside `torch.no_grad()`,
            "inference_mode" calls value_fn(next_state) inside `torch.inference_mode()`.
    Returns:
        The 0-dim mean over N of (value_fn(state) - target)², where target = reward + gamma * value_fn(next_state).

    The target counts as a constant: no gradient reaches next_state, reward, or through the target the parameters of
    value_fn. The call value_fn(state) stands outside these modes and is tracked, whatever `how` is, so that loss and
    gradient are the same in all three.

    Raises:
        ValueError: `how` is none of the three.
    Source: the temporal-difference target of Sutton and Barto, Reinforcement Learning, section 6.1.
    """
    raise NotImplementedError


def describe_graph(output: Tensor) -> dict[str, object]:
    """List what autograd recorded on the way to `output`: how many operations of each kind, and from which leaves.

    Args:
        output: any tensor.
    Returns:
        A dict with the keys
        "ops": dict from operation name to the number of nodes of that name reachable from output.grad_fn,
        "leaves": list of the leaf tensors that `output.backward()` would give a gradient to: the tensor objects
            themselves, each once, in any order.

    With d = 2 * x, the graph of (d * d + b).sum() has the ops {"Mul": 2, "Add": 1, "Sum": 1} and the leaves x and b.

    The name of an operation is the class name of its node without trailing digits and then without the ending
    "Backward": "MulBackward0" → "Mul", "Log2Backward0" → "Log2", and "MyBackward", the node of a custom Function My,
    → "My". The nodes that stand for leaves (AccumulateGrad) are no operations. A node that is reached on several ways
    counts once; a chain of 3000 operations is no problem. A leaf that requires grad has no ops and is its own only
    leaf; a tensor that is not tracked has neither: {} and [].
    """
    raise NotImplementedError


def jacobian(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Differentiate every entry of f(x) with respect to every entry of x.

    Args:
        f: made of ordinary torch operations; returns a tensor of any shape, 0-dim included. It is called exactly once.
        x: floating-point tensor of any shape, 0-dim included.
    Returns:
        A tensor of shape y.shape + x.shape, where y = f(x), with x's dtype and device: entry [i, j] is ∂y[i] / ∂x[j],
        with as many indices i as y has dimensions and as many j as x has.

    For f(x) = A @ x with A of shape (4, 3) the result is A; for y (3,) and x (2, 3) its shape is (3, 2, 3).

    Entries of y that do not depend on x give zeros, also when none of them does. The result does not require grad, no
    .grad changes anywhere, x stays as it was, and all this holds inside the caller's `torch.no_grad()` as well.
    `torch.autograd.functional` and `torch.func` are not allowed.
    """
    raise NotImplementedError


def inplace_is_safe(op: Callable[[Tensor], Tensor], x: Tensor, target: str = "output") -> bool:
    """Find out whether the output or the input of an operation may be changed in place before the backward pass.

    Args:
        op: maps a tensor to a new tensor.
        x: floating-point tensor, the values to try it with.
        target: which tensor is changed: "output" or "input".
    Returns:
        False if autograd reports a tensor "modified by an inplace operation", else True.

    The trial: a copy h of x that is tracked and not a leaf, then y = op(h), then 1 is added in place to y ("output")
    or to h ("input"), then y.sum().backward(). Autograd reports a change exactly if it saved the changed tensor:
    exp saves its output, sin its input, and adding or multiplying by a constant saves neither.

    x stays as it was, its requires_grad and .grad included. The caller's `torch.no_grad()` makes no difference. Any
    other error, whether it comes from op or from its backward pass, comes through.

    Raises:
        ValueError: target is neither of the two.
    """
    raise NotImplementedError


class LeakyReLUFunction(torch.autograd.Function):
    """The leaky rectifier with a backward pass of its own: x where x > 0, and slope · x elsewhere.

    Used as `LeakyReLUFunction.apply(x, slope)`, with x a floating-point tensor of any shape and slope a float of any
    sign; the result has x's shape and dtype. With slope 0.1: [-2, 0, 3] → [-0.2, 0, 3], and the derivatives are
    [0.1, 0.1, 1], for x == 0 counts as elsewhere.

    There is one gradient for x and none for slope. It passes `torch.autograd.gradcheck` and `gradgradcheck`, for
    slopes below zero and above one too. Neither x nor the incoming gradient is written to. If x is changed in place
    between forward and backward, autograd raises its usual error or the gradient is still right: what backward needs
    goes through `ctx.save_for_backward`. `F.leaky_relu` is not allowed.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        raise NotImplementedError
