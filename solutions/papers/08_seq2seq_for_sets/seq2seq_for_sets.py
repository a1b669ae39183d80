"""Read, process, write: a code for sets that no order can change, and a pointer network
that sorts from it.

After Vinyals, Bengio and Kudlur, "Order Matters: Sequence to sequence for sets" (2015),
sections 4 and 5.
Sizes: B sets in a batch, N elements per set, H hidden units.
"""

import numpy as np
import torch
import torch.nn.functional as F  # stub: keep
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
    scores = memory @ query
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    return weights @ memory, weights


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
        super().__init__()
        self.cell = nn.LSTMCell(2 * hidden_size, hidden_size)

    def forward(self, memory: Tensor, steps: int, mask: Tensor | None = None) -> Tensor:
        batch, _, hidden = memory.shape
        state = memory.new_zeros(batch, hidden), memory.new_zeros(batch, hidden)
        q_star = memory.new_zeros(batch, 2 * hidden)
        for _ in range(steps):
            state = self.cell(q_star, state)
            h = state[0]
            scores = (memory @ h[:, :, None]).squeeze(-1)
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            weights = scores.softmax(dim=1)
            r = (weights[:, None] @ memory).squeeze(1)
            q_star = torch.cat([h, r], dim=1)
        return q_star


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
        super().__init__()
        if reader not in ("set", "lstm"):
            raise ValueError(f"reader is {reader!r}, expected 'set' or 'lstm'")
        self.process_steps = process_steps
        self.reader = reader
        self.read = nn.Sequential(
            nn.Linear(input_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
        )
        if reader == "set":
            self.process = ProcessBlock(hidden_size)
        else:
            self.lstm = nn.LSTM(hidden_size, hidden_size, batch_first=True)
        self.init = nn.Linear(2 * hidden_size, hidden_size)
        self.decoder = nn.LSTMCell(hidden_size, hidden_size)
        self.W1 = nn.Linear(hidden_size, hidden_size, bias=False)
        self.W2 = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v = nn.Linear(hidden_size, 1, bias=False)

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
        elements = self.read(x)
        if self.reader == "set":
            return elements, self.process(elements, self.process_steps)
        memory, (last, _) = self.lstm(elements)
        return memory, torch.cat([last[0], last[0]], dim=1)

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
        memory, code = self.encode(x)
        rows, places = torch.arange(len(x)), torch.arange(x.shape[1])
        h = torch.tanh(self.init(code))
        state, chosen = (h, torch.zeros_like(h)), torch.zeros_like(h)
        free, logits, picks = torch.ones(x.shape[:2], dtype=torch.bool), [], []
        for t in range(x.shape[1]):
            state = self.decoder(chosen, state)
            scores = self.v(
                torch.tanh(self.W1(memory) + self.W2(state[0]).unsqueeze(1))
            ).squeeze(-1)
            scores = torch.where(free, scores, float("-inf"))
            pick = scores.argmax(dim=1)
            choice = pick if targets is None else targets[:, t]
            free = free & (places != choice[:, None])
            chosen = memory[rows, choice]
            logits.append(scores)
            picks.append(pick)
        return torch.stack(logits, dim=1), torch.stack(picks, dim=1)


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
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        x = number_sets(batch, n, generator)
        targets = set_targets(x, order, generator)
        logits, _ = model(x, targets)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


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
    order = torch.rand(x.shape[:2], generator=generator).argsort(dim=1)
    permuted = x.take_along_dim(order[..., None], dim=1)
    with torch.no_grad():
        gap = model.encode(x)[1] - model.encode(permuted)[1]
    return gap.abs().max().item()
