"""Questions that the specs of 18 cannot ask from another process, or ask only about
inputs that are known.
"""

import torch

from grader.lock.probes import probe


@probe("permutation_gap")
def _(kata, rng):
    x, places, permutation = (
        *torch.randn(2, 2, 5, 3, generator=rng),
        torch.randperm(5, generator=rng),
    )
    return kata.permutation_gap(lambda x: x * places, x, permutation)


@probe("sinusoidal_encoding")
def _(kata, rng):
    sizes = torch.randint(2, 10, (3, 3), generator=rng).tolist()
    return [
        kata.sinusoidal_encoding(rows, 2 * pairs, base**4.0)
        for rows, pairs, base in sizes
    ]


def compared(kata, weights, right_at, seed):
    """The comparison of classifiers that start from these weights and are right at one
    length of sequences.
    """
    from unittest import mock

    import torch
    from torch import nn

    class Classifier(nn.Module):
        """Learns a score per position and token; in eval mode all its answers are
        right, or all are wrong.
        """

        def __init__(self, vocab_size, kind, max_len):
            super().__init__()
            self.weights = nn.Parameter(weights[:max_len].double())
            torch.rand(len(kind))

        def forward(self, ids):
            length = ids.size(1)
            if self.training:
                return self.weights[torch.arange(length), ids].sum(dim=1)
            is_first = (ids == 1).int().argmax(dim=1) < (ids == 2).int().argmax(dim=1)
            return nn.functional.one_hot(
                (is_first == (length == right_at)).long(), 2
            ).double()

    with mock.patch.object(kata, "OrderClassifier", Classifier):
        return kata.compare_position_encodings(("learned", "none"), 6, 4, seed, 9)


@probe("compare_position_encodings")
def _(kata, rng):
    weights, right_at = (
        torch.randn(9, 12, 2, generator=rng),
        6 + 3 * int(torch.randint(2, (), generator=rng)),
    )
    found = compared(kata, weights, right_at, int(weights[0, 0, 0].abs() * 1e6))
    return [
        [kind, each["losses"], each["accuracy"], each["test_length_accuracy"]]
        for kind, each in found.items()
    ]


@probe("alibi_slopes")
def _(kata, rng):
    return [
        kata.alibi_slopes(heads)
        for heads in (torch.randperm(60, generator=rng)[:4] + 5).tolist()
    ]
