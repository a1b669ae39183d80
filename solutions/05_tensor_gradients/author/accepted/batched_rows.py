# All rows of the Jacobian in one batched backward pass; unused inputs by allow_unused
# instead of materialize_grads.


def jacobian(f, x):
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        y = f(leaf)
    shape = (*y.shape, *x.shape)
    if y.grad_fn is None and y is not leaf:
        return torch.zeros(shape, dtype=x.dtype, device=x.device)
    basis = torch.diag(torch.ones_like(y).flatten()).view(y.numel(), *y.shape)
    (rows,) = torch.autograd.grad(
        y, leaf, basis, is_grads_batched=True, allow_unused=True
    )
    return leaf.new_zeros(shape) if rows is None else rows.view(shape)


def partial_derivatives(f, *inputs):
    was_on = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    try:
        leaves = [x.clone().detach().requires_grad_() for x in inputs]
        y = f(*leaves)
        if len(y.reshape(-1)) != 1:
            raise ValueError("not one element")
        y = y.sum() + 0 * sum(leaf.sum() for leaf in leaves)
        found = torch.autograd.grad(y, leaves, allow_unused=True)
        return tuple(
            torch.zeros_like(x) if g is None else g.to(x.dtype)
            for x, g in zip(inputs, found, strict=True)
        )
    finally:
        torch.set_grad_enabled(was_on)
