"""A variational autoencoder: the code of an image is a Gaussian, and the decoder sees a
sample of it.

After Kingma and Welling, "Auto-Encoding Variational Bayes" (2013). Sizes: B images of P
pixels in [0, 1], H hidden units, Z latent numbers. `logvar` is the logarithm of
a variance.
"""

import numpy as np
import torch
import torch.nn.functional as F  # stub: keep
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
    """Compute how far the codes are from N(0, I): KL(N(mu, exp(logvar)) || N(0, I)), in
    closed form (appendix B).

    One latent number with mean μ and variance σ² = exp(logvar) costs ½
    (μ² + σ² − ln σ² − 1).

    Args:
        mu: (B, Z), the means.
        logvar: (B, Z), the logarithms of the variances.
    Returns:
        (B,), in nats: summed over the last dimension.

    With mu [[1, 0]] and logvar [[0, 0]] the result is [0.5].

    - `torch.distributions` may not be called.

    Edge cases ★
        float64 stays float64, and neither input is written to.
    """
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum(dim=-1)


def gaussian_kl_numpy(mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """Compute the same in NumPy: KL(N(mu, exp(logvar)) || N(0, I)).

    Args:
        mu: (B, Z) float64, the means.
        logvar: (B, Z), the logarithms of the variances.
    Returns:
        (B,), in nats, as in `gaussian_kl`.

    With mu [[0, 2]] and logvar [[0, 0]] the result is [2].

    Edge cases ★
        float64 precision. Neither input is written to.
    """
    return 0.5 * (mu**2 + np.exp(logvar) - logvar - 1).sum(axis=-1)


def reparameterize(
    mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Draw one sample of N(mu, exp(logvar)), so that gradients reach mu and logvar
    (section 2.4).

    Args:
        mu: (B, Z), the means.
        logvar: (B, Z), the logarithms of the variances.
        generator: the source of the noise.
    Returns:
        (B, Z): mu plus standard normal noise times the standard deviation.

    With mu 3, logvar ln 4 and a noise of −1, the sample is 3 − 1 · 2 = 1.

    - Each element has noise of its own.

    Edge cases ★
        The sample has the dtype of `mu`. Given a generator, the global one is
        left alone.
    """
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=mu.device)
    return mu + noise * (0.5 * logvar).exp()


class VAE(nn.Module):
    """A variational autoencoder: an encoder to a Gaussian, and a decoder from a sample
    of it.

    Args:
        input_size, hidden_size, latent_size: P, H and Z.
    Attributes:
        encoder: Linear (P to H), ReLU.
        to_mu, to_logvar: each a Linear (H to Z) on the encoder's output.
        decoder: Linear (Z to H), ReLU, Linear (H to P). There are no other parameters.

    - `encode(x)` takes (B, P) and returns (mu, logvar), each (B, Z).
    - `decode(z)` takes (B, Z) and returns logits (B, P), without a sigmoid.
    - `forward(x, generator=None)` returns (logits, mu, logvar). In training mode it
      decodes a sample, drawn with `generator`, and in eval mode the mean.

    Edge cases ★
        In eval mode no random number is drawn. A float64 model computes in float64.
    """

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
    """Compute the loss of a VAE: what the pixels cost, and what the codes cost
    (equation 10).

    Args:
        logits, x: (B, P), what was decoded and the pixels, in [0, 1].
        mu, logvar: (B, Z), of the codes.
        beta: the weight of the KL term.
    Returns:
        (loss, reconstruction, kl), three scalars, means over the batch. reconstruction:
        the binary cross-entropy from logits, summed over pixels. kl: `gaussian_kl`,
        without beta. loss = reconstruction + beta · kl.

    With logits 0, a pixel costs ln 2, so an image of 64 pixels costs 44.4.

    Edge cases ★
        `logits` and `x` may be (B, …) of any shape, as (B, 1, 8, 8). Logits of ±200
        give finite values.
    """
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
    """Train a VAE on its negative ELBO.

    Args:
        model: called as model(batch, generator); returns (logits, mu, logvar).
        images: (N, P).
        steps: updates by Adam with learning rate `lr` on all parameters of the model.
        batch_size: images drawn per step, with replacement.
        beta: the weight of the KL term.
        generator: the source of all draws.
    Returns:
        The keys "loss", "reconstruction" and "kl", each with one float per step: the
        values of `negative_elbo` before the update.

    Gradients are cleared before each step.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    history: dict[str, list[float]] = {"loss": [], "reconstruction": [], "kl": []}
    for _ in range(steps):
        batch = images[torch.randint(len(images), (batch_size,), generator=generator)]
        logits, mu, logvar = model(batch, generator)
        values = negative_elbo(logits, batch, mu, logvar, beta)
        optimizer.zero_grad()
        values[0].backward()
        optimizer.step()
        for name, value in zip(history, values, strict=True):
            history[name].append(value.item())
    return history


def interpolate(
    model: nn.Module, start: Tensor, end: Tensor, num_points: int
) -> Tensor:
    """Decode the straight line between the codes of two images.

    Args:
        model: with `encode(x)` and `decode(z)` as those of `VAE`.
        start, end: (P,), the images.
        num_points: how many codes, evenly spaced, both ends included.
    Returns:
        (num_points, P): images in [0, 1].

    The code of an image is the mean of its Gaussian. From a code [0, 4] to [2, 0],
    three points are [0, 4], [1, 2] and [2, 0].

    Edge cases ★
        No graph is built. Fewer than two points are a ValueError.
    """
    if num_points < 2:
        raise ValueError(
            f"num_points must be at least 2, for both ends, got {num_points}"
        )
    with torch.no_grad():
        (first, last), _ = model.encode(torch.stack([start, end]))
        share = torch.linspace(0, 1, num_points, dtype=first.dtype)[:, None]
        return model.decode((1 - share) * first + share * last).sigmoid()
