"""A pointer network that sorts: attention scores as the output, teacher forcing, and
the targets of a second task.

After Vinyals, Fortunato and Jaitly, "Pointer Networks" (2015), sections 2.3 and 3.1.
Sizes: B lists in a batch, T places per list, H hidden units, N points, K corners of
a hull.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def sort_batch(
    batch: int, min_len: int, max_len: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw lists of numbers, and where their numbers are in rising order. This is
    given: the data of the kata.

    Returns:
        x (B, T, 1), numbers from 0 to 1, zeros beyond a list's length; T is max_len.
        lengths (B,) int64, from min_len to max_len.
        targets (B, T) int64: the place of the smallest number, then of the next; -100
        beyond the length.
    """
    lengths = torch.randint(min_len, max_len + 1, (batch,), generator=generator)
    real = torch.arange(max_len) < lengths[:, None]
    numbers = torch.rand(batch, max_len, generator=generator)
    # 2 is above all numbers, so padding comes last
    order = numbers.masked_fill(~real, 2.0).argsort(dim=1)
    return (numbers * real)[..., None], lengths, order.masked_fill(~real, -100)


def pointer_scores_numpy(
    enc: np.ndarray, dec: np.ndarray, W1: np.ndarray, W2: np.ndarray, v: np.ndarray
) -> np.ndarray:
    """Score every place of one list against one decoder state, in NumPy (section 2.3).

    Args:
        enc: (T, H), one encoder state e_j per place.
        dec: (H,), the decoder state d.
        W1, W2, v: (H, H), (H, H), (H,).
    Returns:
        (T,) float64: u_j = v · tanh(W1 e_j + W2 d).
        With H = 1, all weights 1 and d = 1, places of −1 and 0 score tanh 0 = 0 and
        tanh 1 = 0.76.

    Edge cases ★
        float64 precision, as `PointerAttention` has in float64.
    """
    raise NotImplementedError


def convex_hull(points: Tensor) -> Tensor:
    """Find the corners of the convex hull, which a rubber band around all points would
    touch (section 3.1).

    Args:
        points: (N, 2) of x and y, N ≥ 3, all different and not all on one line.
    Returns:
        (K,) int64: the numbers of the corners, counter-clockwise (y points up). The
        first has the lowest x.
        The points (1, 2), (0, 0), (1, 1), (3, 1) give [1 3 0]: the third one
        lies inside.

    Edge cases ★
        With several lowest x, the lowest y of these is first. A point on an edge
        between two corners is left out.
        Fewer than 3 points are an error that names `points`.
    """
    raise NotImplementedError


class PointerAttention(nn.Module):
    """Score every place of a list against a decoder state; the scores are the output,
    not weights (section 2.3).

    Args:
        hidden_size: H.
    Attributes:
        W1, W2: Linear from H to H without bias. W1 is for the encoder's states, W2 for
            the decoder's.
        v: Linear from H to 1 without bias.

    `forward(enc, dec, mask)` takes enc (B, T, H), dec (B, H) and mask (B, T) bool,
    True = may be chosen, and returns logits (B, T). In each row

        u_j = v(tanh(W1(e_j) + W2(d)))

    - -inf where the mask is False.
    - None as mask: every place may be chosen.
    """

    def __init__(self, hidden_size: int):
        raise NotImplementedError

    def forward(self, enc: Tensor, dec: Tensor, mask: Tensor | None = None) -> Tensor:
        raise NotImplementedError


class PointerNet(nn.Module):
    """An encoder that reads a list, and a decoder that points at one place of the list
    per step (section 2.3).

    Trained to sort, it answers the list 0.7, 0.2, 0.5 with the places [1 2 0].
    """

    def __init__(self, input_size: int, hidden_size: int):
        """Create the parts.

        Args:
            input_size: the numbers per place, 1 for sorting.
            hidden_size: H.
        Attributes:
            embed: Linear from input_size to H.
            encoder: one-layer `nn.LSTM`, H to H, `batch_first=True`.
            decoder: `nn.LSTMCell`, H to H.
            attention: `PointerAttention(H)`.
            start: an `nn.Parameter` (H,), the decoder's first input.
        """
        raise NotImplementedError

    def forward(
        self, x: Tensor, lengths: Tensor, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Read the lists, then point T times.

        Args:
            x: (B, T, input_size), padded at the end.
            lengths: (B,) int64, each from 1 to T, in any order. The longest is T.
            targets: (B, T) the places to choose, -100 past the length. None: the picks
                are chosen.
        Returns:
            The pair (logits (B, T, T), picks (B, T) int64).

        The decoder starts from the encoder's h and c after the last *real* place.
        Step t:

        1. It reads `start`, later the embedding of the place chosen last.
        2. logits[:, t] are the attention's scores for the new h, over real places not
           yet chosen. picks[:, t] is the best.
        3. Chosen is targets[:, t], or the pick.

        Past the length, logits are 0 and picks -100. Padding changes nothing.

        Edge cases ★
            x may be wider than its longest list. No argument is written to.
        """
        raise NotImplementedError


def pointer_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Average the cross-entropy over all steps that are there.

    Args:
        logits: (B, T, T): one row of scores per step, over the places.
        targets: (B, T) int64: the right place of each step, -100 where there is
            no step.
    Returns:
        A scalar: the mean of −log p(right place), over the real steps of the whole
        batch together. A list of 6 counts twice as much as one of 3.
    """
    raise NotImplementedError


def exact_match(picks: Tensor, targets: Tensor) -> float:
    """Count the lists that are right from the first step to the last.

    Args:
        picks: (B, T) int64.
        targets: (B, T) int64, -100 where there is no step: any pick is right there.
    Returns:
        The share of lists, as a Python float. Targets [[1 0 2] [0 1 -100]] and picks
        [[1 2 0] [0 1 7]] give 0.5.
    """
    raise NotImplementedError


def train_pointer(
    model: PointerNet,
    *,
    steps: int = 300,
    batch: int = 64,
    min_len: int = 3,
    max_len: int = 6,
    lr: float = 0.005,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Teach a model to sort, on lists that it sees only once.

    Args:
        model: trained in place, with Adam at learning rate `lr`.
        steps: the number of updates, each on a fresh `sort_batch(batch, min_len,
            max_len, generator)`.
        generator: the source of all draws. None means the global generator.
    Returns:
        The `pointer_loss` of each step before its update, as floats.

    - The model is called with the targets (teacher forcing).
    - All gradients together are clipped to norm 2.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect.
    """
    raise NotImplementedError
