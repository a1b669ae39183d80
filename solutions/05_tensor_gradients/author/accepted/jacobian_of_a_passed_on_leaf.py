# The leaf goes to f through a custom Function that passes everything on.


class PassedOn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return grad


def jacobian(f, x):
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        y = f(PassedOn.apply(leaf))
    result = torch.zeros(y.numel(), *x.shape, dtype=x.dtype, device=x.device)
    if y.requires_grad:
        for i, entry in enumerate(torch.eye(y.numel(), dtype=y.dtype, device=y.device)):
            (row,) = torch.autograd.grad(
                y, leaf, entry.reshape(y.shape), retain_graph=True, allow_unused=True
            )
            if row is not None:
                result[i] = row
    return result.reshape(y.shape + x.shape)
