"""The digits in 60 steps of 96, by nets of 50 units: mean training loss at the end, and
from step 15 on.
"""

import torch

from grader.datasets import digits

LIMITS = {
    "training loss, pre, identity": "< 0.5",
    "training loss from step 15 on, post minus pre": "> 0",
    "training loss, pre, shortcut times 0.5": "> 1.3",
}


def run(kata, seed) -> dict[str, float]:
    """Train three nets, and compare how they end."""
    rows = torch.randperm(1797, generator=torch.Generator().manual_seed(0))[:1200]
    x, y = (part[rows] for part in digits())
    losses = []
    for order, shortcut in (
        ("pre", "identity"),
        ("post", "identity"),
        ("pre", "scale"),
    ):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        model = kata.DeepNet(50, order=order, shortcut=shortcut)
        losses.append(
            kata.train_deep(
                model, x, y, steps=60, batch=96, lr=0.05, generator=generator
            )
        )
    pre, post, halved = losses
    ahead = (sum(post[15:]) - sum(pre[15:])) / 45
    return dict(
        zip(LIMITS, (sum(pre[-10:]) / 10, ahead, sum(halved[-10:]) / 10), strict=True)
    )
