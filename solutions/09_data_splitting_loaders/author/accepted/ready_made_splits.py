"""Splits by torch's `random_split`, a sampler for the training order, and a stream that
skips what others read.
"""

from torch.utils.data import RandomSampler, random_split


def random_split_indices(n, fractions, generator=None):
    subsets = random_split(
        range(n),
        split_sizes(n, fractions),
        generator=generator or torch.default_generator,
    )
    return [torch.tensor(list(subset.indices), dtype=torch.int64) for subset in subsets]


def make_loaders(train, val, test, batch_size, *, generator=None, num_workers=0):
    loaders = {
        name: DataLoader(part, batch_size, num_workers=num_workers)
        for name, part in (("val", val), ("test", test))
    }
    sampler = RandomSampler(train, generator=generator)
    loaders["train"] = DataLoader(
        train,
        batch_size,
        sampler=sampler,
        generator=generator,
        num_workers=num_workers,
        drop_last=False,
    )
    return loaders


class ShardedRange(ShardedRange):
    def __iter__(self):
        info = get_worker_info()
        for place, number in enumerate(range(self.start, self.end)):
            if info is None or place % info.num_workers == info.id:
                yield number
