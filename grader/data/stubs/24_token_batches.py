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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


def load_shard(path: Path | str) -> Tensor:
    """Read a file of token ids.

    Args:
        path: a .npy file as `write_shards` makes it.
    Returns:
        (N,) long (int64) with the ids of the file; 65535 comes back as 65535.
    Raises:
        ValueError: the array in the file is not 1-D, or not uint16.
    """
    raise NotImplementedError


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
        raise NotImplementedError

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """This rank's batch of the next step: x and y, both (B, T) and long, y one token further on than x."""
        raise NotImplementedError

    def reset(self) -> None:
        """Go back to the very start: the next batch is the one that a new loader gives first."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands, for a checkpoint: {"shard": index of a shard, "position": tokens of it done so far}.

        Both are plain ints and the same on all ranks, so that one saved state restores every rank; "position" is a
        multiple of S. Between two shards it may be the end of the one or the start of the next. The dict is a snapshot:
        it does not change as the loader goes on.
        """
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a saved state of a loader of the same shards, batch_size, block_size and world_size, of any rank.

        The next batches are those that would have followed when it was saved, for this loader's own rank. `state` is
        not changed by this or by later steps.

        Raises:
            ValueError: "shard" is no index of a shard (0 … number of shards - 1), or "position" is no multiple of S.
                The loader then stays where it was.
        """
        raise NotImplementedError


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
    raise NotImplementedError
