"""CTC: a frame classifier learns from label sequences without an alignment, by a sum
over all alignments.

After Graves et al., "Connectionist Temporal Classification" (2006). Deep Speech 2
(Amodei et al. 2016) trains on this loss. Sizes: T frames, B utterances, F features per
frame, C classes, S states. Class 0 is the blank unless told otherwise.
"""

import itertools  # stub: keep
import math  # stub: keep
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # stub: keep
from torch import Tensor, nn

IMPOSSIBLE = -1e30  # stands for log 0: unlike -inf, it keeps gradients finite


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
    """Read the labels off a path, one class per frame: the map B of section 3.1.

    Args:
        path: the class of each frame.
        blank: the class that means "no label here".
    Returns:
        The labels: first runs of equal classes are merged, then blanks are dropped.

    [1, 1, 0, 1, 2, 2] becomes [1, 1, 2]: the blank keeps the two 1s apart, which would
    be merged otherwise.
    """
    return [label for label, _ in itertools.groupby(path) if label != blank]


def ctc_brute_force(log_probs: Tensor, target: Sequence[int], blank: int = 0) -> Tensor:
    """Compute the CTC loss by its definition (equations 2 and 3), path by path.

    Args:
        log_probs: (T, C), one log-probability per frame and class. C^T is at most
            about 2000.
        target: the labels, as a list.
        blank: the class of the blank.
    Returns:
        A scalar: −log of the summed probability of all C^T paths that collapse to the
        target. A path has the product of the probabilities of its frames.

    With T = 2 and C = 2, the paths [0, 1], [1, 0] and [1, 1] collapse to [1].

    Edge cases ★
        If no path collapses to the target, the loss is inf. The empty target
        is allowed.
    """
    scores = [
        sum(log_probs[t, label] for t, label in enumerate(path))
        for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs))
        if collapse(path, blank) == list(target)
    ]
    if not scores:
        return log_probs.new_tensor(math.inf)
    return -torch.stack(scores).logsumexp(dim=0)


def ctc_forward(log_probs: Tensor, target: Sequence[int], blank: int = 0) -> Tensor:
    """Compute the CTC loss by the forward recursion (section 4.1), without `F.ctc_loss`
    or `nn.CTCLoss`.

    Args:
        log_probs: (T, C).
        target, blank: a list of labels, and the class of the blank.
    Returns:
        A scalar: −log of the summed probability of all paths that collapse to the
        target. The states of the recursion are [blank, label, blank, …, label, blank].

    - Per frame a path stays, moves on by one state, or jumps over a blank between
      unequal labels.
    - Add in log space: 200 frames at −50 stay finite.
    - The gradient is not NaN. For log 0 use IMPOSSIBLE, −1e30: logsumexp of −inf alone
      has a NaN gradient.

    Edge cases ★
        The result has the dtype of `log_probs`. The empty target is allowed. A target
        that does not fit into T frames has the loss inf. A blank in the target is a
        ValueError. `log_probs` may hold −inf.
    """
    states, may_skip = _states(target, blank)
    scores = log_probs.clamp(min=IMPOSSIBLE)[:, states]  # (T, S)
    skips = torch.tensor(may_skip, device=scores.device)
    starts = torch.arange(len(states), device=scores.device) < 2
    alpha = scores[0].where(starts, IMPOSSIBLE)
    for frame in scores[1:]:
        step = F.pad(alpha[:-1], (1, 0), value=IMPOSSIBLE)
        skip = F.pad(alpha, (2, 0), value=IMPOSSIBLE)[:-2].where(skips, IMPOSSIBLE)
        alpha = torch.stack([alpha, step, skip]).logsumexp(dim=0) + frame
    total = alpha[-2:].logsumexp(dim=0)
    return torch.where(total < IMPOSSIBLE / 2, math.inf, -total)


def ctc_forward_numpy(
    log_probs: np.ndarray, target: Sequence[int], blank: int = 0
) -> float:
    """Compute the CTC loss by the forward recursion in NumPy.

    Args:
        log_probs: (T, C) float64.
        target, blank: as for `ctc_forward`.
    Returns:
        Minus the log-probability of the target, a float. Without gradients, −inf may
        stand for "impossible": `np.logaddexp(-np.inf, -np.inf)` is −inf.

    With log_probs log [[0.6, 0.4], [0.5, 0.5]] and the target [1], it is
    −log(0.4·0.5 + 0.4·0.5 + 0.6·0.5) = −log 0.7.

    Edge cases ★
        All those of `ctc_forward`, −inf in `log_probs` included.
    """
    states, may_skip = _states(target, blank)
    table = log_probs[:, states]
    before = np.full(2, -np.inf)  # what the first two states have for neighbours
    alpha = np.r_[table[0, :2], np.full(len(states), -np.inf)][: len(states)]
    for row in table[1:]:
        padded = np.r_[before, alpha]
        jump = np.where(may_skip, padded[:-2], -np.inf)
        alpha = np.logaddexp.reduce([alpha, padded[1:-1], jump]) + row
    return -float(np.logaddexp.reduce(alpha[-2:]))


def greedy_decode(
    log_probs: Tensor, lengths: Tensor, blank: int = 0
) -> list[list[int]]:
    """Read labels off the best path of each utterance (section 3.2).

    Args:
        log_probs: (T, B, C): time first, as `F.ctc_loss` wants it.
        lengths: (B,), the frames of each utterance. What follows is padding, and
            is ignored.
        blank: the class of the blank.
    Returns:
        B lists of labels: the best class of each frame, collapsed.

    With the best classes 0, 2, 2, 0, 2, 1 and length 5, the labels are [2, 2].
    """
    paths = log_probs.argmax(dim=2).T.tolist()  # B lists of T classes
    return [
        collapse(path[:length], blank)
        for path, length in zip(paths, lengths, strict=True)
    ]


class SpeechModel(nn.Module):
    """Classify every frame from five frames around it.

    Args:
        feature_size, hidden_size, num_classes: F, H and C; the blank is one of
            the classes.
    Attributes:
        conv: an `nn.Conv1d` over time from F to H channels, kernel 5 and padding 2, so
            that T frames stay T.
        output: an `nn.Linear` from H to C. There are no further parameters.

    `forward(x)` takes features (T, B, F), and returns log-probabilities (T, B, C): the
    convolution, ReLU, the linear layer, and a log-softmax over the classes of
    each frame.

    - `nn.Conv1d` wants (B, F, T).
    """

    def __init__(self, feature_size: int, hidden_size: int, num_classes: int):
        super().__init__()
        self.conv = nn.Conv1d(feature_size, hidden_size, kernel_size=5, padding=2)
        self.output = nn.Linear(hidden_size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv(x.permute(1, 2, 0)).relu()  # (B, H, T)
        return self.output(hidden.permute(2, 0, 1)).log_softmax(dim=-1)


def train_ctc(
    model: nn.Module,
    *,
    steps: int,
    batch_size: int = 16,
    lr: float = 1e-2,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train a model to label utterances that come without an alignment.

    Args:
        model: maps features (T, B, 8) to log-probabilities (T, B, 5), with class 0 as
            the blank.
        steps: updates by Adam with learning rate `lr`.
        batch_size: fresh utterances per step, from `make_utterances`.
        generator: the source of all draws.
    Returns:
        One float per step, the loss before its update: `F.ctc_loss` with its default
        mean and the true lengths of utterances and targets.

    Gradients are cleared before each step. Targets go to `F.ctc_loss` joined into one
    tensor, or padded.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        features, lengths, targets = make_utterances(batch_size, generator=generator)
        labels = torch.tensor([label for target in targets for label in target])
        target_lengths = torch.tensor([len(target) for target in targets])
        loss = F.ctc_loss(model(features), labels, lengths, target_lengths)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _states(target: Sequence[int], blank: int) -> tuple[list[int], list[bool]]:
    """The target with blanks around its labels, and whether a path may come to each
    state from two states before.
    """
    if blank in target:
        raise ValueError(f"the target {list(target)} contains the blank, class {blank}")
    states = [blank]
    for label in target:
        states += [label, blank]
    return states, [s >= 2 and states[s] != states[s - 2] for s in range(len(states))]
