"""Questions that the specs of tinytorch/11 cannot ask from another process."""

import numpy as np
import torch

from grader.lock.probes import probe, there


def made(kata, weight, bias):
    """A layer with these numbers that says half as much in eval mode, and an optimizer
    of its parameters.
    """
    from tinytorch.layers import Linear
    from tinytorch.optimizers import SGD

    class Half(Linear):
        def forward(self, x):
            return super().forward(x) if self.training else 0.5 * super().forward(x)

    model = Half(weight.shape[1], weight.shape[0])
    model.weight.data[...], model.bias.data[...] = weight, bias
    return model, SGD(model.parameters(), lr=0.5)


def parts(kata, rng):
    """A layer of four classes, its optimizer, and batches of 15, 15 and 1.

    The share of right rows in the last is 0 or 1, so that no mean of means is the mean.
    """
    from tinytorch.tensor import Tensor

    def drawn(*shape):
        return torch.randn(*shape, generator=rng).numpy()

    model, optimizer = there(kata, made, drawn(4, 3), drawn(4))
    classes = [torch.randint(4, (n,), generator=rng).numpy() for n in (15, 15, 1)]
    return model, optimizer, [(Tensor(drawn(len(y), 3)), Tensor(y)) for y in classes]


@probe("evaluate_classifier")
def _(kata, rng):
    model, _, batches = parts(kata, rng)
    return kata.evaluate_classifier(model, batches)


@probe("train_classifier")
def _(kata, rng):
    model, optimizer, batches = parts(kata, rng)
    model.eval()
    history = kata.train_classifier(
        model, optimizer, batches, 3, val_loader=batches[:1]
    )
    return [history, [parameter.data for parameter in model.parameters()]]


@probe("accuracy")
def _(kata, rng):
    return kata.accuracy(
        torch.randn(30, 3, generator=rng).numpy(),
        torch.randint(3, (30,), generator=rng).numpy(),
    )


@probe("classification_metrics")
def _(kata, rng):
    found = kata.classification_metrics(
        torch.randint(1, 20, (4, 4), generator=rng).numpy()
    )
    return {name: np.asarray(values) for name, values in found.items()}


@probe("optimizer_bytes")
def _(kata, rng):
    from tinytorch.tensor import Tensor

    params = [
        Tensor(np.zeros(size))
        for size in torch.randint(1, 50, (3,), generator=rng).tolist()
    ]
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
    return stepped(
        lambda params: kata.SGDMomentum(params, 0.2, momentum=0.8, weight_decay=0.1),
        rng,
    )


@probe("Adam")
def _(kata, rng):
    return stepped(
        lambda params: kata.Adam(params, 0.2, betas=(0.8, 0.95), weight_decay=0.1), rng
    )


@probe("state_scaling")
def _(kata, rng):
    counts = (2 + torch.randperm(40, generator=rng)[:3]).mul(25_000).tolist()
    found = kata.state_scaling(counts)
    slope = np.polyfit(np.log(counts), np.log(found["values"]), 1)[0]
    return [
        found["sizes"],
        [round(value / 8 / 25_000) for value in found["values"]],
        found["exponent"] / slope,
    ]
