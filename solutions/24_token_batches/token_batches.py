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

    Args:
        tokens: (N,) token ids.
        batch_size: B, the number of rows.
        block_size: T, tokens per row.
        start: the position in the stream where the batch begins.
    Returns:
        x and y, both (B, T). x is tokens[start : start + B·T], row after row; y begins
        one token later.
        So y[b, T − 1] is x[b + 1, 0], and the very last target is the token after x.

    [5, 8, 2, 9, 4, 7, 1] with B = 2 and T = 3 gives x = [[5, 8, 2], [9, 4, 7]] and
    y = [[8, 2, 9], [4, 7, 1]].

    Edge cases ★
        Both are long (int64), whatever integer dtype `tokens` has. `tokens` may be
        non-contiguous and is not changed.
        A negative `start`, or fewer than B·T + 1 tokens from there on, is an error.
    """
    count = batch_size * block_size
    if start < 0 or start + count + 1 > len(tokens):
        raise ValueError(
            f"{count + 1} tokens from {start} on do not fit into a stream of "
            f"{len(tokens)}"
        )
    piece = tokens[start : start + count + 1].long()
    return piece[:-1].reshape(batch_size, block_size), piece[1:].reshape(
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

    Args:
        tokens: (N,) token ids.
        batch_size: B, the number of windows.
        block_size: T, tokens per window.
        generator: the source of the random numbers; None is torch's global generator.
    Returns:
        x and y, both (B, T). Row b of x is tokens[o : o + T], row b of y is
        tokens[o + 1 : o + 1 + T].

    Each row draws its own offset o: all offsets 0 … N − T − 1 are equally likely,
    whatever the other rows drew.
    Do not seed the generator: the next call continues its sequence.

    Edge cases ★
        Both are long, whatever integer dtype `tokens` has. T + 1 tokens are enough for
        any B; fewer are an error.
    """
    if len(tokens) < block_size + 1:
        raise ValueError(
            f"a window of {block_size} and the token after it do not fit into "
            f"{len(tokens)} tokens"
        )
    offsets = torch.randint(
        len(tokens) - block_size, (batch_size,), generator=generator
    )
    windows = torch.stack(
        [tokens[o : o + block_size + 1] for o in offsets.tolist()]
    ).long()
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


def split_documents(
    docs: Sequence[str], val_fraction: float, generator: torch.Generator | None = None
) -> tuple[list[str], list[str]]:
    """Hold out whole documents for validation, so that no text is in both sets.

    Args:
        docs: documents; some may occur several times.
        val_fraction: the share of the distinct documents to hold out, between 0 and 1.
        generator: the source of the random numbers; None is torch's global generator.
    Returns:
        (train, val): two lists in the order of `docs` that together hold all of `docs`.

    - Of the n distinct documents, round(val_fraction · n) are in val.
    - Every choice of that many documents is equally likely, and a seed gives the same
      choice in every run.
    - All copies of a document are in the same list.

    If "a" is held out of ["a", "b", "a", "c"], train is ["b", "c"] and val
    is ["a", "a"].

    Edge cases ★
        At least 1 and at most n − 1 documents are in val. `docs` may be a tuple and is
        not changed. A fraction outside (0, 1), or fewer than 2 distinct documents, is
        an error.
    """
    distinct = list(dict.fromkeys(docs))
    if not 0 < val_fraction < 1 or len(distinct) < 2:
        raise ValueError(
            f"{len(distinct)} distinct documents cannot be split with a fraction of "
            f"{val_fraction}"
        )
    size = min(max(round(val_fraction * len(distinct)), 1), len(distinct) - 1)
    order = torch.randperm(len(distinct), generator=generator).tolist()
    held_out = {distinct[i] for i in order[:size]}
    return [doc for doc in docs if doc not in held_out], [
        doc for doc in docs if doc in held_out
    ]


def tokenize_documents(
    docs: Sequence[str], encode: Callable[[str], list[int]], eot: int
) -> np.ndarray:
    """Join documents into one stream of token ids, with a mark before each document.

    Args:
        docs: documents, which may be empty strings.
        encode: turns a text into its token ids.
        eot: the id of the mark, "end of text".
    Returns:
        A 1-D NumPy array of uint16, two bytes per token: for each document `eot`, then
        its ids. The first document and empty ones have a mark too.

    With eot = 99 and letters numbered from 1, ["ab", "", "c"] becomes
    [99, 1, 2, 99, 99, 3].

    Edge cases ★
        No documents give an empty array. The lists that `encode` returns are not
        changed. An id outside 0 … 65535, `eot` included, is an error.
    """
    stream = []
    for doc in docs:
        stream.append(eot)
        stream.extend(encode(doc))
    return _uint16(stream)


def write_shards(
    tokens: np.ndarray | Sequence[int], folder: Path | str, shard_size: int, split: str
) -> list[Path]:
    """Write a stream of token ids to files of equal length.

    Args:
        tokens: (N,) ids from 0 to 65535, in an array or a list.
        folder: where the files go; it is created if missing, and so are its parents.
        shard_size: tokens per file.
        split: the prefix of the file names, such as "train".
    Returns:
        The paths in the order of the stream: folder / "train_000000.npy", folder /
        "train_000001.npy", …

    Each file is written with `np.save` and holds the next shard_size tokens as 1-D
    uint16. The last one may be shorter but is never empty.

    Edge cases ★
        The array may have any integer dtype and is not changed. `folder` may be a str.
        Files of the same name are overwritten, others stay. An id outside 0 … 65535, or
        a `shard_size` below 1, is an error, and nothing is written.
    """
    if shard_size < 1:
        raise ValueError(f"shard_size should be at least 1, not {shard_size}")
    stream = _uint16(tokens)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, first in enumerate(range(0, len(stream), shard_size)):
        paths.append(folder / f"{split}_{i:06d}.npy")
        np.save(paths[-1], stream[first : first + shard_size])
    return paths


def load_shard(path: Path | str) -> Tensor:
    """Read a file of token ids.

    Args:
        path: a .npy file that `write_shards` made.
    Returns:
        (N,) long (int64), the ids of the file: 65535 comes back as 65535.

    Edge cases ★
        `path` may be a str. An array that is not 1-D uint16 is an error.
    """
    stream = np.load(path)
    if stream.ndim != 1 or stream.dtype != np.uint16:
        raise ValueError(
            f"{path} holds {stream.dtype} of shape {stream.shape}, not one row of "
            "uint16"
        )
    return torch.from_numpy(stream.astype(np.int64))


class DataLoaderLite:
    """Walk through shard files in steps. Every process (rank) reads its own piece of
    each step.

    One step uses S = B · T · world_size tokens of one shard: rank r reads the r-th
    piece of B · T, and one more token for its last target. A step at position p
    therefore needs S + 1 tokens from p on:

        position p             p + B·T             p + 2·B·T           p + S
        | x of rank 0          | x of rank 1       | x of rank 2       | one more token
        (world_size = 3)
    """

    def __init__(
        self,
        shard_paths: Sequence[Path | str],
        batch_size: int,
        block_size: int,
        rank: int = 0,
        world_size: int = 1,
    ):
        """Make a loader that starts with the first token of the first shard.

        Args:
            shard_paths: .npy files that `write_shards` made, in reading order.
            batch_size: B, rows per batch of one rank.
            block_size: T, tokens per row.
            rank: the number of this process, from 0 to world_size − 1.
            world_size: the number of processes. Each has its own loader; the loaders do
                not communicate.

        Edge cases ★
            Paths may be str, in a list or a tuple. A `rank` outside 0 … world_size − 1
            is an error. Shards of which none has S + 1 tokens are an error too.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of {world_size} processes")
        self.paths = list(shard_paths)
        self.batch_size = batch_size
        self.block_size = block_size
        self.piece = rank * batch_size * block_size
        self.stride = batch_size * block_size * world_size
        self.lengths = [len(np.load(path, mmap_mode="r")) for path in self.paths]
        if not any(length > self.stride for length in self.lengths):
            raise ValueError(
                f"a step needs {self.stride + 1} tokens, and no shard has that many"
            )
        self.loaded = None
        self.reset()

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Return this rank's batch of the next step: x and y, both (B, T) and long; y
        is one token later.

        - Steps begin at positions 0, S, 2·S, … of a shard.
        - When fewer than S + 1 tokens are left, all ranks move to the next shard, at
          the same step.
        - The first shard follows the last.

        Shards of 40 and 26 tokens with B = 2, T = 3 and world_size = 2 (S = 12) have
        steps at 0, 12 and 24 of the first and at 0 and 12 of the second. Then the first
        starts again.

        Edge cases ★
            A shard that is too short for one step is skipped.
        """
        while self.position + self.stride + 1 > self.lengths[self.shard]:
            self.shard, self.position = (self.shard + 1) % len(self.paths), 0
        if self.loaded != self.shard:
            self.tokens, self.loaded = load_shard(self.paths[self.shard]), self.shard
        batch = sequential_batch(
            self.tokens,
            self.batch_size,
            self.block_size,
            start=self.position + self.piece,
        )
        self.position += self.stride
        return batch

    def reset(self) -> None:
        """Go back to the very start: the next batch is the first batch of a
        new loader.
        """
        self.shard, self.position = 0, 0

    def state_dict(self) -> dict[str, int]:
        """Return the position for a checkpoint: {"shard": index of the shard,
        "position": tokens of it used so far}.

        Both are plain ints and the same on all ranks, so that one saved state restores
        every rank: "position" is a multiple of S. Between two shards it may be the end
        of one or the start of the next. The dict is a snapshot: it does not change when
        the loader moves on.
        """
        return {"shard": self.shard, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume from the state of a loader with the same shards, B, T and world_size,
        of any rank.

        The next batches are those that would have followed the save, for this loader's
        own rank.

        Edge cases ★
            `state` is not changed. A "shard" that is not an index from 0 on, or a
            "position" that is not a multiple of S, is an error, and the loader stays
            where it was.
        """
        if not 0 <= state["shard"] < len(self.paths) or state["position"] % self.stride:
            raise ValueError(
                f"{state} is not a step in {len(self.paths)} shards with steps of "
                f"{self.stride} tokens"
            )
        self.shard, self.position = state["shard"], state["position"]


def mixture_epochs(
    dataset_tokens: dict[str, float], weights: dict[str, float], total_tokens: float
) -> dict[str, float]:
    """Compute how many times a run that draws from several datasets sees each of them.

    Args:
        dataset_tokens: the size of each dataset, by name.
        weights: the share of each dataset in the run, by the same names. Only the
            proportions count: the weights need not sum to 1.
        total_tokens: the tokens that the whole run sees.
    Returns:
        For each name: the tokens that the run takes from this dataset, divided by the
        size of the dataset.

    A run of 300 tokens over "web" (400 tokens, weight 3) and "books" (50, weight 1)
    takes 225 tokens from "web", which is 0.5625 epochs, and 75 from "books", which
    is 1.5.

    Edge cases ★
        The arguments are not changed. Different names, a negative weight, or weights
        that sum to 0 are an error.
    """
    if dataset_tokens.keys() != weights.keys():
        raise ValueError(
            f"datasets {sorted(dataset_tokens)}, but weights for {sorted(weights)}"
        )
    total_weight = sum(weights.values())
    if total_weight == 0 or min(weights.values()) < 0:
        raise ValueError(f"weights should not be negative, and not all 0: {weights}")
    return {
        name: total_tokens * weights[name] / total_weight / size
        for name, size in dataset_tokens.items()
    }


def _uint16(ids: np.ndarray | Sequence[int]) -> np.ndarray:
    """Convert ids to uint16. `astype` alone would wrap an id that does not fit."""
    ids = np.asarray(ids)
    if ids.size and (ids.min() < 0 or ids.max() > 65535):
        raise ValueError(
            f"ids from {ids.min()} to {ids.max()} do not fit into uint16 (0 … 65535)"
        )
    return ids.astype(np.uint16)
