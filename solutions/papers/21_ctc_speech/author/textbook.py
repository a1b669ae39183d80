"""CTC: a frame classifier learns from label sequences without an alignment, by a sum
over all alignments.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMPOSSIBLE = -1e30


def make_utterances(
    batch_size: int,
    num_symbols: int = 4,
    feature_size: int = 8,
    max_symbols: int = 5,
    noise: float = 0.3,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, list[list[int]]]:
    """Draw utterances: features (T, B, feature_size), lengths (B,) in frames, and the
    symbols of each as a list.

    An utterance has 2 to max_symbols symbols, each uniform from 1 to num_symbols.
    Symbol c is the pattern with ones at c - 1 and (2c + 1) mod feature_size, held for 2
    to 4 frames. 1 or 2 silent frames (zeros) are before, between and after the symbols.
    Every frame has normal noise. Shorter utterances are padded with zeros up to
    T frames.
    """

    def draw(low: int, high: int, *sizes: int) -> list:
        return torch.randint(low, high + 1, sizes, generator=generator).tolist()

    patterns = torch.zeros(num_symbols + 1, feature_size)  # row 0 is silence
    for c in range(1, num_symbols + 1):
        patterns[c, [c - 1, (2 * c + 1) % feature_size]] = 1
    symbols, counts = (
        draw(1, num_symbols, batch_size, max_symbols),
        draw(2, max_symbols, batch_size),
    )
    held, silent = (
        draw(2, 4, batch_size, max_symbols),
        draw(1, 2, batch_size, max_symbols + 1),
    )
    targets = [row[:count] for row, count in zip(symbols, counts, strict=True)]
    utterances = []
    for target, long, pauses in zip(targets, held, silent, strict=True):
        frames = [0] * pauses[0]
        for symbol, hold, pause in zip(target, long, pauses[1:], strict=False):
            frames += [symbol] * hold + [0] * pause
        utterances.append(
            patterns[frames]
            + noise * torch.randn(len(frames), feature_size, generator=generator)
        )
    return (
        nn.utils.rnn.pad_sequence(utterances),
        torch.tensor([len(u) for u in utterances]),
        targets,
    )


def label_error_rate(
    predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]]
) -> float:
    """Count the insertions, deletions and exchanges that turn each prediction into its
    reference, in all, per label of the references.
    """
    edits = 0
    for ours, right in zip(predictions, references, strict=True):
        # edits from the first i labels of ours to the first j of right
        row = list(range(len(right) + 1))
        for i, label in enumerate(ours, 1):
            before, row = row, [i]
            for j, other in enumerate(right, 1):
                row.append(
                    min(before[j] + 1, row[-1] + 1, before[j - 1] + (label != other))
                )
        edits += row[-1]
    return edits / sum(len(right) for right in references)


def collapse(path: Sequence[int], blank: int = 0) -> list[int]:
    """Merge runs, then drop blanks."""
    return [label for label, _ in itertools.groupby(path) if label != blank]


def ctc_brute_force(log_probs: Tensor, target: Sequence[int], blank: int = 0) -> Tensor:
    """Sum the probabilities of all paths that collapse to the target."""
    num_frames, num_classes = log_probs.shape
    scores = []
    for path in itertools.product(range(num_classes), repeat=num_frames):
        if collapse(path, blank) == target:
            scores.append(log_probs[range(num_frames), path].sum())
    return -torch.logsumexp(torch.stack(scores), dim=0)


def ctc_forward(log_probs: Tensor, target: Sequence[int], blank: int = 0) -> Tensor:
    """The forward recursion over the target with blanks around its labels."""
    states = [blank]
    for label in target:
        states += [label, blank]
    may_skip = torch.tensor(
        [s >= 2 and states[s] != states[s - 2] for s in range(len(states))]
    )

    alpha = torch.full((len(states),), IMPOSSIBLE)
    alpha[:2] = log_probs[0, states[:2]]
    for frame in log_probs[1:]:
        step = F.pad(alpha[:-1], (1, 0), value=IMPOSSIBLE)
        skip = F.pad(alpha[:-2], (2, 0), value=IMPOSSIBLE).where(may_skip, IMPOSSIBLE)
        alpha = torch.stack([alpha, step, skip]).logsumexp(dim=0) + frame[states]
    return -torch.logaddexp(alpha[-1], alpha[-2])


def ctc_forward_numpy(
    log_probs: np.ndarray, target: Sequence[int], blank: int = 0
) -> float:
    """The same, state by state."""
    states = [blank]
    for label in target:
        states += [label, blank]
    alpha = np.full(len(states), -np.inf)
    alpha[:2] = log_probs[0, states[:2]]
    for frame in log_probs[1:]:
        before = alpha.copy()
        for s, label in enumerate(states):
            total = before[s]
            if s >= 1:
                total = np.logaddexp(total, before[s - 1])
            if s >= 2 and label != states[s - 2]:
                total = np.logaddexp(total, before[s - 2])
            alpha[s] = total + frame[label]
    return float(-np.logaddexp(alpha[-1], alpha[-2]))


def greedy_decode(
    log_probs: Tensor, lengths: Tensor, blank: int = 0
) -> list[list[int]]:
    """The best class per frame, collapsed."""
    best = log_probs.argmax(dim=2)
    return [
        collapse(best[:length, b].tolist(), blank) for b, length in enumerate(lengths)
    ]


class SpeechModel(nn.Module):
    """A convolution over time, then a classifier per frame."""

    def __init__(self, feature_size: int, hidden_size: int, num_classes: int):
        super().__init__()
        self.conv = nn.Conv1d(feature_size, hidden_size, kernel_size=5, padding=2)
        self.output = nn.Linear(hidden_size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.conv(x.permute(1, 2, 0)))
        return F.log_softmax(self.output(hidden.permute(2, 0, 1)), dim=2)


def train_ctc(
    model: nn.Module,
    *,
    steps: int,
    batch_size: int = 16,
    lr: float = 1e-2,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Fresh utterances per step, and no alignment."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        features, lengths, targets = make_utterances(batch_size, generator=generator)
        target_lengths = torch.tensor([len(target) for target in targets])
        loss = F.ctc_loss(
            model(features), torch.tensor(sum(targets, [])), lengths, target_lengths
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
