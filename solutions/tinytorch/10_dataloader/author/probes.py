"""Questions on datasets, loaders and files of images."""

import gzip
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe


def pixels(rng, *shape):
    return np.array(integers(rng, int(np.prod(shape)), 0, 256), np.uint8).reshape(shape)


def tried(data, place):
    try:
        return data[place]
    except IndexError:
        return "IndexError"


def idx(array):
    """The array of bytes as an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@probe("read_idx")
def _(kata, rng):
    images, long = pixels(rng, 5, 4, 3), pixels(rng, 300 + integers(rng, 1)[0])
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = Path(folder, "images"), Path(folder, "long.gz")
        plain.write_bytes(idx(images))
        packed.write_bytes(gzip.compress(idx(long)))
        return [kata.read_idx(plain), kata.read_idx(str(packed))]


@probe("ArrayDataset")
def _(kata, rng):
    images, labels, seen = pixels(rng, 9, 2, 3), pixels(rng, 9), []

    def transform(image):
        seen.append(image.copy())
        return image / 2

    given = kata.ArrayDataset(images, labels)
    halved = kata.ArrayDataset(images, labels, transform=transform)
    places = [9, *integers(rng, 8, 0, 20)]
    found = [[tried(data, place) for place in places] for data in (given, halved)]
    return [len(given), len(halved), found, seen]


@probe("MNIST")
def _(kata, rng):
    seen = []
    with tempfile.TemporaryDirectory() as folder:
        for part, is_train in (("train", True), ("t10k", False)):
            images, labels = idx(pixels(rng, 5, 4, 3)), idx(pixels(rng, 5))
            Path(folder, f"{part}-images-idx3-ubyte").write_bytes(images)
            packed = Path(folder, f"{part}-labels-idx1-ubyte.gz")
            packed.write_bytes(gzip.compress(labels))
            data = kata.MNIST(folder, is_train)
            seen.append([data[place] for place in range(len(data))])
    types = [str(np.asarray(part).dtype) for part in seen[0][0]]
    return [[(x, int(y)) for x, y in samples] for samples in seen] + types


@probe("Normalize")
def _(kata, rng):
    images, (mean, std) = pixels(rng, 6, 4, 3), np.abs(normal(rng, 2))
    fitted = kata.Normalize.fit(images)
    results = [fitted(images[:2]), kata.Normalize(mean, std)(images[0])]
    return [fitted.mean, fitted.std, *results]


@probe("Compose")
def _(kata, rng):
    steps = [lambda x, number=number: number * x + 1 for number in integers(rng, 3)]
    return [kata.Compose(steps[:count])(10) for count in range(4)]


@probe("train_test_split")
def _(kata, rng):
    n, seed = integers(rng, 2, 20, 90)
    share = 0.1 + 0.01 * seed / 2
    sources = [np.random.default_rng(one) for one in (seed, seed, seed + 1)]
    return [n, [kata.train_test_split(n, share, rng=source) for source in sources]]


@judge("train_test_split")
def _(values, expected):
    n, splits = expected[0], values[1]
    orders = [np.concatenate(split) for split in splits]
    return [
        [np.sort(order) - np.arange(n) for order in orders],
        np.abs(orders[0] - orders[1]).max(),
        [np.abs(order - np.sort(order)).max() > 1 for order in orders],
        np.abs(orders[0] - orders[2]).max() > 1,
    ]


@probe("digits_datasets")
def _(kata, rng):
    """Of drawn images, with a split that is drawn, too."""
    order, size = np.argsort(normal(rng, 12)), integers(rng, 1, 2, 5)[0]
    digits = pixels(rng, 12, 8, 8) / 1.0, np.array(integers(rng, 12, 0, 10))
    with (
        mock.patch.object(kata, "load_digits", lambda: digits),
        mock.patch.object(
            kata, "train_test_split", lambda n, *a, **o: (order[size:], order[:size])
        ),
    ):
        parts = kata.digits_datasets(test_fraction=size / 12)
        return [[data[i] for i in range(len(data))] for data in parts]


@probe("collate")
def _(kata, rng):
    images = pixels(rng, 5, 1, 4, 3).astype(np.float32)
    images, labels = kata.collate(list(zip(images, integers(rng, 5, 0, 10))))
    return [images.data, labels.data, str(images.data.dtype), str(labels.data.dtype)]


def dataset_of(rng, n):
    """Images with drawn numbers for their labels, and the places that were read."""
    tags, read = pixels(rng, n, 2), []

    class Numbered:
        def __len__(self):
            return n

        def __getitem__(self, i):
            if i >= n:
                raise IndexError(i)
            read.append(i)
            return tags[i] / 1.0, i

    return Numbered(), tags, read


@probe("DataLoader.__len__")
def _(kata, rng):
    data, _, _ = dataset_of(rng, 17 + integers(rng, 1)[0])
    sizes = integers(rng, 6)
    return [len(kata.DataLoader(data, n, drop_last=n % 2 == 0)) for n in sizes]


@probe("DataLoader.__iter__")
def _(kata, rng):
    n, size = 17 + integers(rng, 1)[0], integers(rng, 1, 2, 6)[0]
    data, tags, read = dataset_of(rng, n)
    in_order = kata.DataLoader(data, size, drop_last=n % 2 == 0)
    batches = iter(in_order)
    first, at_once = next(batches), len(read)
    drawn = []
    for seed in (size, size, size + 1):
        source = np.random.default_rng(seed)
        loader = kata.DataLoader(data, size, shuffle=True, rng=source)
        drawn += [[(x.data, y.data) for x, y in loader] for _ in range(2)]
    rest = [(x.data, y.data) for x, y in (first, *batches)]
    return [tags, rest, at_once, drawn]


@judge("DataLoader.__iter__")
def _(values, expected):
    tags, (_, in_order, at_once, drawn) = expected[0], values
    orders = [np.concatenate([y for _, y in epoch]) for epoch in drawn]
    images = [np.concatenate([x for x, _ in epoch]) for epoch in drawn]
    return [
        in_order,
        at_once,
        [np.sort(order) - np.arange(len(tags)) for order in orders],
        [x - tags[np.argsort(np.argsort(order))] for x, order in zip(images, orders)],
        [np.abs(orders[0] - order).max() > 0 for order in orders],
        np.abs(orders[1] - orders[3]).max(),
    ]


@probe("prefetch")
def _(kata, rng):
    items, [size], read = integers(rng, 12, 0, 1000), integers(rng, 1, 2, 6), []
    iterator = kata.prefetch((read.append(item) or item for item in items), size)
    first, until = next(iterator), time.monotonic() + 2
    while len(read) < 1 + size and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    ahead = len(read)
    return [size, ahead, [first, *iterator]]


@judge("prefetch")
def _(values, expected):
    size, (_, ahead, items) = expected[0], values
    return [size < ahead <= size + 2, items]


@probe("pipeline_seconds")
def _(kata, rng):
    given = *np.abs(normal(rng, 2)), integers(rng, 1)[0]
    return [kata.pipeline_seconds(*given, overlap=one) for one in (False, True)]


@probe("batch_bytes")
def _(kata, rng):
    size, *shape = integers(rng, 4, 1, 40)
    dtypes = "uint8", "float32", "float64"
    return [kata.batch_bytes(size, shape, dtype) for dtype in dtypes]


@probe("loader_scaling")
def _(kata, rng):
    """A batch takes so much memory as is drawn for its size."""
    units = dict(zip([50, *integers(rng, 2, 51, 99)], integers(rng, 3, 2, 30)))

    class Loader:
        def __init__(self, dataset, size, **options):
            self.bytes = units[size] * UNIT * len(dataset) // size

        def __iter__(self):
            yield np.zeros(self.bytes, np.int8), None

    with mock.patch.object(kata, "DataLoader", Loader):
        return kata.loader_scaling(list(units), (1, 2, 3))


@judge("loader_scaling")
def _(found, expected):
    return growth(found, expected["sizes"])
