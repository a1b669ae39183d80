"""What the specs of 07 cannot ask from another process."""

from pathlib import Path

import torch

from grader.loading import probe


@probe("FlowerDataset.__repr__")
def _(kata, rng):
    labels = torch.randint(1, 5, (6,), generator=rng).tolist()
    root = Path(f"flowers{labels[0]}")
    root.mkdir(exist_ok=True)
    root.joinpath("labels.csv").write_text("file,label\n" + "".join(f"{i}.jpg,{n}\n" for i, n in enumerate(labels)))
    return [repr(kata.FlowerDataset(str(root))), repr(kata.FlowerDataset(root, transform=abs))]
