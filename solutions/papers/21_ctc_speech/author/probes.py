"""Questions about inputs drawn anew in papers/21."""

import torch

from grader.lock.probes import probe


def utterances(rng):
    """Log-probabilities (T, C), a target that fits into T frames, and the class of the blank; three times."""
    for frames, classes in ((4, 4), (5, 3), (6, 2)):
        scores = 2 * torch.randn(frames, classes, generator=rng, dtype=torch.float64)
        blank = int(torch.randint(classes, (), generator=rng))
        labels = [label for label in range(classes) if label != blank]
        target = [labels[int(torch.randint(len(labels), (), generator=rng))] for _ in range(2)]
        yield scores.log_softmax(dim=1), target, blank


@probe("ctc_brute_force")
def _(kata, rng):
    return [kata.ctc_brute_force(*given) for given in utterances(rng)]


@probe("ctc_forward_numpy")
def _(kata, rng):
    return [kata.ctc_forward_numpy(scores.numpy(), target, blank) for scores, target, blank in utterances(rng)]
