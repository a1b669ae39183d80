"""Questions that the specs of tinytorch/11 cannot ask from another process."""

import numpy as np
import torch

from grader.lock.probes import probe


def parts(rng):
    """A layer of four classes, and batches of 15, 15 and 1: the share of right rows in the last is 0 or 1, so no mean of means is the mean."""
    from tinytorch.layers import Linear
    from tinytorch.tensor import Tensor

    numbers = np.random.default_rng(int(torch.randint(1000, (), generator=rng)))
    model = Linear(3, 4)
    for parameter in model.parameters():
        parameter.data[...] = numbers.normal(size=parameter.shape)
    return model, [(Tensor(numbers.normal(size=(n, 3))), Tensor(numbers.integers(4, size=n))) for n in (15, 15, 1)]


@probe("evaluate_classifier")
def _(kata, rng):
    return kata.evaluate_classifier(*parts(rng))


@probe("train_classifier")
def _(kata, rng):
    from tinytorch.optimizers import SGD

    model, batches = parts(rng)
    history = kata.train_classifier(model, SGD(model.parameters(), lr=0.5), batches, 3, val_loader=batches[:1])
    return [history, [parameter.data for parameter in model.parameters()]]


@probe("accuracy")
def _(kata, rng):
    return kata.accuracy(torch.randn(30, 3, generator=rng).numpy(), torch.randint(3, (30,), generator=rng).numpy())


@probe("classification_metrics")
def _(kata, rng):
    found = kata.classification_metrics(torch.randint(1, 20, (4, 4), generator=rng).numpy())
    return {name: np.asarray(values) for name, values in found.items()}


@probe("optimizer_bytes")
def _(kata, rng):
    from tinytorch.tensor import Tensor

    params = [Tensor(np.zeros(size)) for size in torch.randint(1, 50, (3,), generator=rng).tolist()]
    return [kata.optimizer_bytes(params, name) for name in ("sgd", "momentum", "adam")]


def stepped(make, rng):
    from tinytorch.tensor import Tensor

    p = Tensor(torch.randn(6, generator=rng).double().numpy(), requires_grad=True)
    optimizer, seen = make([p]), []
    for _ in range(3):
        p.grad = torch.randn(6, generator=rng).double().numpy()
        optimizer.step()
        seen.append(p.data.copy())
    return seen


@probe("SGDMomentum")
def _(kata, rng):
    return stepped(lambda params: kata.SGDMomentum(params, 0.2, momentum=0.8, weight_decay=0.1), rng)


@probe("Adam")
def _(kata, rng):
    return stepped(lambda params: kata.Adam(params, 0.2, betas=(0.8, 0.95), weight_decay=0.1), rng)
