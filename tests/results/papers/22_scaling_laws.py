"""Five sizes in 300 steps of 128, the line through the first four, and size 8 on few and on many samples."""

import torch

LIMITS = {
    "distance of alpha from 0.8": "< 0.08",
    "error of the prediction for size 32": "< 0.25",
    "excess loss of size 8 on 32 samples": "> 0.04",
    "excess loss of size 8 on 512 samples": "< 0.015",
}


def run(kata, seed) -> dict[str, float]:
    """Train the sizes one after the other, and fit them."""
    losses = {}
    for size in (2, 4, 8, 16, 32):
        losses[size] = kata.train_size(size, generator=torch.Generator().manual_seed(seed))
    sizes, values = list(losses), list(losses.values())
    _, alpha = kata.fit_power_law(sizes, values)
    a, slope = kata.fit_power_law(sizes[:4], values[:4])
    few, many = (
        kata.data_limited_loss(samples, generator=torch.Generator().manual_seed(seed)) - kata.exact_loss(8)
        for samples in (32, 512)
    )
    found = (abs(alpha - 0.8), abs(a * 32**-slope / losses[32] - 1), few, many)
    return dict(zip(LIMITS, found, strict=True))
