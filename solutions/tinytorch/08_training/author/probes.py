"""Questions on training loops, with a layer that says half as much in eval mode."""

from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe


def parts(rng, lengths):
    """A layer with drawn numbers, its optimizer, and batches of these lengths."""
    from tinytorch.layers import Linear
    from tinytorch.optimizers import SGD
    from tinytorch.tensor import Tensor

    class Half(Linear):
        def forward(self, x):
            return super().forward(x) if self.training else 0.5 * super().forward(x)

    model = Half(3, 2)
    model.weight.data[...], model.bias.data[...] = normal(rng, 2, 3), normal(rng, 2)
    batches = [(Tensor(normal(rng, n, 3)), Tensor(normal(rng, n, 2))) for n in lengths]
    return model, SGD(model.parameters(), lr=0.1), batches


def squared(pred, target):
    return ((pred - target) ** 2).mean()


def numbers_of(model):
    return [p.data for p in model.parameters()]


@probe("evaluating")
def _(kata, rng):
    model, _, [(x, _)] = parts(rng, [4])
    seen = []
    for training in integers(rng, 12, 0, 2):
        model.train(bool(training))
        with kata.evaluating(model):
            inside = model(x)
        outside = model(x)
        seen += [y.data for y in (inside, outside)] + [inside.requires_grad]
    return seen


@probe("train_step")
def _(kata, rng):
    model, optimizer, batches = parts(rng, (4, 4, 4))
    losses = [kata.train_step(model, squared, optimizer, x, y) for x, y in batches]
    return [losses, numbers_of(model), [p.grad for p in model.parameters()]]


@probe("train_group")
def _(kata, rng):
    model, optimizer, batches = parts(rng, (4, 4, 4))
    losses = [kata.train_group(model, squared, optimizer, batches) for _ in range(2)]
    return [losses, numbers_of(model)]


@probe("train")
def _(kata, rng):
    """Equal batches, as other lengths are an edge; the last group has one of them. Each
    epoch leaves the model in eval mode, and one of them ends it all.
    """
    model, optimizer, batches = parts(rng, (4, 4, 4, 4, 4))
    [last], told = integers(rng, 1, 1, 5), []

    def on_epoch(epoch, history):
        model.eval()
        told.append([epoch, len(history["train_loss"])])
        return False if epoch == last else (0, None, [], "")[epoch % 4]

    given = model, squared, optimizer, batches
    first = kata.train(*given, 9, on_epoch=on_epoch)
    more = kata.train(*given, 2, val_data=batches[1:], accumulation_steps=2)
    return [first, told, more, numbers_of(model)]


@probe("evaluate")
def _(kata, rng):
    model, _, batches = parts(rng, (5, 3, 1))
    seen = []

    def loss_fn(pred, target):
        seen.append((pred.data, pred.requires_grad))
        return squared(pred, target)

    return [kata.evaluate(model, loss_fn, batches), seen]


@probe("training_memory")
def _(kata, rng):
    from tinytorch.activations import Tanh
    from tinytorch.layers import Linear, Sequential
    from tinytorch.tensor import Tensor

    rows, *widths, multiple = integers(rng, 5, 2, 30)
    model = Sequential([Linear(*widths[:2]), Tanh(), Linear(*widths[1:])])
    x = Tensor(np.ones((rows, widths[0]), dtype=np.float32))
    return kata.training_memory(model, x, optimizer_state_multiple=multiple)


@probe("batch_scaling")
def _(kata, rng):
    """A layer's output keeps so much memory as is drawn for its batch."""
    from tinytorch.layers import Module
    from tinytorch.tensor import Tensor

    units = dict(zip([50, *integers(rng, 2, 51, 99)], integers(rng, 3, 2, 30)))

    class Keeping(Module):
        def __init__(self, *sizes, **options):
            pass

        def forward(self, x):
            out = Tensor(x.data)
            out.node = np.zeros(units[len(x)] * UNIT, np.int8)
            return out

    with mock.patch.object(kata, "Linear", Keeping):
        return kata.batch_scaling(list(units), 5)


@judge("batch_scaling")
def _(found, expected):
    return growth(found, expected["sizes"])


@probe("train_xor")
def _(kata, rng):
    """From a start that is drawn, as the code's own draws are its own."""
    [hidden, epochs], start = integers(rng, 2, 3, 30), normal(rng, 99)

    class Drawn(kata.Linear):
        def __init__(self, *sizes, **options):
            super().__init__(*sizes, **options)
            for p in self.parameters():
                p.data[...] = np.resize(start[p.size :], p.shape)

    with mock.patch.object(kata, "Linear", Drawn):
        found = kata.train_xor(hidden=hidden, lr=0.05, epochs=epochs)
    told = [found[key] for key in ("losses", "loss", "accuracy")]
    return [told, numbers_of(found["model"])]
