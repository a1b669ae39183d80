"""Different: the graph as a list of edges from the last tensor on, of which the longest
way decides the order; rules written with einsum and masks; finite differences of all
elements from copies that are put back at the end.
"""

import functools


def unbroadcast(grad, shape):
    if np.broadcast_shapes(grad.shape, shape) != grad.shape:
        raise ValueError(f"{grad.shape} does not come from {shape}")
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for dim, size in enumerate(shape):
        if size == 1 and grad.shape[dim] != 1:
            grad = grad.sum(axis=dim, keepdims=True)
    return grad


def reduction_rule(node, grad):
    x, dims = node.inputs[0].data, node.saved["dim"]
    letters = "abcdefgh"[: x.ndim]
    rest = "".join(letter for d, letter in enumerate(letters) if d not in dims)
    grad, out = (
        np.reshape(array, [n for d, n in enumerate(x.shape) if d not in dims])
        for array in (grad, node.out)
    )
    chosen = np.ones(x.shape)
    if node.op == "max":
        chosen = (
            x == np.einsum(f"{letters},{rest}->{letters}", np.ones(x.shape), out)
        ).astype(float)
    if node.op != "sum":
        share = np.einsum(f"{letters}->{rest}", chosen)
        grad = grad / share
    return (np.einsum(f"{letters},{rest}->{letters}", chosen, grad),)


def shape_rule(node, grad):
    x = node.inputs[0]
    places = np.arange(x.size).reshape(x.shape)
    if node.op == "reshape":
        taken = places.reshape(grad.shape)
    elif node.op == "transpose":
        taken = np.moveaxis(
            places,
            [node.saved["dim0"], node.saved["dim1"]],
            [node.saved["dim1"], node.saved["dim0"]],
        )
    else:
        taken = places[node.saved["key"]]
    whole = np.zeros(x.size, dtype=grad.dtype)
    for place, part in zip(np.ravel(taken).tolist(), np.ravel(grad)):
        whole[place] += part
    return (whole.reshape(x.shape),)


for _op in ("sum", "mean", "max"):
    RULES[_op] = reduction_rule
for _op in ("reshape", "transpose", "index"):
    RULES[_op] = shape_rule


def backward(tensor, gradient=None, *, retain_graph=False):
    if not tensor.requires_grad:
        raise RuntimeError("the tensor requires no gradient")
    if gradient is None and tensor.size != 1:
        raise ValueError("give a gradient")
    if isinstance(gradient, Tensor):
        gradient = gradient.numpy()
    start = np.ones(tensor.shape) if gradient is None else np.asarray(gradient)
    if start.shape != tensor.shape:
        raise ValueError(f"a gradient of shape {start.shape} for {tensor.shape}")
    tensors, edges, waiting = {id(tensor): tensor}, {}, [tensor]
    while waiting:
        x = waiting.pop()
        if x.node is not None and x.node.inputs == ():
            raise RuntimeError("it was released, as retain_graph was not True")
        if x.node is not None and x.node.op not in RULES:
            raise KeyError(f"no rule for {x.node.op}")
        edges[id(x)] = [
            id(s) for s in (x.node.inputs if x.node else ()) if s.requires_grad
        ]
        for source in x.node.inputs if x.node else ():
            if source.requires_grad and id(source) not in tensors:
                tensors[id(source)] = source
                waiting.append(source)
    entering = dict.fromkeys(tensors, 0)
    for sources in edges.values():
        for source in sources:
            entering[source] += 1
    free, order = [id(tensor)], []
    while free:
        order.append(free.pop())
        for source in edges[order[-1]]:
            entering[source] -= 1
            if entering[source] == 0:
                free.append(source)
    parts = {name: [] for name in tensors}
    parts[id(tensor)].append(start.astype(tensor.dtype))
    for name in order:
        x = tensors[name]
        if not parts[name]:
            continue
        grad = functools.reduce(np.add, reversed(parts.pop(name)))
        if x.node is None:
            total = grad if x.grad is None else x.grad + grad
            x.grad = np.array(total, dtype=x.dtype)
        else:
            for source, part in zip(x.node.inputs, RULES[x.node.op](x.node, grad)):
                if source.requires_grad and part is not None:
                    parts[id(source)].append(unbroadcast(part, source.shape))
    if not retain_graph:
        for x in tensors.values():
            if x.node is not None:
                x.node.inputs, x.node.saved = (), {}


def gradcheck(fn, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-4):
    wanted = [x for x in inputs if x.requires_grad]
    if any(x.dtype != np.float64 for x in wanted):
        raise TypeError(
            f"gradcheck takes float64, not {[str(x.dtype) for x in wanted]}"
        )
    before = [(x.grad, x.data.copy()) for x in wanted]
    for x in wanted:
        x.grad = None
    backward(fn(*inputs).sum())
    ours = [
        0 * data if x.grad is None else x.grad for x, (_, data) in zip(wanted, before)
    ]

    def f():
        with no_grad():
            return float(fn(*inputs).sum().data)

    calls, theirs = 0, []
    for x, (grad, data) in zip(wanted, before):
        slopes = np.empty(x.size)
        for place in range(x.size):
            sides = []
            for sign in (1, -1):
                x.data.flat[place] = data.flat[place] + sign * eps
                sides.append(f())
                calls += 1
            x.data.flat[place] = data.flat[place]
            slopes[place] = (sides[0] - sides[1]) / 2 / eps
        theirs.append(slopes.reshape(x.shape))
        x.grad = grad
    errors = [np.abs(a - b) for a, b in zip(ours, theirs)]
    ok = all(
        (error <= atol + rtol * np.abs(slopes)).all()
        for error, slopes in zip(errors, theirs)
    )
    largest = max((float(error.max()) for error in errors), default=0.0)
    return {
        "ok": ok,
        "max_abs_error": largest,
        "numerical_forward_calls": calls,
        "backward_calls": 1,
    }
