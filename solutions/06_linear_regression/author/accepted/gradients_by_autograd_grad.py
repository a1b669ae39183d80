# autograd.grad instead of backward, in float64 inside; new tensors instead of in-place
# updates; noise drawn before x.


def make_line_data(
    n, slope, intercept, noise=0.0, *, x_range=(-1.0, 1.0), generator=None
):
    if n <= 0:
        raise ValueError("no points")
    if noise < 0:
        raise ValueError("negative noise")
    rest = (
        torch.normal(0.0, float(noise), (n, 1), generator=generator)
        if noise
        else torch.zeros(n, 1)
    )
    X = torch.empty(n, 1).uniform_(
        float(x_range[0]), float(x_range[1]), generator=generator
    )
    return X, torch.add(intercept + rest, X, alpha=slope)


def mse_loss(pred, target):
    if list(pred.size()) != list(target.size()):
        raise ValueError(f"{pred.shape} against {target.shape}")
    difference = (target - pred).flatten()
    return difference.dot(difference) / difference.numel()


def fit_manual(X, y, lr, epochs):
    X64, y64 = X.to(torch.float64), y.to(torch.float64)
    w = torch.zeros((X.size(1), 1), dtype=torch.float64, requires_grad=True)
    b = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    losses = []
    for _ in range(epochs):
        loss = torch.mean((y64 - X64.matmul(w) - b) ** 2)
        losses += [loss.item()]
        to_w, to_b = torch.autograd.grad(loss, (w, b))
        w = (w - lr * to_w).detach().requires_grad_()
        b = (b - lr * to_b).detach().requires_grad_()
    return w.detach().to(X.dtype), b.detach().to(X.dtype), losses
