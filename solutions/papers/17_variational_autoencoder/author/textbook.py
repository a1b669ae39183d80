"""A variational autoencoder: the code is a Gaussian near N(0, I), and the decoder sees
a sample of it.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_blobs(
    num_images: int,
    size: int = 8,
    width: float = 1.2,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw images of one soft blob each: images (N, size · size) in [0, 1], and centres
    (N, 2) as row, column.

    A pixel is exp(−d² / (2 · width²)), and d its distance to the centre, which is
    uniform in [1.5, size − 2.5]².
    """
    centres = 1.5 + (size - 4) * torch.rand(num_images, 2, generator=generator)
    # (N, 2, size): along rows, along columns
    squares = (torch.arange(size) - centres[:, :, None]) ** 2
    distances = squares[:, 0, :, None] + squares[:, 1, None, :]
    return torch.exp(-distances / (2 * width**2)).flatten(1), centres


def centre_of_mass(images: Tensor) -> Tensor:
    """Find the mean place of each image's light: (N, size · size) to (N, 2) as
    row, column.
    """
    size = round(images.shape[1] ** 0.5)
    light = images.reshape(-1, size, size) / images.sum(dim=1)[:, None, None]
    places = torch.arange(size, dtype=images.dtype)
    return torch.stack([light.sum(dim=2) @ places, light.sum(dim=1) @ places], dim=1)


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, I)) in nats, one per row."""
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=-1)


def gaussian_kl_numpy(mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """The same on arrays."""
    return 0.5 * (mu**2 + np.exp(logvar) - logvar - 1).sum(axis=-1)


def reparameterize(
    mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """A sample of N(mu, exp(logvar)), differentiable in both."""
    eps = torch.randn(mu.shape, generator=generator)
    return mu + eps * torch.exp(logvar / 2)


class VAE(nn.Module):
    """An encoder to mean and log variance, and a decoder from a sample."""

    def __init__(self, input_size: int, hidden_size: int, latent_size: int):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(input_size, hidden_size), nn.ReLU())
        self.to_mu = nn.Linear(hidden_size, latent_size)
        self.to_logvar = nn.Linear(hidden_size, latent_size)
        self.decoder = nn.Sequential(
            nn.Linear(latent_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, input_size),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.encoder(x)
        return self.to_mu(hidden), self.to_logvar(hidden)

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)

    def forward(
        self, x: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.encode(x)
        z = reparameterize(mu, logvar, generator) if self.training else mu
        return self.decode(z), mu, logvar


def negative_elbo(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, beta: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Reconstruction plus beta times KL."""
    reconstruction = F.binary_cross_entropy_with_logits(
        logits, x, reduction="sum"
    ) / len(x)
    kl = gaussian_kl(mu, logvar).mean()
    return reconstruction + beta * kl, reconstruction, kl


def train_vae(
    model: nn.Module,
    images: Tensor,
    *,
    steps: int,
    batch_size: int = 64,
    lr: float = 3e-3,
    beta: float = 1.0,
    generator: torch.Generator | None = None,
) -> dict[str, list[float]]:
    """Adam on the negative ELBO of random batches."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    history = {"loss": [], "reconstruction": [], "kl": []}
    for _ in range(steps):
        batch = images[torch.randint(len(images), (batch_size,), generator=generator)]
        logits, mu, logvar = model(batch, generator)
        loss, reconstruction, kl = negative_elbo(logits, batch, mu, logvar, beta)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for name, value in zip(history, (loss, reconstruction, kl)):
            history[name].append(value.item())
    return history


def interpolate(
    model: nn.Module, start: Tensor, end: Tensor, num_points: int
) -> Tensor:
    """Images along the straight line between two codes."""
    first, _ = model.encode(start)
    last, _ = model.encode(end)
    share = torch.linspace(0, 1, num_points)[:, None]
    return model.decode(first + share * (last - first)).sigmoid()
