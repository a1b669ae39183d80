"""Token batches: from documents by way of one long stream of token ids to the (x, y) that a language model learns from.

B is the batch size, T the block size. In a batch x and y are (B, T); y holds the token that follows each token of x.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def sequential_batch(tokens: Tensor, batch_size: int, block_size: int, start: int = 0) -> tuple[Tensor, Tensor]:
    """Cut the next B·T + 1 tokens of a stream into rows, and pair each token with the one that follows.

    Args:
        tokens: (N,) token ids of any integer dtype.
        batch_size: B, rows.
        block_size: T, tokens a row.
        start: where the batch begins in the stream.
    Returns:
        x and y, both (B, T). x is tokens[start : start + B·T], row after row; y is the same one token further on. So
        y[b, t] is x[b, t + 1], and the last of a row, y[b, T - 1], is x[b + 1, 0]. The very last is a token that x has
        not: that is what the + 1 is for.

    [5, 8, 2, 9, 4, 7, 1] with B = 2 and T = 3 gives x = [[5, 8, 2], [9, 4, 7]] and y = [[8, 2, 9], [4, 7, 1]].

    x and y may share memory with tokens and with each other. They are long (int64), which embeddings and cross-entropy
    want, whatever dtype tokens has: uint8, int16, uint16, int32, int64.

    Raises:
        ValueError: start is negative, or fewer than B·T + 1 tokens are left from there.
    """
    count = batch_size * block_size
    if start < 0 or start + count + 1 > len(tokens):
        raise ValueError(f"{count + 1} tokens from {start} on do not fit into a stream of {len(tokens)}")
    piece = tokens[start : start + count + 1].long()
    return piece[:-1].reshape(batch_size, block_size), piece[1:].reshape(batch_size, block_size)


def random_batch(
    tokens: Tensor, batch_size: int, block_size: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw B windows from anywhere in a stream, and pair each token with the one that follows.

    Args:
        tokens: (N,) token ids of any integer dtype.
        batch_size: B, windows.
        block_size: T, tokens a window.
        generator: where the random numbers come from; None takes torch's global generator.
    Returns:
        x and y, both (B, T) and long. Row b of x is tokens[o : o + T], row b of y is tokens[o + 1 : o + 1 + T], for an
        offset o of its own.

    All offsets for which a whole window and the token after it are there, 0 … N - T - 1, are equally likely. Each row
    draws from all of them, whatever the other rows drew: the same window may come twice, and T + 1 tokens are enough
    for any B.

    Nothing is seeded here. A generator of the same seed gives the same batch again, a second call with the same
    generator another one, and a call with a generator leaves the global one as it was.

    Raises:
        ValueError: there are fewer than T + 1 tokens.
    """
    if len(tokens) < block_size + 1:
        raise ValueError(f"a window of {block_size} and the token after it do not fit into {len(tokens)} tokens")
    offsets = torch.randint(len(tokens) - block_size, (batch_size,), generator=generator)
    windows = torch.stack([tokens[o : o + block_size + 1] for o in offsets.tolist()]).long()
    return windows[:, :-1], windows[:, 1:]


def split_documents(
    docs: Sequence[str], val_fraction: float, generator: torch.Generator | None = None
) -> tuple[list[str], list[str]]:
    """Hold out whole documents for validation, so that no text is both trained on and judged by.

    Args:
        docs: documents; some may occur several times.
        val_fraction: the share of the distinct documents that is held out, between 0 and 1.
        generator: where the random numbers come from; None takes torch's global generator.
    Returns:
        (train, val): lists that together hold everything in docs, copies included, each in the order of docs.

        - Of the n distinct documents, round(val_fraction · n) are in val, but at least 1 and at most n - 1.
        - Which ones is drawn at random: every choice of that many documents is equally likely. A document with many
          copies has the same chance as one without.
        - All copies of a document are on the same side.

    ["a", "b", "a", "c"] with a fraction of 0.3 has n = 3, so one is held out. If it is "a", train is ["b", "c"] and val
    is ["a", "a"].

    Nothing is seeded here. A generator of the same seed gives the same split again, and a call with a generator leaves
    the global one as it was.

    Raises:
        ValueError: val_fraction is not inside (0, 1), or there are fewer than 2 distinct documents.
    """
    distinct = list(dict.fromkeys(docs))
    if not 0 < val_fraction < 1 or len(distinct) < 2:
        raise ValueError(f"{len(distinct)} distinct documents cannot be split with a fraction of {val_fraction}")
    size = min(max(round(val_fraction * len(distinct)), 1), len(distinct) - 1)
    order = torch.randperm(len(distinct), generator=generator).tolist()
    held_out = {distinct[i] for i in order[:size]}
    return [doc for doc in docs if doc not in held_out], [doc for doc in docs if doc in held_out]


def tokenize_documents(docs: Sequence[str], encode: Callable[[str], list[int]], eot: int) -> np.ndarray:
    """Join documents into one stream of token ids, in which a mark stands before each document.

    Args:
        docs: documents, which may be empty strings.
        encode: turns a text into its token ids. The lists it returns are its own: they are not changed.
        eot: the id of the mark, "end of text".
    Returns:
        A 1-D NumPy array of uint16, two bytes a token: for each document `eot`, then its ids. So the stream begins with
        `eot`, and an empty document is an `eot` and nothing else. No documents give an empty array.

    With eot = 99 and letters numbered from 1, ["ab", "", "c"] becomes [99, 1, 2, 99, 99, 3].

    Raises:
        ValueError: an id, `eot` included, does not fit into uint16, whose range is 0 … 65535.
    """
    stream = []
    for doc in docs:
        stream.append(eot)
        stream.extend(encode(doc))
    return _uint16(stream)


def write_shards(tokens: np.ndarray | Sequence[int], folder: Path | str, shard_size: int, split: str) -> list[Path]:
    """Write a stream of token ids to files of equal length.

    Args:
        tokens: (N,) ids, at least one: an array of any integer dtype, or a list.
        folder: where the files go; it is made if missing, and so are the folders above it.
        shard_size: tokens a file.
        split: the beginning of the file names, such as "train".
    Returns:
        The paths of the files in the order of the stream: folder / "train_000000.npy", folder / "train_000001.npy", …
        Each is an array that `np.load` reads, 1-D and uint16, and holds the next shard_size tokens. The last one may be
        shorter, but is never empty.

    Files of these names that are there already are overwritten; others stay.

    Raises:
        ValueError: shard_size < 1, or an id is outside 0 … 65535. Then nothing is written.
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
        path: a .npy file as `write_shards` makes it.
    Returns:
        (N,) long (int64) with the ids of the file; 65535 comes back as 65535.
    Raises:
        ValueError: the array in the file is not 1-D, or not uint16.
    """
    stream = np.load(path)
    if stream.ndim != 1 or stream.dtype != np.uint16:
        raise ValueError(f"{path} holds {stream.dtype} of shape {stream.shape}, not one row of uint16")
    return torch.from_numpy(stream.astype(np.int64))


class DataLoaderLite:
    """Walk through shard files in steps, in each of which every process (rank) reads a piece of its own.

    Args:
        shard_paths: .npy files as `write_shards` makes them, in the order in which they are read.
        batch_size: B, rows of one rank's batch.
        block_size: T, tokens a row.
        rank: which of the processes this loader is for, from 0 to world_size - 1.
        world_size: how many processes there are. Each has a loader of its own; the loaders do not talk to each other.

    One step uses S = B · T · world_size tokens of one shard, cut into pieces of B · T: rank r reads the r-th. Together
    the ranks read every token of the step once. For its targets a rank reads one token more, the first of the next
    piece. So a step at position p of a shard needs S + 1 tokens from p on:

        position p             p + B·T             p + 2·B·T           p + S
        | x of rank 0          | x of rank 1       | x of rank 2       | one more token
        (world_size = 3)

    Steps begin at positions 0, S, 2·S, … of a shard. When fewer than S + 1 tokens are left in it, all ranks go on with
    the next shard, at the same step; the tail is skipped. A shard that is too short for one step is passed over. After
    the last shard comes the first again, without end.

    Shards of 40, 5 and 26 tokens with B = 2, T = 3 and world_size = 2 (S = 12): steps at 0, 12 and 24 of the first,
    none of the second, 0 and 12 of the third, then the first again.

    Raises:
        ValueError: rank is not one of 0 … world_size - 1, or no shard is long enough for one step.
    """

    def __init__(
        self, shard_paths: Sequence[Path | str], batch_size: int, block_size: int, rank: int = 0, world_size: int = 1
    ):
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of {world_size} processes")
        self.paths = list(shard_paths)
        self.batch_size = batch_size
        self.block_size = block_size
        self.piece = rank * batch_size * block_size
        self.stride = batch_size * block_size * world_size
        self.lengths = [len(np.load(path, mmap_mode="r")) for path in self.paths]
        if not any(length > self.stride for length in self.lengths):
            raise ValueError(f"a step needs {self.stride + 1} tokens, and no shard has that many")
        self.loaded = None
        self.reset()

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """This rank's batch of the next step: x and y, both (B, T) and long, y one token further on than x."""
        while self.position + self.stride + 1 > self.lengths[self.shard]:
            self.shard, self.position = (self.shard + 1) % len(self.paths), 0
        if self.loaded != self.shard:
            self.tokens, self.loaded = load_shard(self.paths[self.shard]), self.shard
        batch = sequential_batch(self.tokens, self.batch_size, self.block_size, start=self.position + self.piece)
        self.position += self.stride
        return batch

    def reset(self) -> None:
        """Go back to the very start: the next batch is the one that a new loader gives first."""
        self.shard, self.position = 0, 0

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands, for a checkpoint: {"shard": index of a shard, "position": tokens of it done so far}.

        Both are plain ints and the same on all ranks, so that one saved state restores every rank; "position" is a
        multiple of S. Between two shards it may be the end of the one or the start of the next. The dict is a snapshot:
        it does not change as the loader goes on.
        """
        return {"shard": self.shard, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a saved state of a loader of the same shards, batch_size, block_size and world_size, of any rank.

        The next batches are those that would have followed when it was saved, for this loader's own rank. `state` is
        not changed by this or by later steps.

        Raises:
            ValueError: "shard" is no index of a shard (0 … number of shards - 1), or "position" is no multiple of S.
                The loader then stays where it was.
        """
        if not 0 <= state["shard"] < len(self.paths) or state["position"] % self.stride:
            raise ValueError(f"{state} is no place in {len(self.paths)} shards with steps of {self.stride} tokens")
        self.shard, self.position = state["shard"], state["position"]


def mixture_epochs(
    dataset_tokens: dict[str, float], weights: dict[str, float], total_tokens: float
) -> dict[str, float]:
    """How many times a run sees each dataset when it draws from several in given proportions.

    Args:
        dataset_tokens: the size of each dataset by its name.
        weights: the share of each dataset in the run, by the same names, in any order. Only the proportions count: the
            weights need not sum to 1.
        total_tokens: how many tokens the run sees in all.
    Returns:
        For each name: the tokens that the run takes from this dataset, divided by the size of the dataset.

    A run of 300 tokens over "web" (400 tokens, weight 3) and "books" (50, weight 1) takes 225 from "web", which is
    0.5625 epochs, and 75 from "books", which is 1.5. The published mixture of GPT-3 is of this kind: 300 billion tokens
    from Common Crawl (410 billion, 60 %), WebText2 (19, 22 %), Books1 (12, 8 %), Books2 (55, 8 %), Wikipedia (3, 3 %).

    Raises:
        ValueError: the names differ, a weight is negative, or the weights sum to 0.
    """
    if dataset_tokens.keys() != weights.keys():
        raise ValueError(f"datasets {sorted(dataset_tokens)}, but weights for {sorted(weights)}")
    total_weight = sum(weights.values())
    if total_weight == 0 or min(weights.values()) < 0:
        raise ValueError(f"weights should not be negative, and not all 0: {weights}")
    return {name: total_tokens * weights[name] / total_weight / size for name, size in dataset_tokens.items()}


def _uint16(ids: np.ndarray | Sequence[int]) -> np.ndarray:
    """The ids as uint16; one that does not fit raises, where `astype` alone would wrap it to another id."""
    ids = np.asarray(ids)
    if ids.size and (ids.min() < 0 or ids.max() > 65535):
        raise ValueError(f"ids from {ids.min()} to {ids.max()} do not fit into uint16 (0 … 65535)")
    return ids.astype(np.uint16)
