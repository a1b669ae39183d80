"""Questions that the specs of 07 cannot ask from another process."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from grader.lock.probes import probe


def a_file(path, rng):
    path.write_bytes(
        torch.randint(256, (5000,), generator=rng, dtype=torch.uint8).numpy().tobytes()
    )
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def without_tables_of_types(kata):
    """Have urllib not look into files of the system when it opens a file: URL."""
    import mimetypes

    mimetypes.knownfiles.clear()


@probe("download")
def _(kata, rng):
    without_tables_of_types(kata)
    (source, digest), (local, other) = (
        a_file(Path(name).absolute(), rng) for name in ("source.bin", "local.bin")
    )
    Path("new.bin").unlink(missing_ok=True)
    found = []
    for target, wanted in (
        ("new.bin", None),
        ("new.bin", digest),
        (local, None),
        (local, other),
        (local, digest),
    ):
        told = kata.download(source.as_uri(), target, sha256=wanted)
        found.append((told.name, Path(target).read_bytes()))
    try:
        kata.download(source.as_uri(), local, sha256=other)
    except ValueError:
        found.append("refused")
    return found


def a_folder(rng):
    """Six pictures of drawn sizes and colours, in several modes, with drawn labels."""
    labels = torch.randint(1, 9, (6,), generator=rng).tolist()
    root = Path(f"flowers{labels[0]}")
    root.joinpath("jpg").mkdir(parents=True, exist_ok=True)
    for i, mode in enumerate(("RGB", "L", "RGB", "RGBA", "RGB", "L")):
        height, width = torch.randint(2, 9, (2,), generator=rng).tolist()
        pixels = torch.randint(
            256, (height, width, 3), generator=rng, dtype=torch.uint8
        )
        Image.fromarray(pixels.numpy()).convert(mode).save(root / "jpg" / f"{i}.png")
    root.joinpath("labels.csv").write_text(
        "file,label\n" + "".join(f"{i}.png,{n}\n" for i, n in enumerate(labels))
    )
    return root


@probe("FlowerDataset.__getitem__")
def _(kata, rng):
    root, order = a_folder(rng), torch.randperm(6, generator=rng).tolist()
    plain = kata.FlowerDataset(root)
    seen = [(np.asarray(image), target) for image, target in (plain[i] for i in order)]
    crop = tuple(torch.randint(1, 3, (2,), generator=rng).tolist())
    cropped = kata.FlowerDataset(
        root, lambda image, crop=crop: image.crop((0, 0, *crop)).tobytes()
    )
    return [seen, [cropped[i] for i in order]]


class Shrink:
    def __repr__(self):
        return "Shrink(to=8)"

    def __str__(self):
        return "a transform"


@probe("FlowerDataset.__repr__")
def _(kata, rng):
    root = a_folder(rng)
    return [
        repr(kata.FlowerDataset(str(root))),
        repr(kata.FlowerDataset(root, transform=Shrink())),
    ]


@probe("ClassSubset.__getitem__")
def _(kata, rng):
    labels = torch.cat([torch.arange(5), torch.randint(5, (9,), generator=rng)])[
        torch.randperm(14, generator=rng)
    ]
    dataset = TensorDataset(torch.randn(14, 2, generator=rng), labels)
    dataset.targets = labels.tolist()
    classes = torch.randperm(5, generator=rng)[:3].tolist()
    subsets = [kata.ClassSubset(dataset, classes, relabel) for relabel in (True, False)]
    return [
        subset[i]
        for subset in subsets
        for i in torch.randperm(len(subset), generator=rng).tolist()
    ]
