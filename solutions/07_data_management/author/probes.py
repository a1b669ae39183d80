"""Questions that the specs of 07 cannot ask from another process."""

import hashlib
import io
import mimetypes
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from grader.lock.probes import integers, probe


def a_file(name, rng):
    path = Path(name).absolute()
    path.write_bytes(torch.randint(256, (5000,), generator=rng).byte().numpy())
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@probe("download")
def _(kata, rng):
    """The source and a file that is there, each with its digest, with that of the
    other, and with none.
    """
    mimetypes.knownfiles.clear()  # urllib looks into files of the system else
    source, digest = a_file("source.bin", rng)
    cases = [(name, place) for name in ("new.bin", "local.bin") for place in range(3)]
    found = []
    for case in torch.randperm(6, generator=rng).tolist():
        name, place = cases[case]
        Path("new.bin").unlink(missing_ok=True)
        wanted = (digest, a_file("local.bin", rng)[1], None)[place]
        try:
            told = kata.download(source.as_uri(), name, sha256=wanted)
            found.append([told.name, told.read_bytes()])
        except ValueError as error:
            found.append(type(error).__name__)
    return found


def a_folder(rng):
    """Six pictures of drawn sizes and colours, in several modes, with drawn labels."""
    labels = integers(rng, 6)
    root = Path(f"flowers{labels[0]}")
    root.joinpath("jpg").mkdir(parents=True, exist_ok=True)
    for i, mode in enumerate(("RGB", "L", "RGB", "RGBA", "RGB", "L")):
        pixels = torch.randint(256, (*integers(rng, 2), 3), generator=rng).byte()
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
    box = 0, 0, *integers(rng, 2, 1, 3)
    cropped = kata.FlowerDataset(root, lambda image: image.crop(box).tobytes())
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
    labels = torch.tensor([*range(5), *integers(rng, 9, 0, 5)])
    labels = labels[torch.randperm(14, generator=rng)]
    dataset = TensorDataset(torch.randn(14, 2, generator=rng), labels)
    dataset.targets = labels.tolist()
    classes = torch.randperm(5, generator=rng)[:3].tolist()
    subsets = [kata.ClassSubset(dataset, classes, relabel) for relabel in (True, False)]
    order = torch.randperm(len(subsets[0]), generator=rng).tolist()
    return [subset[i] for subset in subsets for i in order]


@probe("file_sha256")
def _(kata, rng):
    content = torch.randint(256, (5000,), generator=rng).byte().numpy().tobytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data")
        path.write_bytes(content)
        return [kata.file_sha256(path), kata.file_sha256(str(path), 64)]


def packed(path, names):
    """An archive of a folder and of files that hold their own names."""
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))


@probe("extract_tar")
def _(kata, rng):
    """Some of the archives have a member that leads out of the folder."""
    found = []
    for bad in torch.randint(2, (8,), generator=rng).tolist():
        number = int(torch.randint(999, (), generator=rng))
        with tempfile.TemporaryDirectory() as folder:
            home, archive = Path(folder, "out"), Path(folder, "x.tar")
            names = [f"jpg/{number}.png", f"{number}.txt"]
            packed(archive, [*names, "../out2/x"] if bad else names)
            try:
                paths = kata.extract_tar(archive, home)
                told = [str(path.relative_to(home)) for path in paths]
                found.append([told, [path.read_text() for path in paths]])
            except Exception:
                found.append("refused")
    return found


def flowers(folder, rng):
    """A table of three pictures of drawn colours, under drawn names and labels."""
    names, numbers = [], torch.randint(1, 250, (3, 4), generator=rng).tolist()
    Path(folder, "jpg").mkdir()
    for place, (label, *colour) in enumerate(numbers):
        names.append((f"{'cab'[place]}{label}.png", label % 5 + 1))
        Image.new("RGB", (4, 3), tuple(colour)).save(Path(folder, "jpg", names[-1][0]))
    rows = "".join(f"{name},{label}\n" for name, label in names)
    Path(folder, "labels.csv").write_text("file,label\n" + rows)


@probe("FlowerDataset.__init__")
def _(kata, rng):
    with tempfile.TemporaryDirectory() as folder:
        flowers(folder, rng)
        data = kata.FlowerDataset(folder)
        return [data.files, data.targets, data.num_classes, data.root == Path(folder)]


@probe("ClassSubset.__init__")
def _(kata, rng):
    targets = [*range(5), *torch.randint(5, (12,), generator=rng).tolist()]
    chosen = torch.randperm(5, generator=rng)[:3].tolist()
    data = SimpleNamespace(targets=targets)
    found = []
    for options in ({}, {"relabel": False}):
        subset = kata.ClassSubset(data, chosen, **options)
        found.append([subset.classes, subset.indices, subset.targets])
    return found
