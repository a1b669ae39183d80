"""Splits, batches and loaders: which samples a model learns from, in which order, and
in which batches.

Every dataset here has a length: len(dataset) samples, dataset[i] for an int i from 0 to
len - 1. A function with a `generator` draws all its random numbers from it; None means
torch's global generator. Never set a seed.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


def split_sizes(n: int, fractions: Sequence[float]) -> list[int]:
    """Turn fractions of n samples into whole numbers of samples that sum to n.

    Args:
        n: the number of samples.
        fractions: the share of each split, such as (0.7, 0.15, 0.15); they sum to 1.
    Returns:
        One int per split, in order: n · fraction rounded down. The leftovers are dealt
        out one by one from the first split on.

    11 by (0.7, 0.15, 0.15) is 7.7, 1.65, 1.65, so 7, 1, 1 with two left over:
    [8, 2, 1]. For n = 1 it is [1, 0, 0].

    Edge cases ★
        Fractions of 0 get no leftover. A product that is whole but for rounding errors
        counts as whole: 100 · 0.29 is 28.999999999999996 in Python, and 100 by
        (0.71, 0.29) is [71, 29]. Errors: n < 0, no fractions, a negative fraction, a
        sum that is off 1 by more than 1e-6 (a smaller difference is fine).
    """
    total = sum(fractions)
    if (
        n < 0
        or not math.isclose(total, 1, rel_tol=0, abs_tol=1e-6)
        or min(fractions) < 0
    ):
        raise ValueError(
            f"cannot split {n} samples by {tuple(fractions)}: fractions are at least "
            "0 and sum to 1"
        )
    sizes = [math.floor(n * fraction / total + 1e-6) for fraction in fractions]
    takers = [split for split, fraction in enumerate(fractions) if fraction > 0]
    for split in takers[: n - sum(sizes)]:
        sizes[split] += 1
    return sizes


def random_split_indices(
    n: int, fractions: Sequence[float], generator: torch.Generator | None = None
) -> list[Tensor]:
    """Deal out 0 … n - 1 to splits at random, each number to exactly one.

    Args:
        n: the number of samples.
        fractions: the share of each split; the sizes are those of `split_sizes`.
        generator: see the top of this file.
    Returns:
        One int64 tensor per split: a random permutation of 0 … n - 1, cut into pieces,
        in the order drawn.

    An equally seeded generator gives the same splits again.

    Edge cases ★
        An empty split is an int64 tensor (0,). Arguments that `split_sizes` refuses are
        an error.
    """
    sizes = split_sizes(n, fractions)
    return list(torch.randperm(n, generator=generator).split(sizes))


def stratified_split(
    labels: Tensor, fractions: Sequence[float], generator: torch.Generator | None = None
) -> list[Tensor]:
    """Split samples so that every class has its share in every split.

    Args:
        labels: (N,) integers, the class of each sample; any values, not only 0 … K - 1.
        fractions: the share of each split.
        generator: see the top of this file.
    Returns:
        One int64 tensor of sample indices per split, in ascending order. Together they
        hold every index once.

    Of a class with count members, split k gets exactly
    `split_sizes(count, fractions)[k]`, drawn at random: 7 members by (0.7, 0.15, 0.15)
    are 5, 1 and 1. An equally seeded generator gives the same splits again.

    Edge cases ★
        Labels have any integer dtype and are not changed. No labels, shape (0,), give
        empty int64 tensors. Labels that are not 1-D are an error, and fractions that
        `split_sizes` refuses, also without labels.
    """
    if labels.ndim != 1:
        raise ValueError(f"labels should be (N,), not {tuple(labels.shape)}")
    # refuses bad fractions where there is no class to do it
    split_sizes(len(labels), fractions)
    splits = [[torch.empty(0, dtype=torch.int64)] for _ in fractions]
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        for split, part in zip(
            splits, members.split(split_sizes(len(members), fractions)), strict=True
        ):
            split.append(part)
    return [torch.cat(split).sort().values for split in splits]


class MiniLoader:
    """Walk through a dataset in batches: indices, a batch size, and a rule
    for stacking.

    Args:
        dataset: its items are tuples, of tensors or ints; a field has the same shape in
            every item.
        batch_size: samples per batch.
        shuffle: False goes through 0, 1, 2, …; True draws a new random order of all
            samples at every pass.
        drop_last: leave out the last batch if it is smaller than batch_size.
        generator: see the top of this file.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
    ):
        if batch_size < 1:
            raise ValueError(f"a batch holds at least one sample, not {batch_size}")
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator

    def __len__(self) -> int:
        """The number of batches in a pass: 3 for seven samples in batches of 3, or 2
        with drop_last.

        Edge cases ★
            No samples make no batches.
        """
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full if self.drop_last or rest == 0 else full + 1

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """One pass: a tuple per batch, with one tensor per field.

        The values of the batch's samples are stacked along a new first dimension; ints
        become int64. Seven samples of ((2, 3), int) in batches of 3 come as
        ((3, 2, 3), (3,)) twice and ((1, 2, 3), (1,)) once. Fetch the samples of a batch
        only when it is asked for, each once per pass. An equally seeded generator gives
        the same orders again.

        Write it without `DataLoader`; the samplers of `torch.utils.data` and
        `default_collate` are allowed.

        Edge cases ★
            Every `iter(loader)` is a pass of its own: two iterators over one loader do
            not disturb each other, and a pass may be left early. Fields keep their
            dtype, for any number of fields. dataset[i] gets a Python int. An empty
            dataset gives no batch.
        """
        n = len(self.dataset)
        order = (
            torch.randperm(n, generator=self.generator).tolist()
            if self.shuffle
            else range(n)
        )
        for batch in range(len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            items = [self.dataset[i] for i in chosen]
            yield tuple(
                torch.stack([torch.as_tensor(v) for v in field])
                for field in zip(*items, strict=True)
            )


def pad_collate(
    batch: Sequence[tuple[Tensor, int | Tensor]],
    pad_value: float = 0,
    label_pad_value: int = -100,
) -> tuple[Tensor, Tensor, Tensor]:
    """Stack sequences of different lengths: fill up the short ones at the end, and keep
    the lengths.

    Args:
        batch: samples (sequence, label) with sequences (T_i, …) of one dtype. Labels
            are ints or integer tensors (), or all of them are integer tensors (T_i,),
            one label per step.
        pad_value: fills up sequences.
        label_pad_value: fills up labels per step; -100 is the value that cross-entropy
            leaves out.
    Returns:
        sequences (B, T_max, …) in their dtype; lengths (B,) int64; labels int64, (B,),
        or (B, T_max) for labels per step. T_max is the longest length of this batch.

    `DataLoader(dataset, batch_size, collate_fn=pad_collate)` works.

    Edge cases ★
        Labels per step stay (B, T_max), even if every T_i is 1. Sequences have any
        dtype, labels any integer dtype. A length of 0 is fine. The result shares no
        memory with the batch. An empty batch is an error.
    """
    if not batch:
        raise ValueError("an empty batch has no shape")
    sequences, labels = zip(*batch, strict=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    if isinstance(labels[0], Tensor) and labels[0].ndim == 1:
        labels = _padded([label.long() for label in labels], label_pad_value)
    else:
        labels = torch.tensor([int(label) for label in labels])
    return _padded(sequences, pad_value), lengths, labels


def _padded(sequences: Sequence[Tensor], value: float) -> Tensor:
    longest = max(len(sequence) for sequence in sequences)
    out = sequences[0].new_full(
        (len(sequences), longest, *sequences[0].shape[1:]), value
    )
    for row, sequence in zip(out, sequences, strict=True):
        row[: len(sequence)] = sequence
    return out


def make_loaders(
    train: Dataset,
    val: Dataset,
    test: Dataset,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    num_workers: int = 0,
) -> dict[str, DataLoader]:
    """A DataLoader for each split: training data in a new order each epoch, the others
    always in order.

    Args:
        train, val, test: one dataset per split.
        batch_size: samples per batch, the same for all three.
        generator: decides the order of the training data; see the top of this file.
        num_workers: worker processes of each loader, 0 for none.
    Returns:
        The loaders under "train", "val" and "test". None of them drops samples: the
        last batch may be smaller.

    An equally seeded generator gives equal training orders, epoch by epoch.

    Edge cases ★
        Training orders stay equal if val and test are read in between: a DataLoader
        draws a number from its generator at every pass, even if it does not shuffle.
        Without a generator, nothing is seeded.
    """
    return {
        "train": DataLoader(
            train,
            batch_size,
            shuffle=True,
            generator=generator,
            num_workers=num_workers,
        ),
        "val": DataLoader(val, batch_size, num_workers=num_workers),
        "test": DataLoader(test, batch_size, num_workers=num_workers),
    }


def batch_report(
    dataset: Dataset, batch_sizes: Sequence[int]
) -> dict[int, dict[str, int]]:
    """Count what a batch size costs: batches, bytes at once, and samples in the
    last batch.

    Args:
        dataset: at least one item. Items are tuples of tensors; a field has the same
            shape and dtype in all items.
        batch_sizes: the sizes to look at, each at least 1.
    Returns:
        For each batch size a dict of ints, for a pass over all samples with
        nothing dropped:

        - "batches": their number
        - "max_bytes": the bytes of all tensors of the largest batch, inputs and
          labels together
        - "last_batch": the samples in the last one

    Five samples of 12 and 8 bytes in batches of 2 make 3 batches of at most 40 bytes,
    with 1 sample in the last; in batches of 8 they make 1 batch of 100 bytes with 5.
    """
    n = len(dataset)
    sample_bytes = sum(field.numel() * field.element_size() for field in dataset[0])
    report = {}
    for size in batch_sizes:
        batches = math.ceil(n / size)
        last = n - (batches - 1) * size
        report[size] = {
            "batches": batches,
            "max_bytes": min(size, n) * sample_bytes,
            "last_batch": last,
        }
    return report


class ShardedRange(IterableDataset):
    """The ints start … end - 1 as a stream that worker processes share.

    Args:
        start: the first number.
        end: the number after the last one.

    Iterating gives Python ints in ascending order, and every `iter` starts again. A
    DataLoader gives each worker a copy of the dataset and joins what they read. So in a
    worker, iterating gives only this worker's part: together the workers read each
    number exactly once, in equal parts if possible.

    `torch.utils.data.get_worker_info()` is None outside of workers; in a worker it has
    the attributes `id` (0, 1, …) and `num_workers`.

    Edge cases ★
        There may be more workers than numbers. A worker's second pass gives the same
        part. end = start is an empty stream, and end < start an error when the stream
        is made.
    """

    def __init__(self, start: int, end: int):
        if end < start:
            raise ValueError(f"the stream ends at {end}, before its start at {start}")
        super().__init__()
        self.start = start
        self.end = end

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(self.start + first, self.end, step))
