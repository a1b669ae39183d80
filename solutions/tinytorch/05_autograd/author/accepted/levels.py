"""Different: backward walks by level, a node's level being one more than the highest of
its inputs; gradcheck moves one-hot copies; the chain by reduce.
"""

import functools


def backward(tensor, gradient=None, *, retain_graph=False):
    if not tensor.requires_grad or (gradient is None and tensor.size != 1):
        raise ValueError("nothing to start from")
    if gradient is None:
        gradient = np.ones(tensor.shape)
    if isinstance(gradient, Tensor):
        gradient = gradient.data
    if np.shape(gradient) != tensor.shape:
        raise ValueError("the gradient has another shape")
    level, waiting = {}, [tensor]
    while waiting:
        x = waiting[-1]
        if x.node is not None and x.node.saved is None:
            raise RuntimeError("a released graph: retain_graph=True keeps it")
        sources = [s for s in (x.node.inputs if x.node else ()) if s.requires_grad]
        missing = [s for s in sources if s not in level]
        if missing:
            waiting += missing
        else:
            waiting.pop()
            level[x] = 1 + max([level[s] for s in sources], default=0)
    found = {tensor: np.asarray(gradient)}
    for x in sorted(level, key=level.get, reverse=True):
        if x.node is None or x not in found:
            continue
        parts = RULES[x.node.op](x.node, found.pop(x))
        for source, part in zip(x.node.inputs, parts):
            if part is None or not source.requires_grad:
                continue
            part = unbroadcast(np.asarray(part), source.shape)
            found[source] = part if source not in found else np.add(found[source], part)
        if not retain_graph:
            x.node.inputs, x.node.saved = (), None
    for x, grad in found.items():
        if x.node is None:
            fresh = np.array(grad, dtype=x.dtype, copy=True)
            if x.grad is not None:
                fresh += x.grad
            x.grad = fresh


def gradcheck(fn, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-4):
    if any(x.requires_grad and x.dtype.name != "float64" for x in inputs):
        raise ValueError("float64 only, not float32")
    fresh = [Tensor(x.data.copy(), requires_grad=x.requires_grad) for x in inputs]
    backward(fn(*fresh).sum())
    errors, fine = [], []
    for number, x in enumerate(inputs):
        if not x.requires_grad:
            continue
        for place in range(x.size):
            step = np.zeros(x.size)
            step[place] = eps
            step = step.reshape(x.shape)
            with no_grad():
                up = (
                    fn(*inputs[:number], Tensor(x.data + step), *inputs[number + 1 :])
                    .sum()
                    .item()
                )
                down = (
                    fn(*inputs[:number], Tensor(x.data - step), *inputs[number + 1 :])
                    .sum()
                    .item()
                )
            slope = (up - down) / (2 * eps)
            ours = (
                0.0
                if fresh[number].grad is None
                else fresh[number].grad.reshape(-1)[place]
            )
            errors.append(abs(slope - ours))
            fine.append(errors[-1] <= atol + rtol * abs(slope))
    return dict(
        ok=all(fine),
        max_abs_error=max(errors),
        numerical_forward_calls=2 * len(errors),
        backward_calls=1,
    )


def depth_scaling(depths, width=20_000):
    def run(depth):
        x = Tensor(np.ones((width,), "float32"), requires_grad=True)
        return lambda: functools.reduce(lambda y, _: y * 1.0, range(depth), x)

    found = {"graph": measure_scaling(run, depths, kind="retained_bytes")}
    with no_grad():
        found["no_grad"] = measure_scaling(run, depths, kind="retained_bytes")
    return found
