"""Pipeline parallelism: stages, micro-batches, and gradients that add up to those of
the whole batch.
"""

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def schedule_numpy(num_stages: int, num_micro: int) -> np.ndarray:
    """At clock t, stage k works on micro-batch t - k."""
    clocks = np.arange(num_micro + num_stages - 1)
    micro = clocks[:, None] - np.arange(num_stages)
    return np.where((micro >= 0) & (micro < num_micro), micro, -1)


def bubble_fraction(num_stages: int, num_micro: int) -> float:
    """(K - 1) / (M + K - 1)"""
    return (num_stages - 1) / (num_micro + num_stages - 1)


def partition(costs: Sequence[float], num_stages: int) -> list[range]:
    """Try every way to cut."""
    best, smallest = None, float("inf")
    for cuts in combinations(range(1, len(costs)), num_stages - 1):
        stages = [
            range(start, stop) for start, stop in pairwise([0, *cuts, len(costs)])
        ]
        largest = max(sum(costs[layer] for layer in stage) for stage in stages)
        if largest < smallest:
            best, smallest = stages, largest
    return best


class Pipeline(nn.Module):
    """Run micro-batches through stages, clock by clock."""

    def __init__(
        self, stages: Sequence[nn.Module], num_micro: int = 1, recompute: bool = False
    ):
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.num_micro = num_micro
        self.recompute = recompute
        self.trace = []

    def forward(self, x: Tensor) -> Tensor:
        micro_batches = list(x.tensor_split(self.num_micro))
        self.trace = []
        for clock, row in enumerate(
            schedule_numpy(len(self.stages), self.num_micro).tolist()
        ):
            for k, m in enumerate(row):
                if m == -1:
                    continue
                if self.recompute:
                    micro_batches[m] = checkpoint(
                        self.stages[k], micro_batches[m], use_reentrant=False
                    )
                else:
                    micro_batches[m] = self.stages[k](micro_batches[m])
                self.trace.append((clock, k, m))
        return torch.cat(micro_batches)


def accumulate_gradients(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    num_micro: int,
) -> float:
    """One backward per micro-batch, weighted by its share of the rows."""
    total = 0.0
    for x_m, y_m in zip(x.tensor_split(num_micro), y.tensor_split(num_micro)):
        loss = loss_fn(model(x_m), y_m) * len(x_m) / len(x)
        loss.backward()
        total += loss.item()
    return total


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
    """Draw, clear, accumulate, step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        optimizer.zero_grad()
        losses.append(
            accumulate_gradients(model, x[rows], y[rows], F.cross_entropy, num_micro)
        )
        optimizer.step()
    return losses
