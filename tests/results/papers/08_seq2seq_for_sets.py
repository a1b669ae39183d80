"""Sorting sets of 5: 32 hidden units, 300 steps, with 3 and 0 process steps, and in a
random target order.
"""

import torch

LIMITS = {
    "sets of 5 in rising order, 3 process steps": "> 0.9",
    "mean of the last 20 losses, 3 process steps": "< 0.2",
    "mean of the last 100 losses, 0 process steps, as a multiple of 3 steps": "> 1.2",
    "mean of the last 20 losses, random target order": "> 0.85",
    "order gap of the set reader, trained": "< 1e-4",
}


def run(kata, seed) -> dict[str, float]:
    """Train with the defaults, as the specs do; each model starts from the
    same seed.
    """
    losses, right, gap = trained(kata, seed, 3, "sorted")
    without, _, _ = trained(kata, seed, 0, "sorted")
    random, _, _ = trained(kata, seed, 3, "random")
    found = (
        right,
        end(losses, 20),
        end(without, 100) / end(losses, 100),
        end(random, 20),
        gap,
    )
    return dict(zip(LIMITS, found, strict=True))


def trained(kata, seed, process_steps, order):
    """The losses, the share of 500 sets that are then written in rising order, and the
    order gap.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = kata.ReadProcessWrite(1, 32, process_steps)
    losses = kata.train_sorter(model, order=order, generator=generator)
    x = kata.number_sets(500, 5, generator)
    with torch.no_grad():
        right = (model(x)[1] == kata.set_targets(x)).all(dim=1).double().mean().item()
    return losses, right, kata.order_gap(model, x, generator)


def end(losses, count):
    """The mean of the last losses."""
    return sum(losses[-count:]) / count
