"""The digits in 150 steps of 32: 6 plain layers, 38 plain and 38 residual ones; mean
training loss at the end.
"""

import torch

from grader.datasets import digits

LIMITS = {
    "training loss, 6 plain layers": "< 0.4",
    "training loss, 38 plain layers": "> 1.0",
    "training loss, 38 residual layers": "< 0.6",
}
NETS = ((1, False), (9, False), (9, True))


def run(kata, seed) -> dict[str, float]:
    """Train three nets, and take the mean loss of their last ten steps."""
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))[:1200]
    x, y = (part[order] for part in digits())
    found = []
    for blocks_per_stage, residual in NETS:
        torch.manual_seed(seed)
        model = kata.ResNet(blocks_per_stage, residual=residual)
        losses = kata.train_net(
            model, x, y, generator=torch.Generator().manual_seed(seed)
        )
        found.append(sum(losses[-10:]) / 10)
    return dict(zip(LIMITS, found, strict=True))
