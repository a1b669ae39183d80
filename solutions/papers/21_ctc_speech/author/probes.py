"""Questions about inputs drawn anew in papers/21."""

from unittest import mock

import torch
from torch import nn

from grader.lock.probes import probe


def utterances(rng):
    """Log-probabilities (T, C), a target that fits into T frames, and the class of the
    blank; three times.
    """
    for frames, classes in ((4, 4), (5, 3), (6, 2)):
        scores = 2 * torch.randn(frames, classes, generator=rng, dtype=torch.float64)
        blank = int(torch.randint(classes, (), generator=rng))
        labels = [label for label in range(classes) if label != blank]
        target = [
            labels[int(torch.randint(len(labels), (), generator=rng))] for _ in range(2)
        ]
        yield scores.log_softmax(dim=1), target, blank


@probe("ctc_brute_force")
def _(kata, rng):
    return [kata.ctc_brute_force(*given) for given in utterances(rng)]


@probe("ctc_forward_numpy")
def _(kata, rng):
    return [
        kata.ctc_forward_numpy(scores.numpy(), target, blank)
        for scores, target, blank in utterances(rng)
    ]


class Frames(nn.Module):
    """Labels each frame by itself, and is computed here."""

    def __init__(self, rng):
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(8, 5, generator=rng, dtype=torch.float64)
        )

    def forward(self, features):
        return (features.double() @ self.weight).log_softmax(dim=-1)


@probe("train_ctc")
def _(kata, rng):
    """Without noise or more than one way to draw, utterances are all the same."""
    features, target = (
        torch.randn(6, 1, 8, generator=rng),
        torch.randint(1, 5, (2,), generator=rng).tolist(),
    )

    def same(batch_size, *, generator=None, **others):
        return (
            features.expand(6, batch_size, 8),
            torch.full((batch_size,), 6),
            [target] * batch_size,
        )

    model = Frames(rng)
    with mock.patch.object(kata, "make_utterances", same):
        losses = kata.train_ctc(model, steps=3, batch_size=4, lr=0.05)
    return torch.tensor(losses), model.weight.detach()
