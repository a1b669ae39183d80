# optimizer.step(closure) computes the loss; one model for all optimizers, put back by a
# cloned state_dict.


class LinearRegression(nn.Module):
    def __init__(self, in_features=1, out_features=1):
        nn.Module.__init__(self)
        self.add_module("linear", nn.Linear(in_features, out_features, bias=True))

    def forward(self, x):
        return F.linear(x, self.linear.weight, self.linear.bias)


def train(model, X, y, optimizer, epochs, loss_fn=None):
    criterion = nn.MSELoss() if loss_fn is None else loss_fn
    losses = []

    def closure():
        model.zero_grad()
        loss = criterion(model.train()(X), y)
        loss.backward()
        return loss

    while len(losses) < epochs:
        losses.append(float(optimizer.step(closure)))
    return losses


def compare_optimizers(make_model, X, y, optimizers, epochs):
    model = make_model()
    start = {key: value.clone() for key, value in model.state_dict().items()}

    def curve(build):
        model.load_state_dict(start)
        return train(model, X, y, build(list(model.parameters())), epochs)

    return {name: curve(build) for name, build in optimizers.items()}
