"""Rounded products, one permutation for all classes, a pass as a class, padding with
`F.pad`, shards like cards.
"""

import random

import torch.nn.functional as F


def split_sizes(n, fractions):
    fractions = list(fractions)
    if n < 0:
        raise ValueError("n")
    if (
        not fractions
        or any(f < 0 for f in fractions)
        or not -1e-6 <= sum(fractions) - 1 <= 1e-6
    ):
        raise ValueError("fractions")
    sizes = []
    for f in fractions:
        nearest = round(n * f)
        sizes.append(nearest if abs(n * f - nearest) < 1e-8 else int(n * f))
    k = 0
    while sum(sizes) != n:
        if fractions[k % len(fractions)] != 0:
            sizes[k % len(fractions)] += 1
        k += 1
    return sizes


def random_split_indices(n, fractions, generator=None):
    sizes = split_sizes(n, fractions)
    seed = torch.randint(2**62, (), generator=generator).item()
    order = list(range(n))
    random.Random(seed).shuffle(order)
    splits = []
    for size in sizes:
        splits.append(torch.tensor(order[:size], dtype=torch.long))
        order = order[size:]
    return splits


def stratified_split(labels, fractions, generator=None):
    if labels.ndim != 1:
        raise ValueError(labels.shape)
    split_sizes(len(labels), fractions)
    split_of = torch.full((len(labels),), -1)
    order = torch.randperm(len(labels), generator=generator)
    for label in set(labels.tolist()):
        members = order[labels[order] == label]
        sizes = torch.tensor(split_sizes(len(members), fractions))
        split_of[members] = torch.arange(len(fractions)).repeat_interleave(sizes)
    return [torch.nonzero(split_of == k).squeeze(1) for k in range(len(fractions))]


class Pass:
    """One pass over a MiniLoader."""

    def __init__(self, loader, order):
        self.loader, self.order, self.next = loader, order, 0

    def __iter__(self):
        return self

    def __next__(self):
        chosen = self.order[self.next : self.next + self.loader.batch_size]
        if not chosen or (
            self.loader.drop_last and len(chosen) < self.loader.batch_size
        ):
            raise StopIteration
        self.next += len(chosen)
        items = [self.loader.dataset[i] for i in chosen]
        columns = [[item[f] for item in items] for f in range(len(items[0]))]
        return tuple(
            torch.tensor(c) if isinstance(c[0], int) else torch.stack(c)
            for c in columns
        )


class MiniLoader:
    def __init__(
        self, dataset, batch_size=1, shuffle=False, drop_last=False, generator=None
    ):
        if not batch_size > 0:
            raise ValueError("batch_size")
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.drop_last, self.generator = drop_last, generator

    def __len__(self):
        last = 0 if self.drop_last else self.batch_size - 1
        return (len(self.dataset) + last) // self.batch_size

    def __iter__(self):
        order = list(range(len(self.dataset)))
        if self.shuffle:
            keys = torch.rand(
                len(order), generator=self.generator, dtype=torch.float64
            ).tolist()
            order.sort(key=keys.__getitem__)
        return Pass(self, order)


def pad_collate(batch, pad_value=0, label_pad_value=-100):
    if not len(batch):
        raise ValueError("nothing to stack")
    T = max(sequence.shape[0] for sequence, _ in batch)

    def filled(x, value):
        return F.pad(x, (0, 0) * (x.ndim - 1) + (0, T - len(x)), value=value)

    sequences = torch.stack([filled(sequence, pad_value) for sequence, _ in batch])
    lengths = torch.tensor([sequence.shape[0] for sequence, _ in batch])
    per_step = all(isinstance(label, Tensor) and label.ndim for _, label in batch)
    if per_step:
        return (
            sequences,
            lengths,
            torch.stack(
                [filled(label.to(torch.int64), label_pad_value) for _, label in batch]
            ),
        )
    return (
        sequences,
        lengths,
        torch.tensor(
            [label if isinstance(label, int) else label.item() for _, label in batch]
        ),
    )


def make_loaders(train, val, test, batch_size, *, generator=None, num_workers=0):
    loaders = {}
    for name, dataset in {"train": train, "val": val, "test": test}.items():
        mine = (
            {"shuffle": True, "generator": generator}
            if name == "train"
            else {"generator": torch.Generator()}
        )
        loaders[name] = DataLoader(
            dataset,
            batch_size=batch_size,
            num_workers=num_workers,
            drop_last=False,
            **mine,
        )
    return loaders


def batch_report(dataset, batch_sizes):
    n, each = len(dataset), sum(t.nbytes for t in dataset[0])
    return {
        b: {
            "batches": -(-n // b),
            "max_bytes": each * min(n, b),
            "last_batch": (n - 1) % b + 1,
        }
        for b in batch_sizes
    }


class ShardedRange(IterableDataset):
    def __init__(self, start, end):
        super().__init__()
        if end - start < 0:
            raise ValueError("backwards")
        self.start, self.end = start, end

    def __len__(self):
        return self.end - self.start

    def __iter__(self):
        worker = get_worker_info()
        for place, number in enumerate(range(self.start, self.end)):
            if worker is None or place % worker.num_workers == worker.id:
                yield number
