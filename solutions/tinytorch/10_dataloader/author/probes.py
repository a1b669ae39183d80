"""Questions that the specs of tinytorch/10 cannot ask from another process."""

import gzip
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from grader.lock.probes import probe, there


def all_of(kata, data):
    return [data[i] for i in range(len(data))]


@probe("digits_datasets")
def _(kata, rng):
    part = float(0.1 + 0.5 * torch.rand((), generator=rng, dtype=torch.float64))
    train, test = kata.digits_datasets(test_fraction=part, rng=np.random.default_rng(5))
    items = [there(kata, all_of, data) for data in (train, test)]
    images = [np.stack([item[0] for item in found]) for found in items]
    labels = np.array([int(item[1]) for found in items for item in found])
    # 0 to 16, whatever they became
    values, pixels = np.unique(np.concatenate(images), return_inverse=True)
    pixels = pixels.reshape(len(labels), 64)
    by_label = np.stack([pixels[labels == label].sum(axis=0) for label in range(10)])
    normal = abs(images[0].mean()) < 1e-4 and abs(images[0].std() - 1) < 1e-3
    return [
        len(train),
        len(test),
        images[0].shape[1:],
        str(images[0].dtype),
        len(values),
        by_label,
        bool(normal),
    ]


@probe("batch_bytes")
def _(kata, rng):
    sizes = torch.randint(1, 40, (4,), generator=rng).tolist()
    return [
        kata.batch_bytes(sizes[0], tuple(sizes[1:]), dtype)
        for dtype in ("uint8", "float32", "float64")
    ]


def source_of(kata, items):
    """An iterable that notes what has been read of it."""

    class Source:
        def __init__(self):
            self.read = 0

        def __iter__(self):
            for item in items:
                self.read += 1
                yield item

    return Source()


@probe("prefetch")
def _(kata, rng):
    items, size = (
        torch.randint(1000, (12,), generator=rng).tolist(),
        int(torch.randint(2, 6, (), generator=rng)),
    )
    source = there(kata, source_of, items)
    iterator = kata.prefetch(source, buffer_size=size)
    first, until = next(iterator), time.monotonic() + 2
    while source.read < 1 + size and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    return [first, size, size < source.read <= size + 2, list(iterator)]


@probe("loader_scaling")
def _(kata, rng):
    batches = (20 * (1 + torch.randperm(6, generator=rng)[:3])).tolist()
    shape = (1, *torch.randint(20, 30, (2,), generator=rng).tolist())
    found = kata.loader_scaling(batches, shape)
    slope = np.polyfit(np.log(batches), np.log(found["values"]), 1)[0]
    samples = [value / 4 / np.prod(shape) for value in found["values"]]
    return [
        found["sizes"],
        [round(count / 20) for count in samples],
        found["exponent"] / slope,
    ]


def drawn(rng, *shape):
    return torch.randint(256, shape, generator=rng).byte().numpy()


@probe("ArrayDataset")
def _(kata, rng):
    images, labels = drawn(rng, 9, 2, 3), drawn(rng, 9)
    datasets = [
        kata.ArrayDataset(images, labels),
        kata.ArrayDataset(images, labels, transform=lambda x: x / 2),
    ]
    places = torch.randperm(9, generator=rng)[:4].tolist()
    return [
        [len(dataset), *(dataset[place] for place in places)] for dataset in datasets
    ]


def idx(array):
    """The array of bytes as an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@probe("MNIST")
def _(kata, rng):
    seen = []
    with tempfile.TemporaryDirectory() as folder:
        for part, is_train in (("train", True), ("t10k", False)):
            images, labels = drawn(rng, 5, 4, 3), drawn(rng, 5)
            Path(folder, f"{part}-images-idx3-ubyte").write_bytes(idx(images))
            Path(folder, f"{part}-labels-idx1-ubyte.gz").write_bytes(
                gzip.compress(idx(labels))
            )
            dataset = kata.MNIST(folder, is_train)
            seen.append([len(dataset), [dataset[place] for place in range(5)]])
    return [
        [size, [(image, int(label)) for image, label in samples]]
        for size, samples in seen
    ]


@probe("Normalize")
def _(kata, rng):
    images = drawn(rng, 6, 4, 3)
    fitted = kata.Normalize.fit(images)
    mean, std = (1 + torch.rand(2, generator=rng, dtype=torch.float64)).tolist()
    return [
        fitted.mean,
        fitted.std,
        fitted(images[:2]),
        kata.Normalize(mean, std)(images[0]),
    ]


@probe("Compose")
def _(kata, rng):
    numbers = torch.randint(2, 9, (3,), generator=rng).tolist()
    steps = [lambda x, number=number: number * x + 1 for number in numbers]
    return [kata.Compose(steps[:count])(10) for count in range(4)]


@probe("train_test_split")
def _(kata, rng):
    n, seed = torch.randint(20, 90, (2,), generator=rng).tolist()
    share = 0.1 + 0.5 * torch.rand((), generator=rng).item()
    (train, test), again = (
        kata.train_test_split(n, share, rng=np.random.default_rng(seed))
        for _ in range(2)
    )
    same = np.array_equal(again[0], train) and np.array_equal(again[1], test)
    return [len(train), len(test), sorted([*train.tolist(), *test.tolist()]), same]


@probe("collate")
def _(kata, rng):
    samples = list(
        zip(drawn(rng, 5, 1, 4, 3).astype(np.float32), drawn(rng, 5).tolist())
    )
    images, labels = kata.collate(samples)
    return [images.data, labels.data, str(images.data.dtype), str(labels.data.dtype)]
