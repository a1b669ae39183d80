"""Time one way of training: milliseconds per step, losses, memory; two ways in turns,
and their way to one loss.
"""

import gc
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from grader import devices

Step = Callable[[], Tensor | float]
Update = tuple[float, float]


@dataclass(frozen=True)
class Steps:
    """The numbers of steps: some to warm up, then windows of several, with one look at
    the clock around each window.
    """

    warm_up: int
    windows: int
    per_window: int


class Batches:
    """The same rows again and again, fetched as nanoGPT fetches its batches: from a
    file, through pinned memory.
    """

    def __init__(
        self,
        vocab_size: int,
        rows: int,
        length: int,
        device: torch.device,
        folder: Path,
    ):
        self.rows, self.length, self.device = rows, length, device
        self.path = folder / "tokens.bin"
        tokens = np.random.default_rng(1).integers(
            vocab_size, size=rows * length + 1, dtype=np.uint16
        )
        self.path.write_bytes(tokens.tobytes())

    def of(self, rows: int) -> Callable[[], tuple[Tensor, Tensor]]:
        """A function that fetches a batch of that many rows: those of the file,
        repeated, so that losses compare.
        """
        starts = [self.length * (i % self.rows) for i in range(rows)]

        def fetch() -> tuple[Tensor, Tensor]:
            data = np.memmap(self.path, dtype=np.uint16, mode="r")
            x, y = (
                torch.stack(
                    [
                        torch.from_numpy(
                            data[s + d : s + d + self.length].astype(np.int64)
                        )
                        for s in starts
                    ]
                )
                for d in (0, 1)
            )
            return devices.sent(x, self.device), devices.sent(y, self.device)

        return fetch


def timed(kata: ModuleType, step: Step, steps: Steps) -> tuple[float, list[float]]:
    """(milliseconds per step, all losses): the median of the windows, each of which
    ends when all work is done.
    """
    losses = [step() for _ in range(steps.warm_up)]

    def window() -> None:
        losses.extend(step() for _ in range(steps.per_window))

    seconds = kata.time_steps(window, steps.windows, 0)
    return 1000 * statistics.median(seconds) / steps.per_window, [
        float(loss) for loss in losses
    ]


def in_turns(
    kata: ModuleType, ours: Step, theirs: Step, steps: Steps
) -> tuple[list[float], list[float]]:
    """Milliseconds per step of two trainings, window by window in turns: what slows the
    machine slows both.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for step in (ours, theirs):
        for _ in range(steps.warm_up):
            step()

    def window(step: Step) -> None:
        for _ in range(steps.per_window):
            step()

    for _ in range(steps.windows):
        for place, step in enumerate((ours, theirs)):
            [seconds] = kata.time_steps(lambda step=step: window(step), 1, 0)
            found[place].append(1000 * seconds / steps.per_window)
    return found


def raced(
    kata: ModuleType, ours: Step, theirs: Step, steps: Steps
) -> tuple[list[Update], list[Update]]:
    """The updates of two trainings from the same weights, in turns: (seconds, loss),
    after those that warm up.
    """
    found: tuple[list[Update], list[Update]] = ([], [])
    for step in (ours, theirs):
        for _ in range(steps.warm_up):
            step()
    for _ in range(steps.windows):
        for place, step in enumerate((ours, theirs)):
            losses: list[float] = []
            [seconds] = kata.time_steps(
                lambda step=step, losses=losses: losses.append(float(step())), 1, 0
            )
            found[place].append((seconds, losses[0]))
    return found


def seconds_to(loss: float, updates: list[Update]) -> float:
    """The seconds of all updates up to the first with this loss or a lower one."""
    last = next(number for number, (_, found) in enumerate(updates) if found <= loss)
    return sum(seconds for seconds, _ in updates[: last + 1])


def forget(device: torch.device) -> None:
    """Give back what the rung before has left, and count memory anew."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: torch.device) -> int | None:
    """The most memory since `forget`: of all tensors on the GPU, or of this process
    where there is none.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    found = (
        re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    )
    return 1024 * int(found[1]) if found else None
