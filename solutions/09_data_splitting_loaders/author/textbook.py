"""Splits, batches and loaders: which samples a model learns from, and in which order
and company it meets them.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    default_collate,
    get_worker_info,
)


def split_sizes(n: int, fractions: Sequence[float]) -> list[int]:
    """Round down, deal out what is left."""
    sizes = [math.floor(n * fraction + 1e-9) for fraction in fractions]
    not_empty = [i for i, fraction in enumerate(fractions) if fraction > 0]
    for i in not_empty[: n - sum(sizes)]:
        sizes[i] += 1
    return sizes


def random_split_indices(
    n: int, fractions: Sequence[float], generator: torch.Generator | None = None
) -> list[Tensor]:
    """A permutation in pieces."""
    return list(torch.randperm(n, generator=generator).split(split_sizes(n, fractions)))


def stratified_split(
    labels: Tensor, fractions: Sequence[float], generator: torch.Generator | None = None
) -> list[Tensor]:
    """A random split inside each class, joined."""
    splits = [[] for _ in fractions]
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        for split, part in zip(
            splits,
            random_split_indices(len(members), fractions, generator),
            strict=True,
        ):
            split.append(members[part])
    return [torch.cat(split).sort().values for split in splits]


class MiniLoader:
    """Batches, in order or shuffled."""

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator

    def __len__(self) -> int:
        if self.drop_last:
            return len(self.dataset) // self.batch_size
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        order = range(len(self.dataset))
        if self.shuffle:
            order = torch.randperm(len(self.dataset), generator=self.generator).tolist()
        for b in range(len(self)):
            indices = order[b * self.batch_size : (b + 1) * self.batch_size]
            yield tuple(default_collate([self.dataset[i] for i in indices]))


def pad_collate(
    batch: Sequence[tuple[Tensor, int | Tensor]],
    pad_value: float = 0,
    label_pad_value: int = -100,
) -> tuple[Tensor, Tensor, Tensor]:
    """Stack sequences of different lengths."""
    sequences, labels = zip(*batch, strict=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    padded = pad_sequence(sequences, batch_first=True, padding_value=pad_value)
    if isinstance(labels[0], Tensor) and labels[0].ndim == 1:
        labels = pad_sequence(labels, batch_first=True, padding_value=label_pad_value)
    else:
        labels = torch.tensor([int(label) for label in labels])
    return padded, lengths, labels


def make_loaders(
    train: Dataset,
    val: Dataset,
    test: Dataset,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    num_workers: int = 0,
) -> dict[str, DataLoader]:
    """Three DataLoaders, one of them shuffled; only train draws from the generator."""
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
    """The costs of each batch size."""
    n = len(dataset)
    item_bytes = sum(field.nbytes for field in dataset[0])
    report = {}
    for size in batch_sizes:
        batches = math.ceil(n / size)
        report[size] = {
            "batches": batches,
            "max_bytes": min(size, n) * item_bytes,
            "last_batch": n - (batches - 1) * size,
        }
    return report


class ShardedRange(IterableDataset):
    """A stream that workers share: each reads every num_workers-th number."""

    def __init__(self, start: int, end: int):
        self.start = start
        self.end = end

    def __iter__(self) -> Iterator[int]:
        worker = get_worker_info()
        if worker is None:
            return iter(range(self.start, self.end))
        return iter(range(self.start + worker.id, self.end, worker.num_workers))
