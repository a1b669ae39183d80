"""Questions about inputs drawn anew in papers/06."""

import torch

from grader.lock.probes import probe


@probe("PointerNet.__init__")
def _(kata, rng):
    numbers, hidden = torch.randint(1, 30, (2,), generator=rng).tolist()
    model = kata.PointerNet(numbers, hidden)
    parts = (model.embed, model.encoder, model.decoder, model.attention)
    shapes = [
        {name: tuple(parameter.shape) for name, parameter in part.named_parameters()}
        for part in parts
    ]
    return [shapes, tuple(model.start.shape)]
