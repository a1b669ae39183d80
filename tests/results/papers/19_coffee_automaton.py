"""One cup of 48 × 48 cells over 10 000 steps: both curves; then the kernel that 300
updates learn.
"""

import torch

LIMITS = {
    "complexity, its maximum / its start": "> 1.8",
    "complexity, its maximum / mean of the last five": "> 1.8",
    "entropy, mean of the last five / its start": "> 5",
    "entropy, mean of the last five / its maximum": "> 0.94",
    "learned kernel, largest distance beside the centre": "< 0.06",
}


def run(kata, seed) -> dict[str, float]:
    """Mix once, and train once, with data of the same seed."""
    generator = torch.Generator().manual_seed(seed)
    curve = kata.complexity_curve(
        48, 8, 2, steps=10_000, every=500, generator=generator
    )
    complexity, entropy = curve["complexity"], curve["entropy"]
    model = kata.DiffusionModel()
    kata.train_diffusion(
        model, steps=300, generator=torch.Generator().manual_seed(seed)
    )
    beside = model.conv.weight.detach().flatten()[1::2]
    found = [
        max(complexity) / complexity[0],
        5 * max(complexity) / sum(complexity[-5:]),
        sum(entropy[-5:]) / 5 / entropy[0],
        sum(entropy[-5:]) / 5 / max(entropy),
        (beside - 0.125).abs().max().item(),
    ]
    return dict(zip(LIMITS, found, strict=True))
