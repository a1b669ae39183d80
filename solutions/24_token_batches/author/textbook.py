"""Token batches: documents become one long stream of token ids, and the stream becomes
the (x, y) of a language model.

B is the batch size, T the block size. In a batch x and y are (B, T); y holds the token
that follows each token of x.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def sequential_batch(
    tokens: Tensor, batch_size: int, block_size: int, start: int = 0
) -> tuple[Tensor, Tensor]:
    """Cut the next B·T + 1 tokens of a stream into rows, and pair each token with the
    one that follows.
    """
    n = batch_size * block_size
    chunk = tokens[start : start + n + 1].long()
    return chunk[:-1].view(batch_size, block_size), chunk[1:].view(
        batch_size, block_size
    )


def random_batch(
    tokens: Tensor,
    batch_size: int,
    block_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw B windows at random offsets of a stream, and pair each token with the one
    that follows.
    """
    offsets = torch.randint(
        len(tokens) - block_size, (batch_size,), generator=generator
    )
    x = torch.stack([tokens[o : o + block_size] for o in offsets])
    y = torch.stack([tokens[o + 1 : o + 1 + block_size] for o in offsets])
    return x.long(), y.long()


def split_documents(
    docs: Sequence[str], val_fraction: float, generator: torch.Generator | None = None
) -> tuple[list[str], list[str]]:
    """Hold out whole documents for validation, so that no text is in both sets."""
    distinct = list(dict.fromkeys(docs))
    n = len(distinct)
    n_val = min(max(round(val_fraction * n), 1), n - 1)
    chosen = torch.randperm(n, generator=generator)[:n_val]
    held_out = {distinct[i] for i in chosen}
    train = [doc for doc in docs if doc not in held_out]
    val = [doc for doc in docs if doc in held_out]
    return train, val


def tokenize_documents(
    docs: Sequence[str], encode: Callable[[str], list[int]], eot: int
) -> np.ndarray:
    """Join documents into one stream of token ids, with a mark before each document."""
    ids = []
    for doc in docs:
        ids.append(eot)
        ids.extend(encode(doc))
    return np.array(ids, dtype=np.uint16)


def write_shards(
    tokens: np.ndarray | Sequence[int], folder: Path | str, shard_size: int, split: str
) -> list[Path]:
    """Write a stream of token ids to files of equal length."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokens = np.asarray(tokens).astype(np.uint16)
    paths = []
    for i, start in enumerate(range(0, len(tokens), shard_size)):
        path = folder / f"{split}_{i:06d}.npy"
        np.save(path, tokens[start : start + shard_size])
        paths.append(path)
    return paths


def load_shard(path: Path | str) -> Tensor:
    """Read a file of token ids."""
    return torch.from_numpy(np.load(path).astype(np.int64))


class DataLoaderLite:
    """Walk through shard files in steps. Every process (rank) reads its own piece of
    each step.
    """

    def __init__(
        self,
        shard_paths: Sequence[Path | str],
        batch_size: int,
        block_size: int,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.shard_paths = shard_paths
        self.batch_size = batch_size
        self.block_size = block_size
        self.rank = rank
        self.step_size = batch_size * block_size * world_size
        self.reset()

    def _open(self, shard: int, position: int) -> None:
        self.shard = shard
        self.position = position
        self.tokens = load_shard(self.shard_paths[shard])

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Return this rank's batch of the next step: x and y, both (B, T) and long; y
        is one token later.
        """
        while self.position + self.step_size + 1 > len(self.tokens):
            self._open((self.shard + 1) % len(self.shard_paths), 0)
        start = self.position + self.rank * self.batch_size * self.block_size
        self.position += self.step_size
        return sequential_batch(self.tokens, self.batch_size, self.block_size, start)

    def reset(self) -> None:
        """Go back to the very start: the next batch is the first batch of a
        new loader.
        """
        self._open(0, 0)

    def state_dict(self) -> dict[str, int]:
        """Return the position for a checkpoint: {"shard": index of the shard,
        "position": tokens of it used so far}.
        """
        return {"shard": self.shard, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume from the state of a loader with the same shards, B, T and world_size,
        of any rank.
        """
        self._open(state["shard"], state["position"])


def mixture_epochs(
    dataset_tokens: dict[str, float], weights: dict[str, float], total_tokens: float
) -> dict[str, float]:
    """Compute how many times a run that draws from several datasets sees each
    of them.
    """
    total_weight = sum(weights.values())
    return {
        name: total_tokens * weights[name] / total_weight / size
        for name, size in dataset_tokens.items()
    }
