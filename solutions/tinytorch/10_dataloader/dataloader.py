"""Data: files, datasets, preprocessing, batches, and loading ahead."""

import gzip
import math
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.data import load_digits  # stub: keep
from tinytorch.setup import get_rng, measure_scaling  # stub: keep
from tinytorch.tensor import Tensor

# The type codes of IDX files, and the NumPy types without their byte order.
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}


def read_idx(path: Path | str) -> np.ndarray:
    """Read an array from an IDX file, the format of MNIST.

    Args:
        path: of the file, which is gzipped if its name ends in ".gz".
    Returns:
        The array, uint8 for type code 8. The file consists of, all numbers big-endian:

        - two zero bytes, the type code, and the number of dimensions, one byte each;
        - the size of each dimension, 4-byte unsigned integers;
        - the elements, the last dimension first.

        0 0 8 1, 0 0 0 2, 7 9 is the array [7, 9].

    Edge cases ★
        All type codes of IDX_TYPES are read. The array has native byte order and can be
        written to. A wrong start or type code, a header that is cut off, and a body of
        another length than the header says are errors that name the file.
    """
    path = Path(path)
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        content = file.read()
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise ValueError(f"{path} is no IDX file")
    ndim = content[3]
    start = 4 + 4 * ndim
    if len(content) < start:
        raise ValueError(f"{path}: the header is cut off")
    shape = tuple(np.frombuffer(content, ">u4", ndim, 4).tolist())
    dtype = np.dtype(">" + IDX_TYPES[content[2]])
    if len(content) != start + math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"{path}: the header promises shape {shape}, the body has "
            f"{len(content) - start} bytes"
        )
    return (
        np.frombuffer(content, dtype, offset=start)
        .reshape(shape)
        .astype(dtype.newbyteorder("="))
    )


class Dataset:
    """Answers how many samples there are, and gives the i-th. Given: every dataset
    writes both for itself.

    Python can loop over it: `for sample in dataset` asks for 0, 1, 2 … until
    an IndexError.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__")


class ArrayDataset(Dataset):
    """Images and their labels, in two arrays of the same length.

    `len(dataset)` is their length, and `dataset[i]` the pair (image, label) with index
    i. The image went through `transform`, if there is one: with images [10, 20], labels
    [0, 1] and a transform that doubles, `dataset[1]` is (40, 1).

    - The transform runs when a sample is asked for, each time, never up front: it may
      be random, and all results together may not fit into memory.
    - Outside there is an IndexError, so that a loop over the dataset ends.

    Edge cases ★
        Arrays of different lengths are an error that names both.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        transform: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        """Keep the arrays and the transform."""
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images and {len(labels)} labels")
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        """The sample with this index: (image, label)."""
        image = self.images[index]
        return (
            image if self.transform is None else self.transform(image)
        ), self.labels[index]


class MNIST(ArrayDataset):
    """MNIST, or another data set in the same four files.

    Edge cases ★
        A file that is not there is a FileNotFoundError that names it.
    """

    def __init__(
        self,
        root: Path | str,
        train: bool = True,
        *,
        transform: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        """Read two of the files, and become the ArrayDataset of their arrays.

        Args:
            root: the folder with train-images-idx3-ubyte and train-labels-idx1-ubyte,
                or t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte for the test
                images. Each may be there with ".gz" at its end instead.
            train: which pair.
            transform: for the images.

        Images are uint8 as in the file, labels int64.
        """
        part = "train" if train else "t10k"
        images = read_idx(_existing(root, f"{part}-images-idx3-ubyte"))
        labels = read_idx(_existing(root, f"{part}-labels-idx1-ubyte"))
        super().__init__(images, labels.astype(np.int64), transform=transform)


class Normalize:
    """Shift and scale pixels: (x − mean) / std, as float32.

    `Normalize(8, 4)` turns the pixels [0, 8, 16] into [-2.0, 0.0, 2.0]. Attributes:
    mean, std.

    Edge cases ★
        A std that is not positive is an error.
    """

    def __init__(self, mean: float, std: float):
        """Keep both numbers."""
        if std <= 0:
            raise ValueError(f"std must be above 0, got {std}")
        self.mean, self.std = float(mean), float(std)

    @classmethod
    def fit(cls, images: np.ndarray) -> "Normalize":
        """Make a Normalize of one mean and one standard deviation, those of all pixels
        of all images.

        The standard deviation is np.std, which divides by the number of pixels.
        """
        return cls(float(np.mean(images)), float(np.std(images)))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Normalise an array of any shape and dtype.

        Convert it first: in uint8, 3 − 8 is 251.
        """
        return ((np.asarray(x, dtype=np.float32) - self.mean) / self.std).astype(
            np.float32
        )


class Compose:
    """Several functions as one: `Compose([f, g])(x)` is g(f(x)).

    Without functions, x comes back as it is.
    """

    def __init__(self, fns: Iterable[Callable[[Any], Any]]):
        """Keep the functions."""
        self.fns = list(fns)

    def __call__(self, x: Any) -> Any:
        """Apply the functions, the first one first."""
        for fn in self.fns:
            x = fn(x)
        return x


def train_test_split(
    n: int, test_fraction: float = 0.2, *, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Divide the indices 0 … n − 1 into two sets at random.

    Args:
        n: the number of samples.
        test_fraction: how many of them are for the test set.
        rng: what to draw with, by `get_rng`.
    Returns:
        (train indices, test indices), two integer arrays in any order. Each index is in
        exactly one of them, and round(n · test_fraction) are in the second: 8 and 2
        for n = 10.
    """
    order = get_rng(rng).permutation(n)
    size = round(n * test_fraction)
    return order[size:], order[:size]


def digits_datasets(
    *, test_fraction: float = 0.2, rng: np.random.Generator | None = None
) -> tuple[ArrayDataset, ArrayDataset]:
    """Split the 1797 digits of `load_digits`, and normalise them by what the training
    images show.

    Args:
        test_fraction, rng: as for `train_test_split`.
    Returns:
        (train, test), two ArrayDatasets. A sample is a float32 image (1, 8, 8) and
        its label.

    One mean and one standard deviation, those of the *training* images, normalise both
    sets. The training pixels then have mean 0 and standard deviation 1, the test pixels
    only nearly.
    """
    images, labels = load_digits()
    images = images[:, None].astype(np.float32)
    train, test = train_test_split(len(images), test_fraction, rng=rng)
    normalize = Normalize.fit(images[train])
    return tuple(
        ArrayDataset(images[part], labels[part], transform=normalize)
        for part in (train, test)
    )


def collate(samples: Sequence[tuple[Any, Any]]) -> tuple[Tensor, Tensor]:
    """Stack B samples to one batch.

    Args:
        samples: pairs (image, label). All images have one shape.
    Returns:
        Images (B, …) as a Tensor with the dtype of the samples, and labels (B,) as an
        int64 Tensor. Three samples of (1, 8, 8) give (3, 1, 8, 8) and (3,).
    """
    images, labels = zip(*samples)
    return Tensor(np.stack(images)), Tensor(np.array(labels, dtype=np.int64))


class DataLoader:
    """Runs through a dataset in batches. `for batch in loader` is one epoch, and the
    next loop is the next one.

    Attributes: dataset, batch_size, shuffle, drop_last, rng, collate_fn, as given.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        rng: np.random.Generator | None = None,
        collate_fn: Callable[[list[Any]], Any] = collate,
    ):
        """Keep the options. Given.

        Args:
            dataset: anything with `len(dataset)` and `dataset[i]`.
            batch_size: samples per batch.
            shuffle: whether each epoch has a new random order, drawn with get_rng(rng).
            drop_last: whether to leave out a last batch that is not full.
            collate_fn: makes a batch of a list of samples.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.dataset, self.batch_size, self.shuffle, self.drop_last = (
            dataset,
            batch_size,
            shuffle,
            drop_last,
        )
        self.rng, self.collate_fn = rng, collate_fn

    def __len__(self) -> int:
        """Count the batches of an epoch.

        The last batch may be smaller, and counts unless `drop_last`: 10 samples in
        batches of 4 are 3 batches, or 2.
        """
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of one epoch: `collate_fn` of a list of samples for each.

        - Every sample comes exactly once; with `drop_last`, those of a last batch that
          is not full are left out.
        - Without `shuffle` they come in order. With it, each epoch has a new order, one
          random permutation of the indices. The generator is `get_rng(rng)`: equal
          seeds give equal epochs.
        - Samples are read batch by batch, when the batch is asked for: a dataset may be
          larger than memory.

        Edge cases ★
            Two loops over one loader at the same time do not disturb each other.
        """
        n = len(self.dataset)
        order = get_rng(self.rng).permutation(n) if self.shuffle else np.arange(n)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self.collate_fn(
                [self.dataset[int(i)] for i in order[start : start + self.batch_size]]
            )


def prefetch(iterable: Iterable[Any], buffer_size: int = 2) -> Iterator[Any]:
    """Run through an iterable in a background thread, which reads ahead while the
    consumer computes.

    Args:
        iterable: anything that can be looped over.
        buffer_size: how many items may wait.
    Returns:
        An iterator over the same items in the same order. At most `buffer_size` items
        are read beyond the one that was handed out last, and one more that the thread
        holds while the buffer is full.

    Edge cases ★
        An exception of the iterable is raised to the consumer, after the items before
        it. The thread ends when the iterator is closed, as a `break` out of a loop over
        a generator does. A buffer_size below 1 is an error, at the call.
    """
    if buffer_size < 1:
        raise ValueError(f"buffer_size must be at least 1, got {buffer_size}")
    return _prefetched(iterable, buffer_size)


def pipeline_seconds(
    load_seconds: float, compute_seconds: float, batches: int, *, overlap: bool = False
) -> float:
    """Predict how long an epoch takes.

    Args:
        load_seconds, compute_seconds: per batch.
        batches: the number of batches.
        overlap: whether a batch is loaded while the one before it is computed on.
    Returns:
        Seconds. Without overlap both are paid per batch. With overlap only the slower
        of the two is, but for the first load and the last compute, during which the
        other has nothing to do. For 2, 3 and 4 batches: 20 seconds, and 14
        with overlap.

    Edge cases ★
        No batches take 0.0 seconds.
    """
    if batches == 0:
        return 0.0
    if not overlap:
        return batches * (load_seconds + compute_seconds)
    return (
        load_seconds
        + (batches - 1) * max(load_seconds, compute_seconds)
        + compute_seconds
    )


def batch_bytes(
    batch_size: int, sample_shape: Sequence[int], dtype: Any = "float32"
) -> int:
    """Predict the bytes of one batch of images.

    Args:
        batch_size: B.
        sample_shape: the shape of one image, such as (1, 28, 28).
        dtype: of the elements, as NumPy understands it.
    Returns:
        The bytes of an array (B, *sample_shape), an int: 1,568 for B = 2, (1, 28, 28)
        and uint8.
    """
    return batch_size * int(np.prod(sample_shape)) * np.dtype(dtype).itemsize


def loader_scaling(
    batch_sizes: Sequence[int], sample_shape: Sequence[int] = (1, 28, 28)
) -> dict[str, Any]:
    """Measure the memory that one float32 batch of your DataLoader keeps, over
    its size.

    Args:
        batch_sizes: for each, a dataset of that many float32 images exists already.
        sample_shape: of one image.
    Returns:
        What `measure_scaling` returns for the retained bytes of the first batch: about
        `batch_bytes` for each size, so that the exponent is near 1.
    """

    def build(n: int) -> Callable[[], Any]:
        dataset = ArrayDataset(
            np.zeros((n, *sample_shape), dtype=np.float32), np.zeros(n, dtype=np.int64)
        )
        return lambda: next(iter(DataLoader(dataset, n)))[0]

    return measure_scaling(build, batch_sizes, kind="retained_bytes")


def _existing(root: Path | str, name: str) -> Path:
    for path in (Path(root, name), Path(root, f"{name}.gz")):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{Path(root, name)} is missing, with and without .gz")


def _prefetched(iterable: Iterable[Any], buffer_size: int) -> Iterator[Any]:
    buffer: queue.Queue[tuple[str, Any]] = queue.Queue(buffer_size)
    stopped = threading.Event()

    def put(kind: str, value: Any) -> None:
        while not stopped.is_set():
            try:
                return buffer.put((kind, value), timeout=0.05)
            except queue.Full:
                pass

    def read() -> None:
        try:
            for item in iterable:
                put("item", item)
                if stopped.is_set():
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = buffer.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stopped.set()
        thread.join()
