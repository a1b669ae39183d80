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
