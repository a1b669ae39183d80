"""Reversal by greedy decoding: one encoder and one decoder layer of width 32, 400
steps, 200 unseen sequences.
"""

import torch

LIMITS = {
    "mean of the last 20 losses (floor 0.500)": "< 0.65",
    "share of 200 unseen sequences reversed exactly": "> 0.8",
}


def run(kata, seed) -> dict[str, float]:
    """Train on random sequences of length 3 to 6, as the spec does."""
    model = kata.Transformer(10)
    losses = kata.train_reverse(model, generator=torch.Generator().manual_seed(seed))
    src, _, right = kata.reverse_batch(
        200, 3, 6, 10, torch.Generator().manual_seed(1000 + seed)
    )
    exact = (
        (kata.greedy_decode(model, src, 7) == right).all(dim=1).float().mean().item()
    )
    return dict(zip(LIMITS, (sum(losses[-20:]) / 20, exact), strict=True))
