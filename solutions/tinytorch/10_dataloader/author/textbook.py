"""Data: files, datasets, preprocessing, batches, and loading ahead."""

import gzip
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.data import load_digits
from tinytorch.setup import get_rng, measure_scaling
from tinytorch.tensor import Tensor


def read_idx(path: Path | str) -> np.ndarray:
    """An array from an IDX file."""
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rb") as file:
        content = file.read()
    ndim = content[3]
    shape = np.frombuffer(content, ">u4", ndim, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape)


class Dataset:
    """Answers how many samples there are, and gives the i-th."""

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__")


class ArrayDataset(Dataset):
    """Images and their labels, in two arrays."""

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        transform: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        self.images = images
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        image = self.images[index]
        if self.transform:
            image = self.transform(image)
        return image, self.labels[index]


class MNIST(ArrayDataset):
    """MNIST from its four IDX files."""

    def __init__(
        self,
        root: Path | str,
        train: bool = True,
        *,
        transform: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        split = "train" if train else "t10k"
        arrays = []
        for name in (f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"):
            path = Path(root) / name
            arrays.append(read_idx(path if path.exists() else f"{path}.gz"))
        super().__init__(arrays[0], arrays[1].astype(np.int64), transform=transform)


class Normalize:
    """(x − mean) / std."""

    def __init__(self, mean: float, std: float):
        self.mean = mean
        self.std = std

    @classmethod
    def fit(cls, images: np.ndarray) -> "Normalize":
        """The mean and standard deviation of all pixels."""
        return cls(images.mean(), images.std())

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float32)
        return ((x - self.mean) / self.std).astype(np.float32)


class Compose:
    """Functions applied one after the other."""

    def __init__(self, fns: Iterable[Callable[[Any], Any]]):
        self.fns = fns

    def __call__(self, x: Any) -> Any:
        for fn in self.fns:
            x = fn(x)
        return x


def train_test_split(
    n: int, test_fraction: float = 0.2, *, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Two random sets of indices."""
    order = get_rng(rng).permutation(n)
    test_size = round(n * test_fraction)
    return order[test_size:], order[:test_size]


def digits_datasets(
    *, test_fraction: float = 0.2, rng: np.random.Generator | None = None
) -> tuple[ArrayDataset, ArrayDataset]:
    """The digits, normalised by the training images."""
    images, labels = load_digits()
    images = images.reshape(-1, 1, 8, 8)
    train, test = train_test_split(len(images), test_fraction, rng=rng)
    normalize = Normalize.fit(images[train])
    return (
        ArrayDataset(images[train], labels[train], transform=normalize),
        ArrayDataset(images[test], labels[test], transform=normalize),
    )


def collate(samples: Sequence[tuple[Any, Any]]) -> tuple[Tensor, Tensor]:
    """Stack samples to a batch."""
    images = [image for image, label in samples]
    labels = [label for image, label in samples]
    return Tensor(np.stack(images)), Tensor(labels, dtype=np.int64)


class DataLoader:
    """Runs through a dataset in batches."""

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
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + 1 if rest and not self.drop_last else full

    def __iter__(self) -> Iterator[Any]:
        order = np.arange(len(self.dataset))
        if self.shuffle:
            order = get_rng(self.rng).permutation(order)
        for k in range(len(self)):
            batch = order[k * self.batch_size : (k + 1) * self.batch_size]
            yield self.collate_fn([self.dataset[i] for i in batch])


def prefetch(iterable: Iterable[Any], buffer_size: int = 2) -> Iterator[Any]:
    """Read ahead in a thread."""
    buffer = queue.Queue(buffer_size)
    end = object()

    def read():
        for item in iterable:
            buffer.put(item)
        buffer.put(end)

    threading.Thread(target=read, daemon=True).start()
    while (item := buffer.get()) is not end:
        yield item


def pipeline_seconds(
    load_seconds: float, compute_seconds: float, batches: int, *, overlap: bool = False
) -> float:
    """The seconds of an epoch."""
    if overlap:
        return (
            load_seconds
            + (batches - 1) * max(load_seconds, compute_seconds)
            + compute_seconds
        )
    return batches * (load_seconds + compute_seconds)


def batch_bytes(
    batch_size: int, sample_shape: Sequence[int], dtype: Any = "float32"
) -> int:
    """The bytes of a batch."""
    return batch_size * int(np.prod(sample_shape)) * np.dtype(dtype).itemsize


def loader_scaling(
    batch_sizes: Sequence[int], sample_shape: Sequence[int] = (1, 28, 28)
) -> dict[str, Any]:
    """The memory of a batch over its size."""

    def build(n):
        dataset = ArrayDataset(
            np.zeros((n, *sample_shape), np.float32), np.zeros(n, np.int64)
        )
        return lambda: next(iter(DataLoader(dataset, n)))

    return measure_scaling(build, batch_sizes, kind="retained_bytes")
