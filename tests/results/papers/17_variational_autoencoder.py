"""A VAE on blobs after 500 steps, the line between two codes, and the codes after
training with beta = 30.
"""

import torch

LIMITS = {
    "reconstruction of new blobs, in nats": "< 16.5",
    "KL of new blobs, in nats": "> 1",
    "smallest step of row + column on the line of codes": "> 0",
    "row + column from one end to the other": "> 4",
    "KL with beta = 30": "< 0.2",
}


def run(kata, seed) -> dict[str, float]:
    """Train with beta = 1 and beta = 30 from the same seed, and measure on new blobs
    and on one line of codes.
    """
    model, reconstruction, kl = trained(kata, seed, beta=1.0, steps=500)
    places = torch.arange(8)
    ends = [
        torch.exp(
            -((places[:, None] - at) ** 2 + (places - at) ** 2) / (2 * 1.2**2)
        ).flatten()
        for at in (2, 5)
    ]
    sums = kata.centre_of_mass(kata.interpolate(model, *ends, 7)).sum(dim=1)
    _, _, collapsed = trained(kata, seed, beta=30.0, steps=300)
    found = (
        reconstruction,
        kl,
        sums.diff().min().item(),
        (sums[-1] - sums[0]).item(),
        collapsed,
    )
    return dict(zip(LIMITS, found, strict=True))


def trained(kata, seed, beta, steps):
    """The model, and its reconstruction and KL on 1000 new blobs in eval mode."""
    torch.manual_seed(seed)
    model, generator = kata.VAE(64, 64, 2), torch.Generator().manual_seed(seed)
    images, _ = kata.make_blobs(1000, generator=generator)
    kata.train_vae(model, images, steps=steps, beta=beta, generator=generator)
    model.eval()
    images, _ = kata.make_blobs(1000, generator=generator)
    with torch.no_grad():
        logits, mu, logvar = model(images)
        _, reconstruction, kl = kata.negative_elbo(logits, images, mu, logvar)
    return model, reconstruction.item(), kl.item()
