"""Derivatives, gradients and the graph: what autograd records, saves, adds
and frees.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def finite_difference_gradient(
    f: Callable[[Tensor], Tensor], x: Tensor, eps: float = 1e-6
) -> Tensor:
    """Central differences, element by element, in float64."""
    x = x.detach().double()
    gradient = torch.zeros_like(x)
    for i in range(x.numel()):
        step = torch.zeros_like(x)
        step.view(-1)[i] = eps
        gradient.view(-1)[i] = (f(x + step).item() - f(x - step).item()) / (2 * eps)
    return gradient


def partial_derivatives(
    f: Callable[..., Tensor], *inputs: Tensor
) -> tuple[Tensor, ...]:
    """One gradient per input by autograd, on leaves of our own."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    return torch.autograd.grad(f(*leaves), leaves, materialize_grads=True)


def gradient_history(
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    weight: Tensor,
    inputs: Iterable[Tensor],
    zero_between: bool,
) -> list[Tensor]:
    """.grad after each backward pass."""
    w = weight.detach().requires_grad_()
    history = []
    for x in inputs:
        if zero_between:
            w.grad = None
        loss_fn(w, x).backward()
        history.append(w.grad.clone())
    return history


def frozen_target_loss(
    value_fn: Callable[[Tensor], Tensor],
    state: Tensor,
    next_state: Tensor,
    reward: Tensor,
    gamma: float = 0.9,
    how: str = "detach",
) -> Tensor:
    """A loss whose target stays out of the graph."""
    if how == "detach":
        target = (reward + gamma * value_fn(next_state)).detach()
    elif how == "no_grad":
        with torch.no_grad():
            target = reward + gamma * value_fn(next_state)
    else:
        with torch.inference_mode():
            target = reward + gamma * value_fn(next_state)
    return (value_fn(state) - target).square().mean()


def describe_graph(output: Tensor) -> dict[str, object]:
    """Walk the graph from output to its leaves, counting operations."""
    ops, leaves = Counter(), []
    seen, stack = {output.grad_fn}, [output.grad_fn]
    while stack:
        node = stack.pop()
        name = type(node).__name__
        if name == "AccumulateGrad":
            leaves.append(node.variable)
        else:
            ops[name.rstrip("0123456789").removesuffix("Backward")] += 1
        for parent, _ in node.next_functions:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return {"ops": dict(ops), "leaves": leaves}


def jacobian(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """All derivatives of f(x), one backward pass for each entry of y."""
    x = x.detach().requires_grad_()
    y = f(x)
    rows = [
        torch.autograd.grad(entry, x, retain_graph=True, materialize_grads=True)[0]
        for entry in y.flatten()
    ]
    return torch.stack(rows).reshape(y.shape + x.shape)


def inplace_is_safe(
    op: Callable[[Tensor], Tensor], x: Tensor, target: str = "output"
) -> bool:
    """Change the output or the input in place, and see whether the backward
    pass complains.
    """
    h = x.detach().requires_grad_().clone()
    y = op(h)
    (y if target == "output" else h).add_(1)
    try:
        y.sum().backward()
    except RuntimeError:
        return False
    return True


class LeakyReLUFunction(torch.autograd.Function):
    """x where x > 0, slope · x elsewhere, with a backward pass of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return torch.where(x > 0, x, slope * x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return torch.where(x > 0, grad, ctx.slope * grad), None
