"""Questions that the specs of papers/17 cannot ask from another process."""

import torch
from torch import nn

from grader.lock.probes import judge, probe


def drawn(model, rng):
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=rng))
    return model


@probe("VAE")
def _(kata, rng):
    model, x = drawn(kata.VAE(7, 6, 2), rng), torch.rand(5, 7, generator=rng)
    with torch.no_grad():
        samples = [
            model(x, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)
        ]
        return [samples, model.eval()(x), model.decode(model.encode(x)[0])]


@judge("VAE")
def _(values, expected):
    (first, again, other), *rest = values
    return [first - again, (first - other).abs().max() > 0.001, rest]


class Quiet(nn.Module):
    """A model that adds no noise. It notes the seeds of the generators that it gets."""

    def __init__(self):
        super().__init__()
        self.to_mu, self.decoder, self.seeds = nn.Linear(7, 2), nn.Linear(2, 7), []

    def forward(self, x, generator=None):
        self.seeds.append(None if generator is None else generator.initial_seed())
        mu = self.to_mu(x)
        return self.decoder(mu), mu, -mu


@probe("train_vae")
def _(kata, rng):
    """All images are the same, and the model adds no noise: draws decide nothing."""
    model, images = drawn(Quiet(), rng), torch.rand(1, 7, generator=rng).repeat(20, 1)
    generator = torch.Generator().manual_seed(
        int(torch.randint(1000, (), generator=rng))
    )
    options = {
        "steps": 4,
        "batch_size": 3,
        "lr": 0.05,
        "beta": 2.5,
        "generator": generator,
    }
    history = {
        name: torch.tensor(values)
        for name, values in kata.train_vae(model, images, **options).items()
    }
    return [history, model.seeds, dict(model.named_parameters())]
