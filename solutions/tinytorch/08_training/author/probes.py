"""Questions that the specs of tinytorch/08 cannot ask from another process."""

import numpy as np
import torch

from grader.lock.probes import probe, there


@probe("evaluating")
def _(kata, rng):
    from tinytorch.autograd import is_grad_enabled
    from tinytorch.layers import Linear

    seen = []
    for training in torch.randint(2, (24,), generator=rng).bool().tolist():
        model = Linear(2, 3)
        model.train(training)
        with kata.evaluating(model):
            seen.append((model.training, is_grad_enabled()))
        seen.append((model.training, is_grad_enabled()))
    return seen


def model_of(kata, weight, bias, lr):
    """A layer with these numbers that says half as much in eval mode, and
    its optimizer.
    """
    from tinytorch.layers import Linear
    from tinytorch.optimizers import SGD

    class Half(Linear):
        def forward(self, x):
            return super().forward(x) if self.training else 0.5 * super().forward(x)

    model = Half(3, 2)
    model.weight.data[...], model.bias.data[...] = weight, bias
    return model, SGD(model.parameters(), lr=lr)


def parts(kata, rng, lengths):
    """A layer with drawn numbers, its optimizer, and batches of these lengths."""
    from tinytorch.tensor import Tensor

    def drawn(*shape):
        return torch.randn(*shape, generator=rng).double().numpy()

    model, optimizer = there(kata, model_of, drawn(2, 3), drawn(2), 0.1)
    return (
        model,
        optimizer,
        [(Tensor(drawn(n, 3)), Tensor(drawn(n, 2))) for n in lengths],
    )


def squared(pred, target):
    return ((pred - target) ** 2).mean()


def numbers_of(model):
    return [p.data for p in model.parameters()]


@probe("train_step")
def _(kata, rng):
    model, optimizer, batches = parts(kata, rng, (4, 4, 4))
    losses = [kata.train_step(model, squared, optimizer, x, y) for x, y in batches]
    return [losses, numbers_of(model)]


@probe("train_group")
def _(kata, rng):
    model, optimizer, batches = parts(kata, rng, (4, 4, 4))
    losses = [kata.train_group(model, squared, optimizer, batches) for _ in range(2)]
    return [losses, numbers_of(model)]


@probe("train")
def _(kata, rng):
    """Equal batches, as other lengths are an edge; the last group has one of them."""
    model, optimizer, batches = parts(kata, rng, (4, 4, 4, 4, 4))
    epochs = int(torch.randint(2, 5, (), generator=rng))
    model.eval()
    first = kata.train(model, squared, optimizer, batches, epochs)
    more = kata.train(
        model,
        squared,
        optimizer,
        batches,
        2,
        val_data=batches[1:],
        accumulation_steps=2,
    )
    return [first, more, numbers_of(model)]


@probe("training_memory")
def _(kata, rng):
    from tinytorch.activations import Tanh
    from tinytorch.layers import Linear, Sequential
    from tinytorch.tensor import Tensor

    rows, *widths, multiple = torch.randint(2, 30, (5,), generator=rng).tolist()
    model = Sequential([Linear(*widths[:2]), Tanh(), Linear(*widths[1:])])
    x = Tensor(np.ones((rows, widths[0]), dtype=np.float32))
    return kata.training_memory(model, x, optimizer_state_multiple=multiple)


def growth(found):
    """The sizes, how many times the first value each value is, and the exponent over
    the slope of these points.
    """
    sizes, values = found["sizes"], found["values"]
    slope = np.polyfit(np.log(sizes), np.log(values), 1)[0]
    return [
        sizes,
        [round(value / values[0]) for value in values],
        found["exponent"] / slope,
    ]


def multiples(rng, base):
    """Three sizes, the first is the base."""
    return [
        base * factor
        for factor in (1, *(2 + torch.randperm(5, generator=rng)[:2]).tolist())
    ]


@probe("batch_scaling")
def _(kata, rng):
    width = int(torch.randint(50, 80, (), generator=rng))
    return growth(kata.batch_scaling(multiples(rng, 400), width))


def step_on_xor(parameters, lr):
    """What one step of SGD makes of the network's four arrays, and the loss
    before it.
    """
    x, y = (
        torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]),
        torch.tensor([[0.0], [1], [1], [0]]),
    )
    weight, bias, last, shift = leaves = [
        torch.tensor(array).requires_grad_() for array in parameters
    ]
    loss = ((torch.tanh(x @ weight.T + bias) @ last.T + shift - y) ** 2).mean()
    loss.backward()
    return [(p - lr * p.grad).detach().numpy() for p in leaves], loss.item()


@probe("train_xor")
def _(kata, rng):
    """Five more epochs from the same start are five more steps. The start itself is the
    code's own.
    """
    seed, hidden, epochs = (
        int(torch.randint(low, high, (), generator=rng))
        for low, high in ((0, 999), (3, 9), (2, 30))
    )
    options = {
        "hidden": hidden,
        "lr": 0.05 + 0.1 * torch.rand((), generator=rng).item(),
    }
    early, late = (
        kata.train_xor(np.random.default_rng(seed), epochs=n, **options)
        for n in (epochs, epochs + 5)
    )
    arrays, losses = numbers_of(early["model"]), []
    shapes = [array.shape for array in arrays]
    for _ in range(5):
        arrays, loss = step_on_xor(arrays, options["lr"])
        losses.append(loss)
    losses.append(step_on_xor(arrays, 0)[1])
    same = [
        np.allclose(a, b, atol=1e-4) for a, b in zip(numbers_of(late["model"]), arrays)
    ]
    told = [early["loss"], *late["losses"][epochs + 1 :], late["loss"]]
    same += [
        np.allclose(told, losses, atol=1e-4),
        np.allclose(late["losses"][:epochs], early["losses"], atol=1e-6),
    ]
    return [shapes, len(early["losses"]), len(late["losses"]), same]


@probe("evaluate")
def _(kata, rng):
    model, _, batches = parts(kata, rng, (5, 3, 1))
    return kata.evaluate(model, squared, batches)
