"""Different: IDX by np.fromfile and struct, batches by np.array_split of padded
indices, prefetch by an executor that reads one item per task.
"""

import struct
from concurrent.futures import ThreadPoolExecutor


def read_idx(path):
    path = str(path)
    if path.endswith(".gz"):
        with gzip.open(path, "rb") as file:
            content = np.frombuffer(file.read(), dtype=np.uint8)
    else:
        content = np.fromfile(path, dtype=np.uint8)
    try:
        zero, code, ndim = struct.unpack_from(">HBB", content)
        assert zero == 0
        shape = struct.unpack_from(f">{ndim}I", content, 4)
        body = content[4 + 4 * ndim :]
        stored = body.view(np.dtype(IDX_TYPES[code]).newbyteorder(">"))
        return np.array(stored.reshape(shape), dtype=IDX_TYPES[code])
    except Exception as error:
        raise ValueError(f"{path}: {error}") from error


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
        assert batch_size > 0
        self.dataset, self.batch_size, self.shuffle, self.drop_last = (
            dataset,
            batch_size,
            shuffle,
            drop_last,
        )
        self.rng, self.collate_fn = rng, collate_fn

    def _epoch(self):
        indices = np.arange(len(self.dataset))
        if self.shuffle:
            get_rng(self.rng).shuffle(indices)
        batches = np.array_split(
            indices, range(self.batch_size, len(indices), self.batch_size)
        )
        return [
            b
            for b in batches
            if len(b) == self.batch_size or (len(b) and not self.drop_last)
        ]

    def __len__(self):
        n, b = len(self.dataset), self.batch_size
        return len(range(0, n - b + 1, b)) if self.drop_last else len(range(0, n, b))

    def __iter__(self):
        return (
            self.collate_fn(list(map(self.dataset.__getitem__, batch.tolist())))
            for batch in self._epoch()
        )


def prefetch(iterable, buffer_size=2):
    if buffer_size < 1:
        raise ValueError("buffer_size")

    def items():
        source, end = iter(iterable), object()
        with ThreadPoolExecutor(1) as pool:
            waiting = [pool.submit(next, source, end) for _ in range(buffer_size)]
            while (item := waiting.pop(0).result()) is not end:
                waiting.append(pool.submit(next, source, end))
                yield item

    return items()


def pipeline_seconds(load_seconds, compute_seconds, batches, *, overlap=False):
    loaded = computed = 0.0
    for _ in range(batches):
        loaded = (loaded if overlap else computed) + load_seconds
        computed = max(loaded, computed) + compute_seconds
    return computed
