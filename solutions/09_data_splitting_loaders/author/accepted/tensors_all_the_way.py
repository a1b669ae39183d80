"""Sizes by NumPy, random keys, a loader that fills batches one by one, padding by a
mask, blocks for workers.
"""

import numpy as np
from torch.utils.data import RandomSampler, Subset, get_worker_info


def split_sizes(n, fractions):
    shares = np.asarray(fractions, dtype=float)
    if n < 0 or shares.size == 0 or (shares < 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"{n}, {fractions}")
    sizes = np.floor(np.round(n * shares, 6)).astype(int)
    wanted = np.flatnonzero(shares)
    for k in range(n - sizes.sum()):
        sizes[wanted[k % len(wanted)]] += 1
    return sizes.tolist()


def random_split_indices(n, fractions, generator=None):
    order = torch.randperm(n, generator=generator) if n > 0 else torch.arange(0)
    return [part.clone() for part in torch.split(order, split_sizes(n, fractions))]


def stratified_split(labels, fractions, generator=None):
    if labels.ndim != 1:
        raise ValueError("not (N,)")
    parts = [[] for _ in split_sizes(labels.numel(), fractions)]
    classes, which = labels.unique(return_inverse=True)
    keys = torch.rand(len(labels), generator=generator, dtype=torch.float64)
    for c in range(len(classes)):
        members = torch.where(which == c)[0]
        members = members[keys[members].argsort()]
        for k, part in enumerate(
            torch.split(members, split_sizes(len(members), fractions))
        ):
            parts[k] += part.tolist()
    return [torch.tensor(part, dtype=torch.int64).sort()[0] for part in parts]


class MiniLoader:
    def __init__(
        self, dataset, batch_size=1, shuffle=False, drop_last=False, generator=None
    ):
        if batch_size <= 0:
            raise ValueError("batch_size")
        self.data, self.size, self.drop = dataset, batch_size, drop_last
        self.order = (
            RandomSampler(dataset, generator=generator)
            if shuffle and len(dataset) > 0
            else range(len(dataset))
        )

    def __len__(self):
        return (
            len(self.data) // self.size
            if self.drop
            else -(-len(self.data) // self.size)
        )

    def __iter__(self):
        items = []
        for i in self.order:
            items.append(self.data[i])
            if len(items) == self.size:
                yield self.stacked(items)
                items = []
        if items and not self.drop:
            yield self.stacked(items)

    @staticmethod
    def stacked(items):
        return tuple(map(torch.utils.data.default_collate, zip(*items, strict=True)))


def pad_collate(batch, pad_value=0, label_pad_value=-100):
    if len(batch) < 1:
        raise ValueError("empty")
    lengths = torch.tensor([len(sequence) for sequence, _ in batch])
    T = int(lengths.max())
    first, label = batch[0]
    padded = torch.full((len(batch), T) + first.shape[1:], pad_value, dtype=first.dtype)
    real = torch.arange(T) < lengths[:, None]
    padded[real] = torch.cat([sequence for sequence, _ in batch])
    if torch.is_tensor(label) and label.dim() == 1:
        labels = torch.full((len(batch), T), label_pad_value, dtype=torch.int64)
        labels[real] = torch.cat([label for _, label in batch]).long()
    else:
        labels = torch.LongTensor([int(label) for _, label in batch])
    return padded, lengths, labels


def make_loaders(train, val, test, batch_size, *, generator=None, num_workers=0):
    def loader(dataset, **options):
        return DataLoader(
            dataset, batch_size=batch_size, num_workers=num_workers, **options
        )

    whole = Subset(train, range(len(train)))
    return {
        "test": loader(test),
        "val": loader(val),
        "train": loader(whole, shuffle=True, generator=generator),
    }


def batch_report(dataset, batch_sizes):
    report = {}
    for size in batch_sizes:
        batches = [
            range(first, min(first + size, len(dataset)))
            for first in range(0, len(dataset), size)
        ]
        bytes_of = [
            sum(t.element_size() * t.numel() for i in batch for t in dataset[i])
            for batch in batches
        ]
        report[size] = {
            "batches": len(batches),
            "max_bytes": max(bytes_of),
            "last_batch": len(batches[-1]),
        }
    return report


class ShardedRange(IterableDataset):
    def __init__(self, start, end):
        if not start <= end:
            raise ValueError("end < start")
        super().__init__()
        self.numbers = list(range(start, end))

    def __iter__(self):
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        n = len(self.numbers)
        return iter(self.numbers[worker * n // workers : (worker + 1) * n // workers])
