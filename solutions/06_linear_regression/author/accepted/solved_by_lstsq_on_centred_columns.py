# lstsq with the SVD driver on centred columns; fit_manual with nn.Parameters and one
# stacked gradient.


def fit_least_squares(X, y):
    means = X.double().mean(dim=0), y.double().mean(dim=0)
    found = torch.linalg.lstsq(
        X.double() - means[0], y.double() - means[1], driver="gelss"
    )
    return found.solution.to(X.dtype), (means[1] - means[0] @ found.solution).to(
        X.dtype
    )


def fit_manual(X, y, lr, epochs):
    both = torch.nn.Parameter(torch.zeros(X.shape[1] + 1, 1, dtype=X.dtype))
    losses = []
    for _ in range(epochs):
        both.grad = None
        loss = (X @ both[:-1] + both[-1] - y).pow(2).sum() / y.numel()
        loss.backward()
        losses.append(loss.item())
        both.data.sub_(lr * both.grad)
    return both.data[:-1], both.data[-1], losses
