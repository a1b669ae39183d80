# Gradients by backward(inputs=…), which leaves every other leaf alone, and read from
# .grad of fresh leaves.


def partial_derivatives(f, *inputs):
    with torch.set_grad_enabled(True):
        leaves = tuple(
            torch.empty_like(x).copy_(x.detach()).requires_grad_(True) for x in inputs
        )
        y = f(*leaves)
    if y.numel() == 1:
        if y.requires_grad:
            y.backward(inputs=leaves)
        return tuple(
            torch.zeros_like(leaf, requires_grad=False)
            if leaf.grad is None
            else leaf.grad
            for leaf in leaves
        )
    raise ValueError(tuple(y.shape))


def jacobian(f, x):
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        y = f(leaf)
        entries = list(y.reshape(-1))
    rows = []
    for entry in entries:
        leaf.grad = None
        if entry.requires_grad:
            entry.backward(inputs=[leaf], retain_graph=True)
        rows.append(
            torch.zeros_like(x, requires_grad=False)
            if leaf.grad is None
            else leaf.grad.clone()
        )
    return torch.stack(rows).reshape(tuple(y.shape) + tuple(x.shape))
