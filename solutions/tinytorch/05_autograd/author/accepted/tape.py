"""Different: a counter numbers the nodes as they are made, and backward takes the
newest first from a heap; a class as context manager; rules as tables of lambdas that
un-broadcast themselves.
"""

import contextlib
import heapq
import itertools
import weakref

_number = itertools.count()


def record_node(out, op, inputs, saved):
    if not is_grad_enabled():
        return
    for x in inputs:
        if x.requires_grad:
            out.requires_grad = True
            out.node = Node(
                op=op, inputs=tuple(inputs), saved=dict(saved), out=out.data
            )
            out.node.number = next(_number)
            break


set_recorder(record_node)


class no_grad(contextlib.ContextDecorator):
    def __init__(self):
        self.before = []

    def __enter__(self):
        global _enabled
        self.before.append(_enabled)
        _enabled = False

    def __exit__(self, *error):
        global _enabled
        _enabled = self.before.pop()


def unbroadcast(grad, shape):
    if len(shape) > grad.ndim or any(
        n not in (1, m) for n, m in zip(shape[::-1], grad.shape[::-1])
    ):
        raise ValueError(f"{shape} was never {grad.shape}")
    padded = (1,) * (grad.ndim - len(shape)) + tuple(shape)
    for dim in range(grad.ndim):
        if padded[dim] == 1:
            grad = np.add.reduce(grad, axis=dim, keepdims=True)
    return np.reshape(grad, shape)


def arithmetic_rule(node, grad):
    table = {
        "neg": lambda x: [-1.0],
        "add": lambda a, b: [1.0, 1.0],
        "sub": lambda a, b: [1.0, -1.0],
        "mul": lambda a, b: [b, a],
        "div": lambda a, b: [1 / b, -node.out / b],
    }
    local = table[node.op](*(x.data for x in node.inputs))
    return tuple(
        unbroadcast(grad * factor, x.shape) for factor, x in zip(local, node.inputs)
    )


def elementwise_rule(node, grad):
    (x,) = node.inputs
    table = {
        "exp": lambda x, y: np.exp(x),
        "log": lambda x, y: 1 / x,
        "relu": lambda x, y: np.where(x > 0, 1.0, 0.0),
        "sigmoid": lambda x, y: y - y * y,
        "tanh": lambda x, y: (1 + y) * (1 - y),
        "pow": lambda x, y: (
            0 * x
            if node.saved["exponent"] == 0
            else node.saved["exponent"] * x ** (node.saved["exponent"] - 1)
        ),
    }
    return (table[node.op](x.data, node.out) * grad,)


def reduction_rule(node, grad):
    (x,) = node.inputs
    kept = tuple(1 if d in node.saved["dim"] else n for d, n in enumerate(x.shape))
    grad = np.reshape(grad, kept)
    if node.op == "max":
        equal = (x.data == np.reshape(node.out, kept)).astype(grad.dtype)
        return (equal * (grad / equal.sum(axis=node.saved["dim"], keepdims=True)),)
    share = (
        grad
        if node.op == "sum"
        else grad / np.prod([x.shape[d] for d in node.saved["dim"]])
    )
    return (share + np.zeros_like(x.data),)


def shape_rule(node, grad):
    (x,) = node.inputs
    places = np.arange(x.size).reshape(x.shape)
    if node.op == "transpose":
        places = places.swapaxes(node.saved["dim1"], node.saved["dim0"])
    if node.op == "index":
        places = places[node.saved["key"]]
    found = np.bincount(np.ravel(places), weights=np.ravel(grad), minlength=x.size)
    return (found.reshape(x.shape),)


def matmul_rule(node, grad):
    a, b = (x.data for x in node.inputs)
    return np.einsum("...nm,...km->...nk", grad, b), np.einsum(
        "...nk,...nm->...km", a, grad
    )


for op in "add sub mul div neg".split():
    backward_rule(op)(arithmetic_rule)
for op in "exp log pow relu sigmoid tanh".split():
    backward_rule(op)(elementwise_rule)
for op in "sum mean max".split():
    backward_rule(op)(reduction_rule)
for op in "reshape transpose index".split():
    backward_rule(op)(shape_rule)
backward_rule("matmul")(matmul_rule)


def backward(tensor, gradient=None, *, retain_graph=False):
    if not tensor.requires_grad:
        raise ValueError("no gradient is required")
    if gradient is None:
        if tensor.size > 1:
            raise ValueError("a gradient is needed")
        gradient = np.ones(tensor.shape)
    gradient = np.asarray(gradient.data if isinstance(gradient, Tensor) else gradient)
    if gradient.shape != tensor.shape:
        raise ValueError("the gradient's shape is another")
    held, heap, visited = (
        {tensor: gradient},
        [(-_newness(tensor), id(tensor), tensor)],
        [],
    )
    while heap:
        _, _, x = heapq.heappop(heap)
        grad = held.pop(x)
        if x.node is None:
            x.grad = (grad if x.grad is None else grad + x.grad) * np.ones((), x.dtype)
            x.grad = np.array(x.grad, x.dtype)
            continue
        if x.node in _released:
            raise RuntimeError("released, for want of retain_graph=True")
        visited.append(x.node)
        for source, part in zip(x.node.inputs, RULES[x.node.op](x.node, grad)):
            if source.requires_grad and part is not None:
                part = unbroadcast(part, source.shape)
                if source in held:
                    held[source] = held[source] + part
                else:
                    held[source] = part
                    heapq.heappush(heap, (-_newness(source), id(source), source))
    if not retain_graph:
        for node in visited:
            _released.add(node)
            node.inputs = node.saved = node.out = ()


_released = weakref.WeakSet()


def _newness(x):
    return x.node.number if x.node else -1
