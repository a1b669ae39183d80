# Least squares by the singular values of the centred columns, tiny ones left out; the
# descent of fit_standardized in float64, on the reduced problem of covariances.


def fit_least_squares(X, y):
    X64, y64 = X.double(), y.double()
    U, S, Vh = torch.linalg.svd(X64 - X64.mean(0), full_matrices=False)
    inverse = torch.where(S > 1e-10 * S.max(), 1 / S, 0.0)
    w = Vh.mT @ (inverse.unsqueeze(1) * (U.mT @ (y64 - y64.mean(0))))
    return w.to(X.dtype), (y64.mean(0) - X64.mean(0) @ w).to(X.dtype)


def fit_standardized(X, y, lr=0.1, epochs=300):
    X64, y64 = X.double(), y.double()
    flat = (X == X[:1]).all(0)
    spread = (X64 - X64.mean(0)).square().mean(0).sqrt().masked_fill(flat, 1.0)
    scale = 1.0 if (y == y[0]).all() else (y64 - y64.mean()).square().mean().sqrt()
    Z = ((X64 - X64.mean(0)) / spread).masked_fill(flat, 0.0)
    covariance, target = Z.T @ Z / len(Z), Z.T @ ((y64 - y64.mean()) / scale) / len(Z)
    w = torch.zeros_like(target)
    for _ in range(epochs):
        w -= 2 * lr * (covariance @ w - target)
    w = w * scale / spread[:, None]
    return w.to(X.dtype), (y64.mean(0) - X64.mean(0) @ w).to(X.dtype)
