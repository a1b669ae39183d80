"""Exact fractions, sorted random keys, samplers and `default_collate`, `pad_sequence`,
measured batches, blocks.
"""

import itertools
from fractions import Fraction

from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    default_collate,
)


def split_sizes(n, fractions):
    exact = [Fraction(f).limit_denominator(10**6) for f in fractions]
    if n < 0 or not exact or min(exact) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError("no such split")
    sizes = [n * f.numerator // f.denominator for f in exact]
    takers = itertools.cycle([k for k in range(len(exact)) if exact[k]])
    while sum(sizes) < n:
        sizes[next(takers)] += 1
    return sizes


def random_split_indices(n, fractions, generator=None):
    sizes = split_sizes(n, fractions)
    order = torch.rand(n, generator=generator, dtype=torch.float64).argsort()
    ends = list(itertools.accumulate(sizes))
    return [order[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def stratified_split(labels, fractions, generator=None):
    if labels.dim() != 1:
        raise ValueError("labels are a vector")
    split_sizes(0, fractions)
    by_class = {}
    for i in torch.randperm(len(labels), generator=generator).tolist():
        by_class.setdefault(labels[i].item(), []).append(i)
    splits = [[] for _ in fractions]
    for members in by_class.values():
        rest = iter(members)
        for split, size in zip(
            splits, split_sizes(len(members), fractions), strict=True
        ):
            split.extend(itertools.islice(rest, size))
    return [torch.tensor(sorted(split), dtype=torch.int64) for split in splits]


class MiniLoader:
    def __init__(
        self, dataset, batch_size=1, shuffle=False, drop_last=False, generator=None
    ):
        if batch_size < 1:
            raise ValueError(batch_size)
        self.dataset = dataset
        sampler = (
            RandomSampler(dataset, generator=generator)
            if shuffle and len(dataset)
            else SequentialSampler(dataset)
        )
        self.batches = BatchSampler(sampler, batch_size, drop_last)

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for batch in self.batches:
            yield tuple(default_collate([self.dataset[i] for i in batch]))


def pad_collate(batch, pad_value=0, label_pad_value=-100):
    if len(batch) == 0:
        raise ValueError("empty")
    sequences = [sequence for sequence, _ in batch]
    labels = [torch.as_tensor(label, dtype=torch.int64) for _, label in batch]
    lengths = torch.tensor(
        [sequence.size(0) for sequence in sequences], dtype=torch.int64
    )
    padded = pad_sequence(sequences, batch_first=True, padding_value=pad_value)
    if labels[0].dim():
        return (
            padded,
            lengths,
            pad_sequence(labels, batch_first=True, padding_value=label_pad_value),
        )
    return padded, lengths, torch.stack(labels)


def make_loaders(train, val, test, batch_size, *, generator=None, num_workers=0):
    options = {"batch_size": batch_size, "num_workers": num_workers}
    loaders = {"val": DataLoader(val, **options), "test": DataLoader(test, **options)}
    sampler = RandomSampler(train, generator=generator)
    return {
        "train": DataLoader(train, sampler=sampler, generator=generator, **options)
    } | loaders


def batch_report(dataset, batch_sizes):
    report = {}
    for size in batch_sizes:
        batches = list(DataLoader(dataset, batch_size=size))
        report[size] = {
            "last_batch": len(batches[-1][0]),
            "batches": len(batches),
            "max_bytes": max(sum(field.nbytes for field in batch) for batch in batches),
        }
    return report


class ShardedRange(IterableDataset):
    def __init__(self, start, end):
        if start > end:
            raise ValueError((start, end))
        self.range = range(start, end)

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        if info is None:
            yield from self.range
        else:
            block = -(-len(self.range) // info.num_workers)
            yield from self.range[info.id * block : (info.id + 1) * block]
