"""Questions that the specs of papers/18 cannot ask from another process: they read what
the model was called with.
"""

import torch
from torch import nn

from grader.lock.probes import probe


def sizes(rng):
    """Drawn input_size, num_slots, slot_size and num_heads."""
    inputs, slots, heads, width = torch.randint(2, 9, (4,), generator=rng).tolist()
    return inputs, slots, heads * (slots + width), heads


def filled(model, rng):
    """The model with drawn parameters."""
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(
                torch.randn(parameter.shape, generator=rng)
                / parameter[0].numel() ** 0.5
            )
    return model


@probe("RelationalMemory.__init__")
def _(kata, rng):
    core = kata.RelationalMemory(*sizes(rng))
    shapes = {
        name: tuple(parameter.shape) for name, parameter in core.named_parameters()
    }
    return [shapes, core.num_slots, core.slot_size, core.num_heads]


@probe("RelationalMemory.initial_memory")
def _(kata, rng):
    batch = int(torch.randint(2, 9, (), generator=rng))
    return kata.RelationalMemory(*sizes(rng)).initial_memory(batch)


@probe("RelationalMemory.update")
def _(kata, rng):
    inputs, slots, width, heads = sizes(rng)
    core = filled(kata.RelationalMemory(inputs, slots, width, heads), rng)
    return core.update(
        torch.randn(3, slots, width, generator=rng),
        torch.randn(3, width, generator=rng),
    )


@probe("RelationalMemory.forward")
def _(kata, rng):
    inputs, slots, width, heads = sizes(rng)
    core = filled(kata.RelationalMemory(inputs, slots, width, heads), rng)
    return core(
        torch.randn(3, inputs, generator=rng),
        torch.randn(3, slots, width, generator=rng),
    )


@probe("RelationalRNN")
def _(kata, rng):
    inputs, slots, width, heads = sizes(rng)
    classes, steps = torch.randint(2, 6, (2,), generator=rng).tolist()
    model = filled(kata.RelationalRNN(inputs, slots, width, heads, classes), rng)
    return model(torch.randn(3, steps, inputs, generator=rng))


@probe("train_recall")
def _(kata, rng):
    """The model looks the answer up, and learns only how sure to be of it: draws
    decide nothing.
    """

    class Sure(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(0.05 * torch.randn(2, generator=rng))

        def forward(self, x):
            asked = (x[:, :-1, :4] * x[:, -1:, :4]).sum(dim=2, keepdim=True)
            answer = (asked * x[:, :-1, 4:7]).sum(dim=1)
            return 20 * self.weight[0] * answer + 5 * self.weight[1] * (1 - answer)

    model = Sure()
    losses = kata.train_recall(
        model, steps=6, num_pairs=4, num_values=3, batch_size=5, lr=0.05
    )
    return [torch.tensor(losses), model.weight]


def attended(rng, count=3):
    shapes = (2, 3, 4), (2, 5, 4), (2, 5, 6), (2, 3, 6)
    return [torch.randn(shape, generator=rng) for shape in shapes][:count]


@probe("attend")
def _(kata, rng):
    query, key, value = attended(rng)
    return [kata.attend(query, key, value), kata.attend(query[0], key[0], value[0])]


@probe("attend_numpy")
def _(kata, rng):
    return kata.attend_numpy(*(x.double().numpy() for x in attended(rng)))


@probe("attend_backward_numpy")
def _(kata, rng):
    return kata.attend_backward_numpy(*(x.double().numpy() for x in attended(rng, 4)))
