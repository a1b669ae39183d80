"""Lag 24 in 100 steps: five layers with dilations 1, 2, 4, 8, 16 and five without; the
share of right answers.
"""

import torch

LIMITS = {
    "right answers at lag 24, dilations 1, 2, 4, 8, 16": "> 0.95",
    "right answers at lag 24, dilations 1, 1, 1, 1, 1": "< 0.4",
    "reach by gradient, dilations 1, 2, 4, 8, 16": "> 31.5",
    "reach by gradient, dilations 1, 1, 1, 1, 1": "< 6.5",
}
STACKS = (1, 2, 4, 8, 16), (1, 1, 1, 1, 1)


def run(kata, seed) -> dict[str, float]:
    """Train both stacks on the same batches, and ask them about 100 new sequences."""
    shares, reaches = [], []
    for dilations in STACKS:
        torch.manual_seed(seed)
        model = kata.DilatedStack(4, 24, 4, 2, dilations)
        kata.train_lag(model, steps=100, generator=torch.Generator().manual_seed(seed))
        x, y = kata.lag_batch(100, 64, 24, 4, torch.Generator().manual_seed(seed + 100))
        with torch.no_grad():
            right = model(x).argmax(dim=1) == y
        shares.append(right[:, 24:].float().mean().item())
        reaches.append(kata.empirical_receptive_field(model, 4, 64))
    return dict(zip(LIMITS, shares + reaches, strict=True))
