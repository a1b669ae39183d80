"""Different: batches cut off an iterator, a split by a random mask, a class with
__next__ and a condition for prefetch, images filled into an array that is
there already.
"""

from functools import reduce
from itertools import islice


class Compose:
    def __init__(self, fns):
        self.fns = tuple(fns)

    def __call__(self, x):
        return reduce(lambda value, fn: fn(value), self.fns, x)


def train_test_split(n, test_fraction=0.2, *, rng=None):
    test = np.zeros(n, dtype=bool)
    test[get_rng(rng).choice(n, size=round(n * test_fraction), replace=False)] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def collate(samples):
    first = np.asarray(samples[0][0])
    images = np.empty((len(samples), *first.shape), dtype=first.dtype)
    labels = np.empty(len(samples), dtype=np.int64)
    for i, (image, label) in enumerate(samples):
        images[i], labels[i] = image, label
    return Tensor(images), Tensor(labels)


class DataLoader:
    def __init__(
        self,
        dataset,
        batch_size,
        *,
        shuffle=False,
        drop_last=False,
        rng=None,
        collate_fn=collate,
    ):
        if batch_size <= 0:
            raise ValueError("batch_size")
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.shuffle, self.rng, self.collate_fn = shuffle, rng, collate_fn

    def __len__(self):
        n = len(self.dataset)
        if not self.drop_last:
            n += self.batch_size - 1
        return n // self.batch_size

    def __iter__(self):
        n = len(self.dataset)
        numbers = iter(
            np.argsort(get_rng(self.rng).random(n)) if self.shuffle else range(n)
        )
        while batch := [self.dataset[i] for i in islice(numbers, self.batch_size)]:
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield self.collate_fn(batch)


class prefetch:
    def __init__(self, iterable, buffer_size=2):
        assert buffer_size >= 1, "buffer_size"
        self.items, self.size, self.over, self.error, self.closed = (
            [],
            buffer_size,
            False,
            None,
            False,
        )
        self.change = threading.Condition()
        threading.Thread(target=self._read, args=(iterable,), daemon=True).start()

    def _read(self, iterable):
        try:
            for item in iterable:
                with self.change:
                    self.change.wait_for(
                        lambda: len(self.items) < self.size or self.closed
                    )
                    if self.closed:
                        return
                    self.items.append(item)
                    self.change.notify_all()
        except Exception as error:
            self.error = error
        with self.change:
            self.over = True
            self.change.notify_all()

    def __iter__(self):
        return self

    def __next__(self):
        with self.change:
            self.change.wait_for(lambda: self.items or self.over)
            self.change.notify_all()
            if self.items:
                return self.items.pop(0)
        raise self.error or StopIteration

    def close(self):
        with self.change:
            self.closed = True
            self.change.notify_all()

    __del__ = close
