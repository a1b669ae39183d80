# The gradient as a formula, the bias as one more column of ones; everything under
# no_grad, the loss from the residual.


def fit_manual(X, y, lr, epochs):
    columns = torch.hstack((X, torch.ones(len(X), 1, dtype=X.dtype)))
    weights = X.new_zeros((columns.size(1), 1))
    losses = []
    with torch.no_grad():
        for _ in range(epochs):
            residual = columns @ weights - y
            losses.append(float((residual.T @ residual) / len(X)))
            weights = weights - lr * 2 / len(X) * (columns.T @ residual)
    return weights[:-1].clone(), weights[-1].clone(), losses


def fit_least_squares(X, y):
    x_mean, y_mean = X.double().mean(0, keepdim=True), y.double().mean(0, keepdim=True)
    w = torch.linalg.pinv(X.double() - x_mean) @ (y.double() - y_mean)
    b = (y_mean - x_mean @ w).squeeze(0)
    return w.type_as(X), b.type_as(X)
