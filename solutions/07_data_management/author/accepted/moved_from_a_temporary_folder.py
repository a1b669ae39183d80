# readinto one buffer; urlretrieve to a temporary folder elsewhere, with a default
# timeout, and a move; members copied as streams; attributes of FlowerDataset worked out
# when they are asked for; ClassSubset by a boolean mask.
import socket

import numpy as np


def file_sha256(path, chunk_size=1 << 20):
    digest, buffer = hashlib.new("sha256"), bytearray(chunk_size)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
    return digest.hexdigest()


def download(url, destination, *, sha256=None, timeout=30.0):
    if urlsplit(url).scheme.lower() not in ("http", "https", "file"):
        raise ValueError(f"scheme of {url}")
    destination = Path(destination)
    if destination.exists():
        if sha256 is None:
            return destination
        if file_sha256(destination) == sha256.lower():
            return destination
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        with tempfile.TemporaryDirectory() as elsewhere:
            part, _ = urllib.request.urlretrieve(url, os.path.join(elsewhere, "part"))
            digest = file_sha256(part)
            if sha256 not in (None, digest) and sha256.lower() != digest:
                raise ValueError("wanted " + sha256 + ", came " + digest)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(part, destination)
    finally:
        socket.setdefaulttimeout(before)
    return destination


def extract_tar(archive, destination):
    destination = Path(destination)
    destination.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        files = {member.name: member for member in tar if member.isfile()}
        folders = {member.name: member for member in tar if member.isdir()}
        for member in tar:
            target = (destination / member.name).resolve()
            if member.name not in {**files, **folders}:
                raise ValueError(f"kind of {member.name}")
            if os.path.isabs(member.name) or destination.resolve() not in (
                target,
                *target.parents,
            ):
                raise ValueError(f"place of {member.name}")
        for name in folders:
            os.makedirs(destination / name, exist_ok=True)
        for name, member in files.items():
            os.makedirs((destination / name).parent, exist_ok=True)
            with (
                tar.extractfile(member) as source,
                open(destination / name, "wb") as copy,
            ):
                shutil.copyfileobj(source, copy)
    return sorted(map(destination.joinpath, files))


class FlowerDataset(Dataset):
    def __init__(self, root, transform=None):
        self.root, self.transform = Path(root), transform
        with (self.root / "labels.csv").open(newline="") as file:
            _, *self._rows = csv.reader(file)
        if any(int(label) < 1 for _, label in self._rows):
            raise ValueError("a label below 1")

    @property
    def files(self):
        return [name for name, _ in self._rows]

    @property
    def targets(self):
        return [int(label) - 1 for _, label in self._rows]

    @property
    def num_classes(self):
        return np.unique(self.targets).size

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, i):
        name, label = self._rows[i]
        with open(self.root / "jpg" / name, "rb") as file, Image.open(file) as image:
            image = Image.fromarray(np.asarray(image.convert("RGB")))
        transform = self.transform or (lambda image: image)
        return transform(image), int(label) - 1

    def __repr__(self):
        return (
            f"FlowerDataset(samples={len(self)}, classes={self.num_classes}, "
            f"root={repr(str(self.root))}, transform={repr(self.transform)})"
        )


class ClassSubset(Dataset):
    def __init__(self, dataset, classes, relabel=True):
        labels = np.array(dataset.targets)
        self.dataset, self.classes = dataset, list(classes)
        if (
            np.unique(self.classes).size != len(self.classes)
            or not set(self.classes) <= set(labels.tolist())
            or not classes
        ):
            raise ValueError(f"classes {classes}")
        self.indices = np.flatnonzero(np.isin(labels, self.classes)).tolist()
        self.targets = labels[self.indices].tolist()
        if relabel:
            self.targets = [
                next(p for p, c in enumerate(self.classes) if c == label)
                for label in self.targets
            ]

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        label = self.targets[i]
        sample = self.dataset[self.indices[i]]
        return sample[0], label


import os
