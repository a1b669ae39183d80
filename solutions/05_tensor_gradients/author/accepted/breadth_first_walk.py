# The graph level by level, a Counter, AccumulateGrad told by its variable, names by a
# regular expression.
import re
from collections import Counter, deque


def describe_graph(output):
    if not output.requires_grad:
        return {"leaves": [], "ops": {}}
    if output.is_leaf:
        return {"leaves": [output], "ops": Counter()}
    nodes, queue = [], deque([output.grad_fn])
    seen = set()
    while queue:
        node = queue.popleft()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes.append(node)
        queue.extend(parent for parent, _ in node.next_functions)
    ends = [node for node in nodes if hasattr(node, "variable")]
    ops = Counter(
        re.sub(r"(Backward)?\d*$", "", node.__class__.__name__)
        for node in nodes
        if node not in ends
    )
    return {"leaves": [end.variable for end in ends], "ops": ops}
