"""Questions that the specs of 07 cannot ask from another process."""

import hashlib
import mimetypes
from pathlib import Path
from unittest import mock

import torch

from grader.lock.probes import probe


def a_file(path, rng):
    path.write_bytes(torch.randint(256, (5000,), generator=rng, dtype=torch.uint8).numpy().tobytes())
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@probe("download")
def _(kata, rng):
    (source, digest), (local, other) = (a_file(Path(name).absolute(), rng) for name in ("source.bin", "local.bin"))
    Path("new.bin").unlink(missing_ok=True)
    found = []
    with mock.patch.object(mimetypes, "knownfiles", []):  # urllib looks into these for file: URLs
        for target, wanted in (("new.bin", None), ("new.bin", digest), (local, None), (local, other), (local, digest)):
            told = kata.download(source.as_uri(), target, sha256=wanted)
            found.append((told.name, Path(target).read_bytes()))
        try:
            kata.download(source.as_uri(), local, sha256=other)
        except ValueError:
            found.append("refused")
    return found


class Shrink:
    def __repr__(self):
        return "Shrink(to=8)"

    def __str__(self):
        return "a transform"


@probe("FlowerDataset.__repr__")
def _(kata, rng):
    labels = torch.randint(1, 5, (6,), generator=rng).tolist()
    root = Path(f"flowers{labels[0]}")
    root.mkdir(exist_ok=True)
    root.joinpath("labels.csv").write_text("file,label\n" + "".join(f"{i}.jpg,{n}\n" for i, n in enumerate(labels)))
    return [repr(kata.FlowerDataset(str(root))), repr(kata.FlowerDataset(root, transform=Shrink()))]
