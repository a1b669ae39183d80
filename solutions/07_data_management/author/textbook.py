"""From a URL to samples: a file that is whole and checked, an archive unpacked with
care, and a data set read lazily.
"""

import csv
import hashlib
import shutil
import tarfile
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Dataset


def file_sha256(path: Path | str, chunk_size: int = 1 << 20) -> str:
    """The digest of a file, read piece by piece."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(chunk_size):
            digest.update(chunk)
    return digest.hexdigest()


def download(
    url: str,
    destination: Path | str,
    *,
    sha256: str | None = None,
    timeout: float = 30.0,
) -> Path:
    """Fetch a file that is not there yet, and check it."""
    destination = Path(destination)
    if destination.exists() and (sha256 is None or file_sha256(destination) == sha256):
        return destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    with (
        urllib.request.urlopen(url, timeout=timeout) as response,
        open(destination, "wb") as file,
    ):
        shutil.copyfileobj(response, file)
    if sha256 is not None and file_sha256(destination) != sha256:
        raise ValueError(f"{url}: the digest is not {sha256}")
    return destination


def extract_tar(archive: Path | str, destination: Path | str) -> list[Path]:
    """Unpack with tarfile's own filter, which refuses names that lead out."""
    destination = Path(destination)
    with tarfile.open(archive) as tar:
        tar.extractall(destination, filter="data")
        return sorted(
            destination / member.name for member in tar.getmembers() if member.isfile()
        )


class FlowerDataset(Dataset):
    """A table and a folder of pictures as a Dataset."""

    def __init__(
        self, root: Path | str, transform: Callable[[Image.Image], Any] | None = None
    ):
        self.root = Path(root)
        self.transform = transform
        with open(self.root / "labels.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.files = [row["file"] for row in rows]
        self.targets = [int(row["label"]) - 1 for row in rows]
        self.num_classes = len(set(self.targets))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        with Image.open(self.root / "jpg" / self.files[i]) as file:
            image = file.convert("RGB")
        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[i]

    def __repr__(self) -> str:
        return (
            f"FlowerDataset(samples={len(self)}, classes={self.num_classes}, "
            f"root={str(self.root)!r}, transform={self.transform!r})"
        )


class ClassSubset(Dataset):
    """Some classes of a data set, under new labels."""

    def __init__(self, dataset: Dataset, classes: Sequence[int], relabel: bool = True):
        self.dataset = dataset
        self.classes = list(classes)
        self.indices = [
            i for i, target in enumerate(dataset.targets) if target in self.classes
        ]
        self.targets = [dataset.targets[i] for i in self.indices]
        if relabel:
            self.targets = [self.classes.index(target) for target in self.targets]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        item, _ = self.dataset[self.indices[i]]
        return item, self.targets[i]
