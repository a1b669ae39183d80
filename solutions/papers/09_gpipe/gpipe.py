"""GPipe: a network cut into stages, a batch cut into micro-batches, and gradients that
are exactly the full batch's.

Sizes: K stages, M micro-batches, N rows in a batch. Everything runs in one process: a
"device" is a stage in a list.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # stub: keep
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint  # stub: keep


def schedule_numpy(num_stages: int, num_micro: int) -> np.ndarray:
    """Write the timetable of the forward pass (figure 2c): who works on what, clock
    by clock.

    Args:
        num_stages: K.
        num_micro: M.
    Returns:
        (M + K − 1, K) int64: row t, column k is the micro-batch at stage k at clock t,
        or −1 if the stage is idle. Micro-batch m enters stage 0 at clock m and moves on
        by one stage per clock.

    For K = 2 and M = 3 the rows are [0, −1], [1, 0], [2, 1], [−1, 2].
    """
    micro = np.arange(num_micro + num_stages - 1)[:, None] - np.arange(num_stages)
    return np.where((micro >= 0) & (micro < num_micro), micro, -1)


def bubble_fraction(num_stages: int, num_micro: int) -> float:
    """Compute the idle share of the timetable, the "bubble" of section 2.3.

    Args:
        num_stages: K.
        num_micro: M.
    Returns:
        (K − 1) / (M + K − 1), the share of −1 in `schedule_numpy(K, M)`. For K = 2 and
        M = 3 it is 1/4.

    Edge cases ★
        K or M below 1 is an error.
    """
    if num_stages < 1 or num_micro < 1:
        raise ValueError(
            f"num_stages and num_micro must be at least 1, not {num_stages} and "
            f"{num_micro}"
        )
    return (num_stages - 1) / (num_micro + num_stages - 1)


def partition(costs: Sequence[float], num_stages: int) -> list[range]:
    """Cut a list of layers into stages so that the slowest stage, for which all others
    wait, is as fast as possible.

    Args:
        costs: one positive number per layer.
        num_stages: K.
    Returns:
        K non-empty ranges of layer indices. In order, they cover every layer once. The
        largest sum of costs in a range is as small as possible; any best answer
        will do.

    Costs [4, 1, 1, 1, 1] and K = 2 give [range(0, 1), range(1, 5)]: both stages cost 4.

    Edge cases ★
        K below 1, or above the number of layers, is an error.
    """
    if not 1 <= num_stages <= len(costs):
        raise ValueError(f"{len(costs)} layers cannot be cut into {num_stages} stages")
    # layers before this index → the largest cost, and the ranges, of their
    # best partition
    best = {0: (0.0, [])}
    for _ in range(num_stages):
        longer = {}
        for stop in range(1, len(costs) + 1):
            found = [
                (max(largest, sum(costs[start:stop])), [*ranges, range(start, stop)])
                for start, (largest, ranges) in best.items()
                if start < stop
            ]
            if found:
                longer[stop] = min(found, key=lambda pair: pair[0])
        best = longer
    return best[len(costs)][1]


class Pipeline(nn.Module):
    """Send the micro-batches of a batch through a list of stages by the timetable.

    Args:
        stages: K modules, each for the output of the one before.
        num_micro: M.
        recompute: keep only the inputs of the stages, and run each stage again in the
            backward pass (section 2.3).
    Attributes:
        stages: an `nn.ModuleList`.
        trace: tuples (clock, stage, micro-batch) of ints, in the order in which the
            last forward pass ran them.

    `forward(x)` cuts dim 0 of x with `tensor_split` into M pieces, runs
    `schedule_numpy(K, M)` clock by clock, and joins the M outputs in the order of the
    rows. Within a clock any order will do.

    - Values and gradients are those of the stages one after the other on the
      whole batch.
    - Recomputing uses `checkpoint(…, use_reentrant=False)`, which also repeats the
      dropout masks. A stage then runs twice per micro-batch, and once under `no_grad`.

    Edge cases ★
        A batch of fewer than M rows is an error that names both numbers.
    """

    def __init__(
        self, stages: Sequence[nn.Module], num_micro: int = 1, recompute: bool = False
    ):
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.num_micro = num_micro
        self.recompute = recompute
        self.trace: list[tuple[int, int, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        if len(x) < self.num_micro:
            raise ValueError(
                f"a batch of {len(x)} rows cannot be cut into {self.num_micro} "
                "micro-batches"
            )
        # each is replaced by its output, stage by stage
        pieces = list(x.tensor_split(self.num_micro))
        self.trace = []
        for clock, row in enumerate(
            schedule_numpy(len(self.stages), self.num_micro).tolist()
        ):
            for k, m in enumerate(row):
                if m >= 0:
                    pieces[m] = self._run(self.stages[k], pieces[m])
                    self.trace.append((clock, k, m))
        return torch.cat(pieces)

    def _run(self, stage: nn.Module, piece: Tensor) -> Tensor:
        return (
            checkpoint(stage, piece, use_reentrant=False)
            if self.recompute
            else stage(piece)
        )


def accumulate_gradients(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    num_micro: int,
) -> float:
    """Add the gradients of a batch to `.grad`, one micro-batch at a time.

    Args:
        x, y: N inputs and N targets.
        loss_fn: (outputs, targets) → the *mean* loss over their rows.
        num_micro: M; `tensor_split` cuts x and y.
    Returns:
        The mean loss of the whole batch, as a float.

    - `.grad` grows by the gradient of that mean loss: pieces of 3 and 2 rows count 3/5
      and 2/5. Old gradients stay.
    - Each micro-batch goes forward and backward before the next one starts, which frees
      its graph.
    - No parameter changes.

    Edge cases ★
        M below 1 or above N is an error.
    """
    if not 1 <= num_micro <= len(x):
        raise ValueError(
            f"a batch of {len(x)} rows cannot be cut into {num_micro} micro-batches"
        )
    mean = 0.0
    for inputs, targets in zip(
        x.tensor_split(num_micro), y.tensor_split(num_micro), strict=True
    ):
        share = len(inputs) / len(x)
        loss = loss_fn(model(inputs), targets)
        (loss * share).backward()
        mean += loss.item() * share
    return mean


def train_pipeline(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 100,
    batch: int = 50,
    lr: float = 0.05,
    num_micro: int = 1,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train a classifier with micro-batches; all micro-batches of a batch share one
    update, as in section 2.2.

    Args:
        model: returns logits (rows, classes); a `Pipeline`, or any other module.
        x, y: all inputs, and their labels (int64).
        steps: updates by SGD with momentum 0.9, each on `batch` rows drawn through
            `generator` (None: the global one).
        num_micro: micro-batches that `accumulate_gradients` cuts each batch into before
            it calls the model.
    Returns:
        One float per step: the mean cross-entropy of its batch before the update.

    Gradients are cleared before each step.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    model.train()
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        optimizer.zero_grad()
        losses.append(
            accumulate_gradients(model, x[rows], y[rows], F.cross_entropy, num_micro)
        )
        optimizer.step()
    return losses
