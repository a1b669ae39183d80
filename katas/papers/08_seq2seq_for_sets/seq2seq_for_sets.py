"""Read, process, write: a code for sets that no order can change, and a pointer network
that sorts from it.

After Vinyals, Bengio and Kudlur, "Order Matters: Sequence to sequence for sets" (2015),
sections 4 and 5.
Sizes: B sets in a batch, N elements per set, H hidden units.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def number_sets(batch: int, n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw sets of numbers from 0 to 1, as x (batch, n, 1). This is given: the data of
    the kata.
    """
    return torch.rand(batch, n, 1, generator=generator)


def set_targets(
    x: Tensor, order: str = "sorted", generator: torch.Generator | None = None
) -> Tensor:
    """Say in which order the elements of each set are to be written. This is given.

    Args:
        order: "sorted", from the smallest number to the largest, or "random", a fresh
            permutation per set.
    Returns:
        (B, N) int64: the place of the element that comes first, then of the next.
    """
    if order == "sorted":
        return x[..., 0].argsort(dim=1)
    if order == "random":
        return torch.rand(x.shape[:2], generator=generator).argsort(dim=1)
    raise ValueError(f"order is {order!r}, expected 'sorted' or 'random'")


def attention_readout_numpy(
    memory: np.ndarray, query: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Read a memory by attention, in NumPy: a mean, weighted by how well each row fits
    the query.

    Args:
        memory: (N, H), one row per element.
        query: (H,).
    Returns:
        The pair (readout (H,), weights (N,)). The weights are the softmax of the dot
        products of rows and query.
        The readout is the sum of the rows, each times its weight.
        With the rows [1 0] and [0 1], the query [ln 3, 0] gives the weights [0.75 0.25]
        and the readout [0.75 0.25].

    Edge cases ★
        Dot products of 1000 give no inf and no NaN. float64 precision.
    """
    raise NotImplementedError


class ProcessBlock(nn.Module):
    """Process: an LSTM cell that reads a set only through attention (section 4.3,
    equations 3 to 7).

    Args:
        hidden_size: H.
    Attributes:
        cell: `nn.LSTMCell` from 2H to H. There are no other parameters.

    `forward(memory, steps, mask)` takes memory (B, N, H) and mask (B, N) bool, True = a
    real element, and returns q* (B, 2H). h, c and q* start as zeros. Each step:

        h, c = cell(q*, (h, c))
        weights = softmax(memory · h) over the N elements, unscaled
        r = Σ weights · memory
        q* = [h, r]

    - steps = 0 returns zeros.
    - Elements where the mask is False have weight 0. None as mask: all are real.
    - The order of the elements does not matter.

    Edge cases ★
        A float64 block computes in float64.
    """

    def __init__(self, hidden_size: int):
        raise NotImplementedError

    def forward(self, memory: Tensor, steps: int, mask: Tensor | None = None) -> Tensor:
        raise NotImplementedError


class ReadProcessWrite(nn.Module):
    """A set goes in, a sequence of its elements comes out (section 4.3).

    Trained to sort, it answers the set 0.7, 0.2, 0.5 with the places [1 2 0].
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        process_steps: int = 3,
        reader: str = "set",
    ):
        """Create the parts.

        Args:
            input_size: the numbers per element, 1 for sorting.
            hidden_size: H.
            process_steps: for `encode`.
            reader: "set" or "lstm", the baseline that reads in order.
        Attributes:
            read: `nn.Sequential` of Linear (input_size to H), ReLU, and
                Linear (H to H).
            process: `ProcessBlock(H)`, for "set" only.
            lstm: one-layer `nn.LSTM`, H to H, `batch_first=True`, for "lstm" only.
            init: Linear from 2H to H.
            decoder: `nn.LSTMCell`, H to H.
            W1, W2: Linear, H to H, without bias. v: Linear, H to 1, without bias.

        Edge cases ★
            Any other `reader` is an error that names it.
        """
        raise NotImplementedError

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Read and process.

        Args:
            x: (B, N, input_size).
        Returns:
            The pair (memory (B, N, H), code (B, 2H)).

        - "set": memory is `read` of each element alone, in the order of x. The code is
          what `process` makes of the memory in `process_steps` steps.
        - "lstm": memory is the output of `lstm` over what was read. The code is its
          last row twice, side by side.
        """
        raise NotImplementedError

    def forward(
        self, x: Tensor, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Write: point at one element per step, as a pointer network does
        (section 4.3).

        Args:
            x: (B, N, input_size).
            targets: (B, N) the places to choose. None: the picks are chosen.
        Returns:
            The pair (logits (B, N, N), picks (B, N) int64).

        The decoder's h starts as tanh(init(code)), its c and its first input as zeros.
        Step t:

        1. h, c = decoder(input, (h, c)).
        2. logits[:, t] has v(tanh(W1(memory_j) + W2(h))) per place j, and -inf where j
           was chosen before. picks[:, t] is the best place.
        3. Chosen is targets[:, t], or the pick. Its memory row is the next input.
        """
        raise NotImplementedError


def train_sorter(
    model: ReadProcessWrite,
    *,
    steps: int = 300,
    batch: int = 64,
    n: int = 5,
    lr: float = 0.005,
    order: str = "sorted",
    generator: torch.Generator | None = None,
) -> list[float]:
    """Teach a model to write sets in a given order, on sets that it sees only once.

    Args:
        model: trained in place, with Adam at learning rate `lr`.
        steps: the number of updates, each on fresh `number_sets(batch, n, generator)`.
        order: with the generator, for `set_targets`.
        generator: the source of all draws. None means the global generator.
    Returns:
        One float per step, the loss before its update: the mean cross-entropy over all
        sets and all n steps.

    - The model is called with the targets (teacher forcing).
    - All gradients together are clipped to norm 2.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect.
    """
    raise NotImplementedError


def order_gap(
    model: ReadProcessWrite, x: Tensor, generator: torch.Generator | None = None
) -> float:
    """Measure how much the code of a set depends on the order of its elements.

    Args:
        model: its `encode` gives the codes.
        x: (B, N, input_size).
        generator: draws one fresh permutation of the N elements per set. An element
            keeps its numbers together.
    Returns:
        The largest absolute difference between the codes of x and the codes of the
        permuted x, as a Python float.

    For the "set" reader it is rounding, near 1e-7.

    Edge cases ★
        No graph is built.
    """
    raise NotImplementedError
