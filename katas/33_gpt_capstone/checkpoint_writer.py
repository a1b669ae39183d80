"""Write checkpoints while training goes on: a copy is made at once, and a thread brings
it to the disk.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor


class CheckpointWriter:
    """Replaces one file by the next, each complete: whenever the process dies, `path`
    holds a whole checkpoint.

    Args:
        refuse: is told what went wrong with the last checkpoint, and ends the run.
    """

    def __init__(self, path: Path, refuse: Callable[[str], NoReturn]):
        self.path, self.refuse = path, refuse
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.writing: Future[None] | None = None
        # the copies of the last checkpoint, by place: pinning new memory is slow
        self.kept: dict[str, Tensor] = {}

    def save(self, state: dict[str, Any]) -> None:
        """Copy the state and return. Where the one before is still being written, wait
        for it first.
        """
        self.wait()
        copy = self.copied(state, "", {})
        copies_made = torch.cuda.Event() if torch.cuda.is_initialized() else None
        if copies_made:
            # the thread waits for the GPU's copies, and this process launches the
            # next step
            copies_made.record()
        self.writing = self.thread.submit(self.write, copy, copies_made)

    def wait(self) -> None:
        """Return when the last checkpoint is on the disk."""
        try:
            if self.writing:
                self.writing.result()
        except (OSError, RuntimeError) as error:
            # PyTorch has its own words for a full disk
            reason = str(error).partition("\n")[0][:100]
            self.refuse(
                f"{self.path} cannot be written ({reason}): it holds the checkpoint "
                "before"
            )

    def copied(self, value: Any, place: str, seen: dict[tuple, Tensor]) -> Any:
        """The same containers with every tensor copied, once where two names share it,
        to pinned memory from a GPU.
        """
        if isinstance(value, dict):
            return {
                key: self.copied(part, f"{place}/{key}", seen)
                for key, part in value.items()
            }
        if isinstance(value, list | tuple):
            return [
                self.copied(part, f"{place}/{i}", seen) for i, part in enumerate(value)
            ]
        if not isinstance(value, Tensor):
            return value
        shared = (value.data_ptr(), value.shape)
        if shared not in seen:
            if place not in self.kept or self.kept[place].shape != value.shape:
                self.kept[place] = torch.empty_like(
                    value, device="cpu", pin_memory=value.is_cuda
                )
            seen[shared] = self.kept[place].copy_(value, non_blocking=True)
        return seen[shared]

    def write(
        self, state: dict[str, Any], copies_made: torch.cuda.Event | None
    ) -> None:
        if copies_made:
            copies_made.synchronize()
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, self.path)
