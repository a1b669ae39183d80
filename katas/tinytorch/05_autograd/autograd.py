"""Autograd: record what was computed, then walk the record backwards, once, for
all gradients.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.recorder import set_recorder
from tinytorch.setup import measure_scaling
from tinytorch.tensor import Tensor

Rule = Callable[["Node", np.ndarray], tuple[np.ndarray | None, ...]]


@dataclass(eq=False)
class Node:
    """The origin of a tensor: the operation's name, its input tensors, what it saved,
    and the array of its output.
    """

    op: str
    inputs: tuple[Tensor, ...]
    saved: dict[str, Any]
    out: np.ndarray


_enabled = True  # whether operations are recorded


def is_grad_enabled() -> bool:
    """Say whether operations are recorded."""
    return _enabled


def record_node(
    out: Tensor, op: str, inputs: tuple[Tensor, ...], saved: dict[str, Any]
) -> None:
    """Put a node on the output of an operation if its gradient may be asked for. Every
    operation calls this.

    Args:
        out: what the operation made. Its `node` is None, its `requires_grad` False.
        op: the operation's name, such as "mul".
        inputs: its input tensors.
        saved: what else its gradient needs, such as {"exponent": 3}.

    If `is_grad_enabled()` and at least one input requires a gradient, `out` requires
    one, too, and `out.node` is a Node of all this and `out.data`. Otherwise
    nothing changes.
    """
    raise NotImplementedError


set_recorder(record_node)


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside the block: `with no_grad(): …`.

    The module's variable `_enabled`, which `is_grad_enabled()` returns, is False inside
    the block. After the block it has the value from before, so that blocks can
    be nested.

    `@contextmanager` makes a block of a generator with one `yield`: the code before the
    `yield` runs at the start of the block, the code after it at the end.

    Edge cases ★
        The earlier state returns after an exception in the block as well. `@no_grad()`
        works as a decorator.
    """
    raise NotImplementedError


def unbroadcast(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Add up what broadcasting repeated.

    Args:
        grad: the gradient of a broadcast array.
        shape: the shape before broadcasting. It may have fewer dimensions, and sizes of
            1 where `grad` has more.
    Returns:
        An array of that shape. An element that was used several times gets the sum of
        its gradients: for a grad of ones with shape (5, 2, 3), the shape (2, 1)
        gives [[15], [15]].

    Edge cases ★
        A shape that cannot be broadcast to that of `grad` is an error.
    """
    raise NotImplementedError


RULES: dict[str, Rule] = {}


def backward_rule(op: str) -> Callable[[Rule], Rule]:
    """Register the decorated function as the gradient rule of an operation. A later one
    replaces it.
    """

    def register(rule: Rule) -> Rule:
        RULES[op] = rule
        return rule

    return register


def arithmetic_rule(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """Carry a gradient back through one of "add", "sub", "mul", "div" and "neg".

    Args:
        node: has `op` and `inputs` (a, b), tensors whose shapes broadcast; (x,)
            for "neg".
        grad: the gradient of the output, of its shape.
    Returns:
        The gradients of the inputs, always a tuple. They may keep the shape of the
        output: `backward` un-broadcasts them. "sub" gives (grad, -grad).
    """
    raise NotImplementedError


def elementwise_rule(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """Carry a gradient back through one of "exp", "log", "pow", "relu", "sigmoid"
    and "tanh".

    Args:
        node: has `op`, `inputs` (x,), and `out`, the array that the operation made of
            x. For "pow", `node.saved["exponent"]` is a Python number.
        grad: the gradient of the output, of its shape.
    Returns:
        (gradient of x,): grad times the derivative at each element. "exp" gives (grad *
        node.out,). "relu" has the derivative 0 at 0.

    Edge cases ★
        "pow" with exponent 0 has the gradient 0 everywhere, also at x = 0.
    """
    raise NotImplementedError


def reduction_rule(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """Carry a gradient back through one of "sum", "mean" and "max".

    Args:
        node: has `op`, `inputs` (x,) and `out`. `node.saved["dim"]` is a tuple with all
            reduced dimensions, non-negative; `node.saved["keepdim"]` says whether the
            output still has them, as 1.
        grad: the gradient of the output, of its shape.
    Returns:
        (gradient of x,), of the shape of x. Of a "max", the largest element gets
        everything, the others 0. A "sum" of [1, 2, 3] with grad 5 gives [5, 5, 5].

    Edge cases ★
        Elements that are largest together share the gradient equally.
    """
    raise NotImplementedError


def shape_rule(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """Carry a gradient back through one of "reshape", "transpose" and "index".

    Args:
        node: has `op` and `inputs` (x,). `node.saved` has "dim0" and "dim1" for
            "transpose", and "key" for "index", whose output was x.data[key].
        grad: the gradient of the output, of its shape.
    Returns:
        (gradient of x,), of the shape of x: each element's gradient where the element
        came from.

    - An element that "index" left out has the gradient 0.
    - One that it took several times gets the sum: for x of three elements and key
      [0, 0, 2], grad [1, 2, 3] gives [3, 0, 3].
    """
    raise NotImplementedError


def matmul_rule(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """Carry a gradient back through a @ b.

    Args:
        node: has `inputs` (a, b): (..., n, k) and (..., k, m). The leading dimensions,
            any number, broadcast.
        grad: (..., n, m), the gradient of the product.
    Returns:
        The gradients of a and b. Their leading dimensions may be those of the product:
        `backward` un-broadcasts them.
    """
    raise NotImplementedError


RULES.update(dict.fromkeys(("add", "sub", "mul", "div", "neg"), arithmetic_rule))
RULES.update(
    dict.fromkeys(("exp", "log", "pow", "relu", "sigmoid", "tanh"), elementwise_rule)
)
RULES.update(dict.fromkeys(("sum", "mean", "max"), reduction_rule))
RULES.update(dict.fromkeys(("reshape", "transpose", "index"), shape_rule))
RULES.update({"matmul": matmul_rule})


def backward(
    tensor: Tensor, gradient: Any = None, *, retain_graph: bool = False
) -> None:
    """Add the gradient of `tensor` to the `.grad` of every leaf that it was
    computed from.

    A leaf requires a gradient and has no node. Only leaves get a `.grad`. For
    y = x*x + x at x = 3, x.grad becomes 7.

    Args:
        tensor: usually a loss, of one element.
        gradient: the gradient to start with, an array of its shape. None means 1.
        retain_graph: keep the graph. By default, each node loses its `inputs` and
            `saved`, which frees their memory.

    - Call `RULES[node.op](node, grad)` once per node, after all consumers of its output
      have added their parts.
    - Inputs that require no gradient are skipped. Every other part goes
      through `unbroadcast`.
    - Add to a `.grad` that is not None.

    Edge cases ★
        Chains of 5000 operations work. A `.grad` is an array of the leaf's dtype that
        shares memory with no other array. A part may be None, which adds nothing.
        `gradient` may be a Tensor. Errors: a tensor that does not require a gradient;
        several elements and no gradient; a gradient of another shape; an operation
        without a rule (the message names it); a released graph (the message
        names retain_graph).
    """
    raise NotImplementedError


def gradcheck(
    fn: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-4,
) -> dict[str, Any]:
    """Compare the gradients of f = `fn(*inputs).sum()` by one `backward` with
    central differences.

    The difference for one element is (f(element + eps) - f(element - eps)) / (2 · eps),
    computed under `no_grad`.
    Each element of each input that requires a gradient is checked.

    Args:
        fn: returns one tensor.
        inputs: float64 tensors.
    Returns:
        - "ok": whether each error is at most atol + rtol · |difference|.
        - "max_abs_error": the largest error.
        - "numerical_forward_calls": 2 per checked element.
        - "backward_calls": 1.

    Edge cases ★
        Afterwards, the inputs have the same values and the same `.grad` as before. An
        input that the result does not depend on has the gradient 0. One that requires a
        gradient and is not float64 is an error that names its dtype.
    """
    raise NotImplementedError


def graph_report(tensor: Tensor) -> dict[str, Any]:
    """Count the nodes behind a tensor, and the bytes that they keep in memory.

    Args:
        tensor: the last one of a graph. Its own node counts; each node counts once.
    Returns:
        - "nodes": the number of nodes.
        - "ops": a dict from an operation's name to its number of nodes.
        - "held_bytes": the bytes of all blocks of memory that nodes hold: the arrays of
          their inputs (leaves and constants, too), `out`, and the arrays among the
          values of `saved`.

    A block counts once, and as a whole, however many views of it there are. The `base`
    of a view is the array that it is a view of.
    """
    raise NotImplementedError


def depth_scaling(depths: Sequence[int], width: int = 20_000) -> dict[str, Any]:
    """Measure the memory that a chain of operations retains, with and without a graph.

    The chain is y = y * 1.0, `depth` times, and starts from float32 ones that require
    a gradient.

    Args:
        depths: the numbers of operations.
        width: the number of elements.
    Returns:
        {"graph": …, "no_grad": …}: each a result of `measure_scaling` over the depths,
        of the kind "retained_bytes". The second chain runs under `no_grad`. The
        exponents are 1 and 0.
    """
    raise NotImplementedError
