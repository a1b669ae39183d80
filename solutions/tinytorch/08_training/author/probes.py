"""Questions that the specs of tinytorch/08 cannot ask from another process."""

import torch

from grader.lock.probes import probe


@probe("evaluating")
def _(kata, rng):
    from tinytorch.autograd import is_grad_enabled
    from tinytorch.layers import Linear

    seen = []
    for training in torch.randint(2, (4,), generator=rng).bool().tolist():
        model = Linear(2, 3)
        model.train(training)
        with kata.evaluating(model):
            seen.append((model.training, is_grad_enabled()))
        seen.append((model.training, is_grad_enabled()))
    return seen


def parts(rng):
    """A layer with drawn numbers, its optimizer, and three batches."""
    from tinytorch.layers import Linear
    from tinytorch.optimizers import SGD
    from tinytorch.tensor import Tensor

    def drawn(*shape):
        return torch.randn(*shape, generator=rng).double().numpy()

    model = Linear(3, 2)
    for p in model.parameters():
        p.data[...] = drawn(*p.shape)
    batches = [(Tensor(drawn(4, 3)), Tensor(drawn(4, 2))) for _ in range(3)]
    return model, SGD(model.parameters(), lr=0.1), batches


def squared(pred, target):
    return ((pred - target) ** 2).mean()


@probe("train_step")
def _(kata, rng):
    model, optimizer, batches = parts(rng)
    losses = [kata.train_step(model, squared, optimizer, x, y) for x, y in batches]
    return [losses, [p.data for p in model.parameters()]]


@probe("train_group")
def _(kata, rng):
    model, optimizer, batches = parts(rng)
    losses = [kata.train_group(model, squared, optimizer, batches) for _ in range(2)]
    return [losses, [p.data for p in model.parameters()]]
