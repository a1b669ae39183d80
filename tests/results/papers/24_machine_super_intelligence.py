"""Totals over all worlds up to length 5, for 20 steps: repeating, the mixture, and a
GRU after 100 steps of reward.
"""

import torch

LIMITS = {
    "total, learned policy": "> 0.77",
    "total, learned policy, less that of repeating": "> 0.05",
    "total, the mixture, less that of the learned policy": "> 0.05",
    "reward, mean of the last 20 steps": "> 0.75",
}


def run(kata, seed) -> dict[str, float]:
    """Train a policy, and measure all three."""
    model = kata.RecurrentPolicy(32)
    generator = torch.Generator().manual_seed(seed)
    rewards = kata.train_policy(
        model, steps=100, max_length=5, horizon=20, generator=generator
    )
    policies = kata.repeat_policy, kata.solomonoff_policy(5), kata.as_policy(model)
    repeating, mixture, learned = (
        kata.universal_intelligence(policy, 5, 20) for policy in policies
    )
    found = (learned, learned - repeating, mixture - learned, sum(rewards[-20:]) / 20)
    return dict(zip(LIMITS, found, strict=True))
