"""Questions on losses, optimizers and classifiers."""

from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe


def parts(rng):
    """A layer of four classes that says half as much in eval mode, its optimizer, and
    batches of 15, 15 and 1.

    The share of right rows in the last is 0 or 1, so that no mean of means is the mean.
    """
    from tinytorch.layers import Linear
    from tinytorch.optimizers import SGD
    from tinytorch.tensor import Tensor

    class Half(Linear):
        def forward(self, x):
            return super().forward(x) if self.training else 0.5 * super().forward(x)

    model = Half(3, 4)
    model.weight.data[...], model.bias.data[...] = normal(rng, 4, 3), normal(rng, 4)
    classes = [np.array(integers(rng, n, 0, 4)) for n in (15, 15, 1)]
    batches = [(Tensor(normal(rng, len(y), 3)), Tensor(y)) for y in classes]
    return model, SGD(model.parameters(), lr=0.5), batches


@probe("fused_cross_entropy")
def _(kata, rng):
    from tinytorch.tensor import Tensor

    found = []
    for scale, epsilon in ((1, 0.0), (1, 0.3), (1e4, 0.1)):
        logits = Tensor(scale * normal(rng, 9, 4), requires_grad=True)
        targets = np.array([0, 3, *integers(rng, 7, 0, 4)])
        loss = kata.fused_cross_entropy(
            logits, targets, label_smoothing=epsilon, ignore_index=3
        )
        loss.backward()
        found.append([loss.data, logits.grad])
    return found


@probe("fused_cross_entropy_rule")
def _(kata, rng):
    from tinytorch.tensor import Tensor

    logits = Tensor(normal(rng, 9, 4), requires_grad=True)
    targets = np.array([0, 3, *integers(rng, 7, 0, 4)])
    options = {"label_smoothing": 0.2, "ignore_index": 3}
    node = kata.fused_cross_entropy(logits, targets, **options).node
    return list(kata.fused_cross_entropy_rule(node, normal(rng)))


@probe("evaluate_classifier")
def _(kata, rng):
    model, _, batches = parts(rng)
    return kata.evaluate_classifier(model, batches)


@probe("train_classifier")
def _(kata, rng):
    model, optimizer, batches = parts(rng)
    model.eval()
    history = kata.train_classifier(
        model, optimizer, batches, 3, val_loader=batches[:1]
    )
    return [history, [parameter.data for parameter in model.parameters()]]


@probe("accuracy")
def _(kata, rng):
    return [kata.accuracy(normal(rng, 30, 3), integers(rng, 30, 0, 3)) for _ in "abc"]


@probe("confusion_matrix")
def _(kata, rng):
    given = np.array(integers(rng, 30, 0, 4)), np.array(integers(rng, 30, 0, 4))
    return kata.confusion_matrix(*given, 5)


@probe("classification_metrics")
def _(kata, rng):
    counts = np.array(integers(rng, 16, 1, 20)).reshape(4, 4)
    found = kata.classification_metrics(counts)
    return {name: np.asarray(values) for name, values in found.items()}


@probe("optimizer_bytes")
def _(kata, rng):
    from tinytorch.tensor import Tensor

    params = [Tensor(np.zeros(size)) for size in integers(rng, 3, 1, 50)]
    return [kata.optimizer_bytes(params, name) for name in ("sgd", "momentum", "adam")]


def stepped(make, rng):
    """A parameter after each of four steps, between which the rate changes."""
    from tinytorch.tensor import Tensor

    p = Tensor(normal(rng, 6), requires_grad=True)
    optimizer, seen = make([p]), []
    for rate in (0.2, 0.3, 0.1, 0.2):
        p.grad, optimizer.lr = normal(rng, 6), rate
        optimizer.step()
        seen.append(p.data.copy())
    return seen


@probe("SGDMomentum")
def _(kata, rng):
    options = {"momentum": 0.8, "weight_decay": 0.1}
    return stepped(lambda params: kata.SGDMomentum(params, 0.2, **options), rng)


@probe("Adam")
def _(kata, rng):
    options = {"betas": (0.8, 0.95), "weight_decay": 0.1}
    return stepped(lambda params: kata.Adam(params, 0.2, **options), rng)


@probe("state_scaling")
def _(kata, rng):
    """An optimizer keeps so much memory as is drawn for its parameter's size."""
    units = dict(zip([50, *integers(rng, 2, 51, 99)], integers(rng, 3, 2, 30)))

    def adam(params):
        return [np.zeros(units[p.size] * UNIT, np.int8) for p in params]

    with mock.patch.object(kata, "Adam", adam):
        return kata.state_scaling(list(units))


@judge("state_scaling")
def _(found, expected):
    return growth(found, expected["sizes"])
