"""Different: IDX sizes by int.from_bytes, a transform composed at construction,
normalisation as one affine map, digits normalised once instead of at access, a loader
class whose iterator is a list of slices.
"""

import math


def read_idx(path):
    with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as file:
        head = file.read(4)
        if len(head) != 4 or head[:2] != bytes(2) or head[2] not in IDX_TYPES:
            raise ValueError(str(path))
        quads = [file.read(4) for _ in range(head[3])]
        sizes = [int.from_bytes(quad, "big") for quad in quads]
        dtype, body = np.dtype(IDX_TYPES[head[2]]), bytearray(file.read())
    if (
        len(b"".join(quads)) != 4 * len(quads)
        or len(body) != math.prod(sizes) * dtype.itemsize
    ):
        raise ValueError(str(path))
    array = np.ndarray(sizes, dtype.newbyteorder(">"), body)
    return array.astype(dtype)


class ArrayDataset(Dataset):
    def __init__(self, images, labels, *, transform=None):
        assert len(images) == len(labels), f"{len(images)} against {len(labels)}"
        self.pairs = images, labels
        self.transform = transform or (lambda image: image)

    def __len__(self):
        return self.pairs[1].shape[0]

    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        images, labels = self.pairs
        return self.transform(images[index]), int(labels[index])


class MNIST(ArrayDataset):
    def __init__(self, root, train=True, *, transform=None):
        def find(kind):
            name = f"{'t10k' if not train else 'train'}-{kind}-ubyte"
            found = sorted(Path(root).glob(name + "*"))
            if not found:
                raise FileNotFoundError(name)
            return read_idx(found[0])

        ArrayDataset.__init__(
            self,
            find("images-idx3"),
            np.int64(find("labels-idx1")),
            transform=transform,
        )


class Normalize:
    def __init__(self, mean, std):
        assert std > 0
        self.mean, self.std = mean, std

    @classmethod
    def fit(cls, images):
        mean = np.mean(images, dtype=np.float64)
        return cls(mean, math.sqrt(np.mean((images - mean) ** 2)))

    def __call__(self, x):
        return (
            np.asarray(x, np.float64) * (1 / self.std) - self.mean / self.std
        ).astype("f4")


def digits_datasets(*, test_fraction=0.2, rng=None):
    images, labels = load_digits()
    rows = train_test_split(images.shape[0], test_fraction, rng=rng)
    scaled = Normalize.fit(images[rows[0]])(images)[:, np.newaxis]
    return tuple(ArrayDataset(scaled[r], labels[r]) for r in rows)


def batch_bytes(batch_size, sample_shape, dtype="float32"):
    return np.empty((batch_size, *sample_shape), dtype=dtype).nbytes


def loader_scaling(batch_sizes, sample_shape=(1, 28, 28)):
    loaders = {
        n: DataLoader([(np.ones(sample_shape, "f4"), 0)] * n, n) for n in batch_sizes
    }
    return measure_scaling(
        lambda n: lambda: list(loaders[n]), list(batch_sizes), kind="retained_bytes"
    )
