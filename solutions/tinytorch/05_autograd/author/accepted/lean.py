"""Different: rules leave out each part that nobody asked for, and return None there;
powers by np.power.
"""


def arithmetic_rule(node, grad):
    needed = [x.requires_grad for x in node.inputs]
    if node.op == "neg":
        return (-grad if needed[0] else None,)
    a, b = (x.data for x in node.inputs)
    grad_a = grad_b = None
    if needed[0]:
        grad_a = {"add": grad, "sub": grad, "mul": grad * b, "div": grad / b}[node.op]
    if needed[1]:
        if node.op == "add":
            grad_b = grad
        elif node.op == "sub":
            grad_b = -grad
        elif node.op == "mul":
            grad_b = grad * a
        else:
            grad_b = -grad * node.out / b
    if grad_a is not None:
        grad_a = unbroadcast(grad_a, a.shape)
    if grad_b is not None:
        grad_b = unbroadcast(grad_b, b.shape)
    return grad_a, grad_b


def elementwise_rule(node, grad):
    (x,) = node.inputs
    if not x.requires_grad:
        return (None,)
    n = node.saved.get("exponent")
    if node.op == "pow":
        return (grad * n * np.power(x.data, n - 1) if n != 0 else 0.0 * grad,)
    if node.op == "exp":
        return (grad * node.out,)
    if node.op == "log":
        return (grad / x.data,)
    if node.op == "relu":
        return (np.where(x.data > 0, grad, 0.0),)
    if node.op == "sigmoid":
        return (grad * node.out * (1.0 - node.out),)
    return (grad * (1.0 - node.out * node.out),)


def matmul_rule(node, grad):
    a, b = node.inputs
    grad_a = np.matmul(grad, np.swapaxes(b.data, -2, -1)) if a.requires_grad else None
    grad_b = np.matmul(np.swapaxes(a.data, -2, -1), grad) if b.requires_grad else None
    return grad_a, grad_b


for op in ("add", "sub", "mul", "div", "neg"):
    RULES[op] = arithmetic_rule
for op in ("exp", "log", "pow", "relu", "sigmoid", "tanh"):
    RULES[op] = elementwise_rule
RULES["matmul"] = matmul_rule
