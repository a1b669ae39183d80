"""Questions about inputs drawn anew in papers/20."""

import torch

from grader.lock.probes import probe


@probe("NTM.__init__")
def _(kata, rng):
    model = kata.NTM(*torch.randint(2, 20, (5,), generator=rng).tolist())
    shapes = {
        name: tuple(parameter.shape) for name, parameter in model.named_parameters()
    }
    return [shapes, model.num_slots, model.slot_size]


@probe("NTM.forward")
def _(kata, rng):
    model = kata.NTM(3, 2, 5, 4, 6)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return [each.detach() for each in model(torch.randn(2, 7, 3, generator=rng))]
