"""Questions that the specs of papers/17 cannot ask from another process."""

import torch
from torch import nn

from grader.lock.probes import probe


def drawn(model, rng):
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=rng))
    return model


@probe("VAE")
def _(kata, rng):
    model, x = drawn(kata.VAE(7, 6, 2), rng), torch.rand(5, 7, generator=rng)
    with torch.no_grad():
        samples = [model(x, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)]
        same = [torch.equal(samples[0], other) for other in samples[1:]]
        return [same, model.eval()(x), model.decode(model.encode(x)[0])]


@probe("train_vae")
def _(kata, rng):
    """All images are the same, and the model adds no noise: draws decide nothing."""

    class Quiet(nn.Module):
        def __init__(self):
            super().__init__()
            self.to_mu, self.decoder, self.generators = nn.Linear(7, 2), nn.Linear(2, 7), []

        def forward(self, x, generator=None):
            self.generators.append(generator is torch_generator)
            mu = self.to_mu(x)
            return self.decoder(mu), mu, -mu

    model, images = drawn(Quiet(), rng), torch.rand(1, 7, generator=rng).repeat(20, 1)
    torch_generator = torch.Generator().manual_seed(0)
    options = {"steps": 4, "batch_size": 3, "lr": 0.05, "beta": 2.5, "generator": torch_generator}
    history = kata.train_vae(model, images, **options)
    return [history, model.generators, dict(model.named_parameters())]
