"""A relation network, an MLP, and a sum over single objects after 1200 steps: accuracy
on both kinds of questions.
"""

import torch
from torch import nn

LIMITS = {
    "relation network, relational questions": "> 0.7",
    "relation network, other questions": "> 0.95",
    "MLP, relational questions": "< 0.6",
    "MLP, other questions": "< 0.85",
    "sum over single objects, relational questions": "< 0.6",
    "sum over single objects, other questions": "> 0.95",
}


class SingleObjects(nn.Module):
    """The ablation: g sees one object at a time."""

    def __init__(self):
        super().__init__()
        self.g = nn.Sequential(
            nn.Linear(14, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()
        )
        self.f = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, objects, question):
        return self.f(
            sum(
                self.g(torch.cat([row, question], dim=1))
                for row in objects.unbind(dim=1)
            )
        )


def run(kata, seed) -> dict[str, float]:
    """Train the three models from the same seed, and ask each about 1000
    fresh scenes.
    """
    found = []
    makers = (
        lambda: kata.RelationNetwork(8, 6, 32, 5),
        lambda: kata.FlatMLP(5, 8, 6, 128, 5),
        SingleObjects,
    )
    for make in makers:
        torch.manual_seed(seed)
        model = make()
        generator = torch.Generator().manual_seed(seed)
        kata.train_model(model, steps=1200, generator=generator)
        found += [
            kata.answer_accuracy(model, kind, generator=generator)
            for kind in (True, False)
        ]
    return dict(zip(LIMITS, found, strict=True))
