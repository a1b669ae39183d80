"""Autograd: record what was computed, then walk the record backwards, once, for
all gradients.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.recorder import set_recorder
from tinytorch.setup import measure_scaling  # stub: keep
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
    if is_grad_enabled() and any(x.requires_grad for x in inputs):
        out.requires_grad = True
        out.node = Node(op, inputs, saved, out.data)


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
    global _enabled
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


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
    if shape == grad.shape:
        return grad
    if np.broadcast_shapes(shape, grad.shape) != grad.shape:
        raise ValueError(f"shape {shape} does not broadcast to {grad.shape}")
    added = grad.ndim - len(shape)
    repeated = tuple(d for d in range(grad.ndim) if d < added or shape[d - added] == 1)
    return grad.sum(axis=repeated).reshape(shape)


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
    if node.op == "neg":
        return (-grad,)
    a, b = (x.data for x in node.inputs)
    if node.op == "add":
        return grad, grad
    if node.op == "sub":
        return grad, -grad
    if node.op == "mul":
        return grad * b, grad * a
    return grad / b, -grad * a / b**2


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
    x, out = node.inputs[0].data, node.out
    if node.op == "exp":
        return (grad * out,)
    if node.op == "log":
        return (grad / x,)
    if node.op == "pow":
        exponent = node.saved["exponent"]
        if exponent == 0:
            return (np.zeros_like(grad),)
        return (grad * exponent * x ** (exponent - 1),)
    if node.op == "relu":
        return (grad * (out > 0),)
    if node.op == "sigmoid":
        return (grad * out * (1 - out),)
    return (grad * (1 - out**2),)


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
    x = node.inputs[0].data
    out = node.out
    if not node.saved["keepdim"]:
        grad, out = (
            np.expand_dims(grad, node.saved["dim"]),
            np.expand_dims(out, node.saved["dim"]),
        )
    if node.op == "sum":
        return (np.broadcast_to(grad, x.shape),)
    if node.op == "mean":
        return (np.broadcast_to(grad / (x.size / out.size), x.shape),)
    largest = x == out
    return (grad * largest / largest.sum(axis=node.saved["dim"], keepdims=True),)


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
    x = node.inputs[0].data
    if node.op == "reshape":
        return (grad.reshape(x.shape),)
    if node.op == "transpose":
        return (grad.swapaxes(node.saved["dim0"], node.saved["dim1"]),)
    whole = np.zeros(x.shape, dtype=grad.dtype)
    np.add.at(whole, node.saved["key"], grad)
    return (whole,)


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
    a, b = (x.data for x in node.inputs)
    return grad @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ grad


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
    if not tensor.requires_grad:
        raise ValueError("this tensor does not require a gradient")
    if gradient is None:
        if tensor.size != 1:
            raise ValueError(
                f"a tensor of shape {tensor.shape} needs a gradient of that shape"
            )
        gradient = np.ones(tensor.shape)
    gradient = np.asarray(
        gradient.data if isinstance(gradient, Tensor) else gradient, dtype=tensor.dtype
    )
    if gradient.shape != tensor.shape:
        raise ValueError(
            f"the gradient has shape {gradient.shape}, the tensor {tensor.shape}"
        )
    order = _consumers_first(tensor)
    nodes = [x.node for x in order if x.node is not None]
    for node in nodes:
        if not node.inputs:
            raise RuntimeError(
                "this graph was released by an earlier backward: pass "
                "retain_graph=True there"
            )
        if node.op not in RULES:
            raise NotImplementedError(
                f"no gradient rule for {node.op}: register one with @backward_rule"
            )
    grads = {id(tensor): gradient}
    for x in order:
        grad = grads.pop(id(x), None)
        if grad is None:  # every part was None
            continue
        if x.node is None:
            # a copy: the leaf's own
            x.grad = np.array(grad if x.grad is None else x.grad + grad, dtype=x.dtype)
            continue
        for source, part in zip(x.node.inputs, RULES[x.node.op](x.node, grad)):
            if source.requires_grad and part is not None:
                part, before = unbroadcast(part, source.shape), grads.get(id(source))
                grads[id(source)] = part if before is None else before + part
    if not retain_graph:
        for node in nodes:
            node.inputs, node.saved = (), {}


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
    wanted = [x for x in inputs if x.requires_grad]
    for x in wanted:
        if x.dtype != np.float64:
            raise ValueError(f"gradcheck needs float64, got {x.dtype}")
    before = [x.grad for x in wanted]
    for x in wanted:
        x.grad = None
    fn(*inputs).sum().backward()
    computed = [np.zeros(x.shape) if x.grad is None else x.grad for x in wanted]
    for x, grad in zip(wanted, before):
        x.grad = grad
    calls, ok, largest = 0, True, 0.0
    with no_grad():
        for x, grad in zip(wanted, computed):
            for place in np.ndindex(x.shape):
                here = x.data[place]
                values = []
                for moved in (here + eps, here - eps):
                    x.data[place] = moved
                    values.append(fn(*inputs).sum().item())
                    calls += 1
                x.data[place] = here
                numerical = (values[0] - values[1]) / (2 * eps)
                error = abs(float(grad[place]) - numerical)
                largest = max(largest, error)
                ok = ok and error <= atol + rtol * abs(numerical)
    return {
        "ok": ok,
        "max_abs_error": largest,
        "numerical_forward_calls": calls,
        "backward_calls": 1,
    }


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
    ops: dict[str, int] = {}
    blocks: dict[int, int] = {}
    for node in (x.node for x in _consumers_first(tensor) if x.node is not None):
        ops[node.op] = ops.get(node.op, 0) + 1
        saved = [
            value for value in node.saved.values() if isinstance(value, np.ndarray)
        ]
        for array in [*(x.data for x in node.inputs), node.out, *saved]:
            while isinstance(array.base, np.ndarray):
                array = array.base
            blocks[id(array)] = array.nbytes
    return {"nodes": sum(ops.values()), "ops": ops, "held_bytes": sum(blocks.values())}


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

    def build(depth: int) -> Callable[[], Tensor]:
        x = Tensor(np.ones(width, dtype=np.float32), requires_grad=True)
        return lambda: _chain(x, depth)

    graph = measure_scaling(build, depths, kind="retained_bytes")
    with no_grad():
        return {
            "graph": graph,
            "no_grad": measure_scaling(build, depths, kind="retained_bytes"),
        }


def _consumers_first(tensor: Tensor) -> list[Tensor]:
    """Every tensor of the graph that requires a gradient, each after all that were
    computed from it.
    """
    order: list[Tensor] = []
    seen: set[int] = set()
    stack: list[tuple[Tensor, bool]] = [(tensor, False)]
    while stack:
        x, done = stack.pop()
        if done:
            order.append(x)
        elif id(x) not in seen:
            seen.add(id(x))
            stack.append((x, True))
            stack += [
                (source, False)
                for source in (x.node.inputs if x.node else ())
                if source.requires_grad
            ]
    return order[::-1]


def _chain(x: Tensor, depth: int) -> Tensor:
    for _ in range(depth):
        x = x * 1.0
    return x
