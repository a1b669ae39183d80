# fit_standardized through LinearRegression and SGD, from a random start and with
# spreads over N - 1: columns without spread are left out of the fit. Models of the race
# are made anew and loaded with the first one's weights.


def fit_standardized(X, y, lr=0.1, epochs=300):
    varies = X.max(dim=0).values > X.min(dim=0).values
    used = X[:, varies]
    x_mean, x_std = used.mean(0), used.std(0)
    y_std = y.std() if bool(y.max() > y.min()) else y.new_ones(())
    model = LinearRegression(max(1, used.shape[1])).to(X.dtype)
    standard = (
        (used - x_mean) / x_std
        if varies.any()
        else torch.zeros(len(X), 1, dtype=X.dtype)
    )
    train(
        model,
        standard,
        (y - y.mean()) / y_std,
        torch.optim.SGD(model.parameters(), lr=lr),
        epochs,
    )
    with torch.no_grad():
        w = torch.zeros(X.shape[1], 1, dtype=X.dtype)
        if varies.any():
            w[varies] = (model.linear.weight * y_std / x_std).T
        b = model.linear.bias * y_std + y.mean() - X.mean(0) @ w
    return w, b


def compare_optimizers(make_model, X, y, optimizers, epochs):
    weights, curves = None, dict.fromkeys(optimizers)
    for name in optimizers:
        model = make_model()
        if weights is None:
            weights = copy.deepcopy(model.state_dict())
        model.load_state_dict(weights)
        curves[name] = train(model, X, y, optimizers[name](model.parameters()), epochs)
    return curves


def train(model, X, y, optimizer, epochs, loss_fn=nn.functional.mse_loss):
    def one_epoch():
        model.train()
        optimizer.zero_grad(set_to_none=False)
        loss = (loss_fn or nn.MSELoss())(model(X), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return [one_epoch() for _ in range(epochs)]
