"""Questions about inputs drawn anew in papers/26."""

import torch

from grader.lock.probes import probe


def scored(rng):
    """Scores, right classes and a margin, of drawn sizes; three times."""
    for _ in range(3):
        rows, classes = torch.randint(2, 8, (2,), generator=rng).tolist()
        scores = torch.randn(rows, classes, generator=rng, dtype=torch.float64)
        yield (
            scores,
            torch.randint(classes, (rows,), generator=rng),
            0.5 + torch.rand((), generator=rng).item(),
        )


@probe("svm_loss")
def _(kata, rng):
    return [kata.svm_loss(*given) for given in scored(rng)]


@probe("svm_loss_numpy")
def _(kata, rng):
    return [
        kata.svm_loss_numpy(scores.numpy(), y.numpy(), margin)
        for scores, y, margin in scored(rng)
    ]


@probe("knn_predict_numpy")
def _(kata, rng):
    found = []
    for k in (1 + torch.randperm(7, generator=rng))[:3].tolist():
        train_x, x = (
            torch.randn(count, 3, generator=rng, dtype=torch.float64).numpy()
            for count in (25, 30)
        )
        found.append(
            kata.knn_predict_numpy(
                train_x, torch.randint(4, (25,), generator=rng).numpy(), x, k
            )
        )
    return found


@probe("numerical_gradient")
def _(kata, rng):
    """Large steps are far from the derivative of a cube: only central differences of
    that step give these slopes.
    """
    found = []
    for sizes in ((5,), (2, 3)):
        x, weights = (
            torch.randn(*sizes, generator=rng, dtype=torch.float64) for _ in range(2)
        )
        eps = 0.2 + torch.rand((), generator=rng).item()
        found.append(
            kata.numerical_gradient(
                lambda t, weights=weights: (weights * t**3).sum(), x, eps
            )
        )
    return found


@probe("TwoLayerNet.__init__")
def _(kata, rng):
    net = kata.TwoLayerNet(*torch.randint(2, 30, (3,), generator=rng).tolist())
    return [tuple(net.W1.shape), tuple(net.W2.shape), net.b1, net.b2]


@probe("BarNet")
def _(kata, rng):
    channels, classes = torch.randint(2, 7, (2,), generator=rng).tolist()
    model = kata.BarNet(channels, classes, kernel_size=5)
    with torch.no_grad():
        for parameter in (
            model.conv.weight,
            model.conv.bias,
            model.output.weight,
            model.output.bias,
        ):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return [
        model(torch.randn(3, 1, *size, generator=rng)).detach()
        for size in ((8, 8), (11, 7))
    ]
