"""Splits, batches and loaders: which samples a model learns from, and in which order and company it meets them.

Throughout, a dataset is one that knows its length: len(dataset) samples, dataset[i] for an int i from 0 to len - 1.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


def split_sizes(n: int, fractions: Sequence[float]) -> list[int]:
    """Turn fractions of n samples into whole numbers of samples that sum to n.

    Args:
        n: how many samples there are.
        fractions: the share of each split, such as (0.7, 0.15, 0.15); they sum to 1.
    Returns:
        One int a split, in order: n · fraction rounded down. What is left over then is handed out one by one from the
        first split on, skipping fractions of 0, which stay empty.

    11 by (0.7, 0.15, 0.15) is 7.7, 1.65, 1.65, so 7, 1, 1; two are left over, and the sizes are [8, 2, 1]. For n = 1
    they are [1, 0, 0].

    A product that is whole but for rounding error counts as whole: 100 · 0.29 is 28.999999999999996 in Python, and
    100 by (0.71, 0.29) is [71, 29].

    Raises:
        ValueError: n < 0, no fractions, a negative one, or a sum that is off 1 by more than 1e-6.
    """
    total = sum(fractions)
    if n < 0 or not math.isclose(total, 1, rel_tol=0, abs_tol=1e-6) or min(fractions) < 0:
        raise ValueError(f"cannot split {n} samples by {tuple(fractions)}: fractions are at least 0 and sum to 1")
    sizes = [math.floor(n * fraction / total + 1e-6) for fraction in fractions]
    takers = [split for split, fraction in enumerate(fractions) if fraction > 0]
    for split in takers[: n - sum(sizes)]:
        sizes[split] += 1
    return sizes


def random_split_indices(n: int, fractions: Sequence[float], generator: torch.Generator | None = None) -> list[Tensor]:
    """Deal out 0 … n - 1 to splits at random, each number to exactly one.

    Args:
        n: how many samples there are.
        fractions: the share of each split; the sizes are those of `split_sizes`.
        generator: where the random numbers come from; None takes torch's global generator.
    Returns:
        One int64 tensor a split: a random permutation of 0 … n - 1, cut into pieces. All permutations are equally
        likely, and the indices of a split stay in the order in which they were drawn.

    Nothing is seeded here. A generator of the same seed gives the same splits again, a second call with the same
    generator gives others, and a call with a generator leaves the global one as it was.

    Raises:
        ValueError: as in `split_sizes`.
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
        generator: where the random numbers come from; None takes torch's global generator.
    Returns:
        One int64 tensor of sample indices a split, in ascending order (it is the loader that shuffles). Together they
        hold every index once. Split k has exactly `split_sizes(count, fractions)[k]` members of a class with count
        members: 7 by (0.7, 0.15, 0.15) are 5, 1 and 1. Which members these are is drawn at random, with equal chances
        for all members of a class.

    Nothing is seeded here. A generator of the same seed gives the same splits again, and a call with a generator leaves
    the global one as it was. No labels, shape (0,), give empty splits. labels is not changed.

    Raises:
        ValueError: labels is not 1-D, or fractions are as in `split_sizes`, whether there are labels or not.
    """
    if labels.ndim != 1:
        raise ValueError(f"labels should be (N,), not {tuple(labels.shape)}")
    split_sizes(len(labels), fractions)  # refuses bad fractions where there is no class to do it
    splits = [[torch.empty(0, dtype=torch.int64)] for _ in fractions]
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        for split, part in zip(splits, members.split(split_sizes(len(members), fractions)), strict=True):
            split.append(part)
    return [torch.cat(split).sort().values for split in splits]


class MiniLoader:
    """Walk through a dataset in batches: indices, a batch size, and a rule for stacking.

    Args:
        dataset: its items are tuples, of tensors or ints; a field has the same shape in every item.
        batch_size: samples in a batch.
        shuffle: False goes through 0, 1, 2, …; True draws a new random order of all samples at every pass.
        drop_last: leave out the last batch if it is smaller than batch_size.
        generator: where the random orders come from; None takes torch's global generator.

    `len(loader)` is the number of batches of a pass. Iterating gives a tuple a batch, with one tensor a field: the
    values of the batch's samples stacked along a new first dimension, dtype kept; ints become int64. Seven samples of
    ((2, 3), int) in batches of 3 come as ((3, 2, 3), (3,)) twice and ((1, 2, 3), (1,)) once.

    A batch's samples are fetched when the batch is asked for, not before, each once a pass. Every `iter(loader)` starts
    a pass of its own: two iterators over one loader, as in nested loops, do not disturb each other.

    Nothing is seeded here. Loaders with generators of the same seed go through the same orders, and a loader with a
    generator leaves the global one as it was. An empty dataset gives no batch, shuffled or not.

    To be written without `DataLoader`; the samplers of `torch.utils.data` and `default_collate` are welcome.

    Raises:
        ValueError: batch_size < 1.
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
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full if self.drop_last or rest == 0 else full + 1

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        n = len(self.dataset)
        order = torch.randperm(n, generator=self.generator).tolist() if self.shuffle else range(n)
        for batch in range(len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            items = [self.dataset[i] for i in chosen]
            yield tuple(torch.stack([torch.as_tensor(v) for v in field]) for field in zip(*items, strict=True))


def pad_collate(
    batch: Sequence[tuple[Tensor, int | Tensor]], pad_value: float = 0, label_pad_value: int = -100
) -> tuple[Tensor, Tensor, Tensor]:
    """Stack sequences of different lengths: fill the short ones up at the end, and remember how long each one was.

    Args:
        batch: samples (sequence, label). The sequences (T_i, …) have one dtype and agree in all dimensions but the
            first; a length of 0 is fine. Either every label is an int or an integer tensor of shape (), or every label
            is an integer tensor of shape (T_i,), one label a step.
        pad_value: what fills up sequences.
        label_pad_value: what fills up labels of steps; -100 is what cross-entropy leaves out.
    Returns:
        sequences (B, T_max, …) in their dtype, lengths (B,) int64, and labels int64: (B,) for one label a sequence,
        (B, T_max) for one a step, padded at the end as the sequences are, also when every T_i is 1. T_max is the length
        of the longest sequence of this batch.

    Nothing in the result shares memory with the batch. `DataLoader(dataset, batch_size, collate_fn=pad_collate)` works.

    Raises:
        ValueError: the batch is empty.
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
    out = sequences[0].new_full((len(sequences), longest, *sequences[0].shape[1:]), value)
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
    """A DataLoader for each split: training data in a new order each epoch, the others always in order.

    Args:
        train, val, test: one dataset a split.
        batch_size: samples in a batch, the same for all three.
        generator: decides the order of the training data; None takes torch's global generator.
        num_workers: worker processes of each loader, 0 for none.
    Returns:
        The loaders under "train", "val" and "test". None of them drops samples: the last batch may be smaller.

    An equal generator gives equal training orders, epoch by epoch, whether or not val and test were read in between.
    That takes care: a DataLoader draws a number from its generator at every pass, even if it does not shuffle.
    """
    return {
        "train": DataLoader(train, batch_size, shuffle=True, generator=generator, num_workers=num_workers),
        "val": DataLoader(val, batch_size, num_workers=num_workers),
        "test": DataLoader(test, batch_size, num_workers=num_workers),
    }


def batch_report(dataset: Dataset, batch_sizes: Sequence[int]) -> dict[int, dict[str, int]]:
    """What a batch size costs: how many batches, how many bytes at once, how many samples in the last one.

    Args:
        dataset: at least one item. Items are tuples of tensors; a field has the same shape and dtype in each of them.
        batch_sizes: the sizes to look at, each at least 1.
    Returns:
        For each batch size a dict of ints, for a pass over all samples with nothing dropped:

        - "batches": how many there are
        - "max_bytes": the bytes of all tensors of the largest batch, inputs and labels together
        - "last_batch": the samples in the last one

    Five samples of 12 and 8 bytes in batches of 2 make 3 batches of at most 40 bytes, with 1 sample in the last; in
    batches of 8 they make 1 batch of 100 bytes with 5.
    """
    n = len(dataset)
    sample_bytes = sum(field.numel() * field.element_size() for field in dataset[0])
    report = {}
    for size in batch_sizes:
        batches = math.ceil(n / size)
        last = n - (batches - 1) * size
        report[size] = {"batches": batches, "max_bytes": min(size, n) * sample_bytes, "last_batch": last}
    return report


class ShardedRange(IterableDataset):
    """The ints start … end - 1 as a stream that worker processes share instead of each reading all of it.

    Args:
        start: the first number.
        end: where the stream ends; this number is not part of it. end = start gives an empty stream.

    Iterating gives the numbers as Python ints, in ascending order where there are no workers, and every `iter` starts
    again. A DataLoader with workers gives each of them a copy of the dataset and joins what they read. So in a worker,
    iterating gives only this worker's part: together the workers read each number exactly once, however many they are,
    also when there are fewer numbers than workers. Which worker reads which numbers is up to you, but none reads more
    than another if the numbers can be shared out evenly.

    `torch.utils.data.get_worker_info()` tells code where it runs: it is None where there are no workers; in a worker it
    has the attributes `id` (0, 1, …) and `num_workers`.

    Raises:
        ValueError: end < start.
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
