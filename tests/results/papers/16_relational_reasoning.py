"""A relation network and an MLP after 700 steps on the same scenes: accuracy on both kinds of fresh questions."""

import torch

LIMITS = {
    "relation network, relational questions": "> 0.9",
    "relation network, other questions": "> 0.9",
    "MLP, relational questions": "< 0.75",
    "MLP, other questions": "< 0.75",
}


def run(kata, seed) -> dict[str, float]:
    """Train both models from the same seed, and ask each about 1000 fresh scenes."""
    found = []
    for name in ("network", "MLP"):
        torch.manual_seed(seed)
        model = kata.RelationNetwork(8, 6, 32, 5) if name == "network" else kata.FlatMLP(5, 8, 6, 128, 5)
        generator = torch.Generator().manual_seed(seed)
        kata.train_model(model, steps=700, generator=generator)
        found += [kata.answer_accuracy(model, kind, generator=generator) for kind in (True, False)]
    return dict(zip(LIMITS, found, strict=True))
