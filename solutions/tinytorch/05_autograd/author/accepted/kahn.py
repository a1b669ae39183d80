"""Different: Kahn's algorithm, which counts the consumers of each tensor, and gradients
kept on the nodes.
"""

from collections import deque


def backward(tensor, gradient=None, *, retain_graph=False):
    if not tensor.requires_grad:
        raise ValueError("no gradient can be asked for")
    if gradient is None and tensor.size > 1:
        raise ValueError("which element's gradient? give one")
    start = (
        np.ones_like(tensor.data)
        if gradient is None
        else np.array(getattr(gradient, "data", gradient))
    )
    if start.shape != tensor.shape:
        raise ValueError(f"{start.shape} is not {tensor.shape}")
    consumers, tensors, queue = {tensor: 0}, [], [tensor]
    while queue:
        x = queue.pop()
        tensors.append(x)
        if x.node is not None:
            if x.node.out is None:
                raise RuntimeError("released: use retain_graph")
            if x.node.op not in RULES:
                raise NotImplementedError(f"no rule: {x.node.op}")
            for source in x.node.inputs:
                if source.requires_grad:
                    if source not in consumers:
                        consumers[source] = 0
                        queue.append(source)
                    consumers[source] += 1
    arrived = {x: [] for x in tensors}
    arrived[tensor].append(start)
    ready = deque([tensor])
    while ready:
        x = ready.popleft()
        parts = arrived.pop(x)
        grad = sum(parts[1:], start=parts[0]) if parts else None
        if x.node is None:
            if grad is not None:
                old = 0 if x.grad is None else x.grad
                x.grad = np.asarray(grad + old).astype(x.dtype).copy()
            continue
        parts = (
            [None] * len(x.node.inputs)
            if grad is None
            else RULES[x.node.op](x.node, grad)
        )
        for source, part in zip(x.node.inputs, parts):
            if source.requires_grad:
                if part is not None:
                    arrived[source].append(unbroadcast(part, source.shape))
                consumers[source] -= 1
                if consumers[source] == 0:
                    ready.append(source)
    if not retain_graph:
        for x in tensors:
            if x.node is not None:
                x.node = Node(x.node.op, (), {}, None)


def graph_report(tensor):
    nodes, queue = [], [tensor.node]
    while queue:
        node = queue.pop()
        if node is not None and not any(node is other for other in nodes):
            nodes.append(node)
            queue += [x.node for x in node.inputs]
    held = {}
    for node in nodes:
        arrays = [x.data for x in node.inputs] + [node.out, *node.saved.values()]
        for array in arrays:
            if isinstance(array, np.ndarray):
                while array.base is not None:
                    array = array.base
                held[id(array)] = array.nbytes
    names = [node.op for node in nodes]
    return {
        "nodes": len(nodes),
        "ops": {n: names.count(n) for n in names},
        "held_bytes": sum(held.values()),
    }
