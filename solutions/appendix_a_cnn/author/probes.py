"""Questions that the specs of appendix A ask only about sizes, files and logits that
are known.
"""

import tempfile
from pathlib import Path
from unittest import mock

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from grader.lock.probes import fill, integers, probe


@probe("BinaryCNN.__init__")
def _(kata, rng):
    found = []
    for batch_norm in (torch.rand(4, generator=rng) < 0.5).tolist():
        colours, *channels, hidden, side = integers(rng, 6, 1, 6)
        sizes = 8 * side, colours, channels, hidden
        model = kata.BinaryCNN(*sizes, hidden / 10, batch_norm)
        shapes = [(name, list(x.shape)) for name, x in model.state_dict().items()]
        dropped = [part.p for part in model.modules() if isinstance(part, nn.Dropout)]
        found.append([sorted(shapes), model.config, dropped])
    return found


@probe("ImageFolderDataset.__init__")
def _(kata, rng):
    drawn = integers(rng, 20, 0, 1000)
    ends = (".png", ".jpg", ".jpeg", ".bmp", ".txt", "png")
    root = Path(f"pictures{drawn[0]}")
    for i, number in enumerate(drawn):
        folder = root / f"class{number % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "500.png").touch()
        (folder / f"{number}{ends[i % 6]}").touch()
    data = kata.ImageFolderDataset(root)
    found = [(Path(path), label) for path, label in data.samples]
    samples = [(path.parent.name, path.name, label) for path, label in found]
    return [list(data.classes), dict(data.class_to_idx), samples, len(data)]


@probe("evaluate_binary")
def _(kata, rng):
    logits = 3 * torch.randn(11, 1, generator=rng)
    labels = torch.randint(2, (11,), generator=rng).float()
    loader = DataLoader(TensorDataset(logits, labels), batch_size=4)
    model = nn.Flatten(0)
    return [kata.evaluate_binary(model, loader, threshold) for threshold in (0.5, 0.8)]


class Watched(nn.Module):
    """Stands in for a network, and keeps how it was made: numbers larger by 1 show that
    it has batch norm.
    """

    def __init__(self, batch_norm=False, **options):
        super().__init__()
        self.told = {"start": torch.rand(2) + batch_norm, **options}


def watched(
    model, train_loader, val_loader, *, epochs, lr=1e-3, lr_step_size=None, lr_gamma=0.1
):
    """Stands in for training, and tells what it was given."""
    seen = {"train": list(train_loader), "val": list(val_loader)}
    settings = {"epochs": epochs, "lr": lr, "schedule": lr_step_size}
    return [{**model.told, **settings, **seen, "draws": torch.rand(2)}]


@probe("compare_batch_norm")
def _(kata, rng):
    """How both networks are built and trained, and what they draw."""
    train, val, (seed, epochs, hidden) = (
        *torch.rand(2, 5, generator=rng),
        integers(rng, 3),
    )
    loaders = DataLoader(train, 2, shuffle=True), DataLoader(val, 2)
    options = {"epochs": epochs, "lr": train[0].item(), "hidden": hidden}
    with mock.patch.multiple(kata, BinaryCNN=Watched, train_classifier=watched):
        found = kata.compare_batch_norm(*loaders, seed=seed, **options)
        other = kata.compare_batch_norm(*loaders, epochs=epochs)
    return [list(found), found, other]


@probe("BinaryCNN.forward")
def _(kata, rng):
    model = fill(kata.BinaryCNN(8, 2, (3, 4), 5, 0.5), rng).eval()
    pictures = torch.rand(4, 2, 8, 8, generator=rng)
    return [model(pictures).detach(), model.predict_proba(pictures[:1]).detach()]


def small(kata, **options):
    sizes = {"image_size": 4, "channels": (2,), "hidden": 3, "dropout": 0.0}
    return kata.BinaryCNN(**sizes | options)


@probe("conv_output_size")
def _(kata, rng):
    rows = torch.randint(1, 4, (9, 4), generator=rng).tolist()
    return [
        kata.conv_output_size(7 + 3 * row[0] + i, *row) for i, row in enumerate(rows)
    ]


@probe("conv2d")
def _(kata, rng):
    found = []
    for stride, padding in ((1, 0), (2, 1), ((2, 1), (0, 2)), ((1, 3), (2, 1))):
        x, weight = (
            torch.randn(2, 3, 7, 6, generator=rng),
            torch.randn(4, 3, 2, 3, generator=rng),
        )
        bias = torch.randn(4, generator=rng)
        found.append(kata.conv2d(x, weight, bias, stride, padding))
    return [*found, kata.conv2d(x, weight)]


@probe("max_pool2d")
def _(kata, rng):
    x = torch.randn(2, 3, 7, 6, generator=rng) - 2
    given = (2,), (3, 2), ((2, 3), 1), (3, 2, 1), ((3, 2), (1, 2), (1, 0))
    return [kata.max_pool2d(x, *one) for one in given]


@probe("ImageFolderDataset.__getitem__")
def _(kata, rng):
    """Pictures of four modes."""
    with tempfile.TemporaryDirectory() as folder:
        for i, mode in enumerate(("RGB", "L", "RGBA", "LA")):
            channels = len(mode)
            shape = (5, 4, channels)[: 2 + (channels > 1)]
            pixels = torch.randint(256, shape, generator=rng).byte().numpy()
            path = Path(folder, f"class{i % 2}")
            path.mkdir(exist_ok=True)
            Image.fromarray(pixels, mode).save(path / f"{i}.png")
        plain = kata.ImageFolderDataset(folder)
        changed = kata.ImageFolderDataset(folder, lambda x: 2 * x[:, 1:])
        return [data[i] for data in (plain, changed) for i in range(4)]


@probe("train_classifier")
def _(kata, rng):
    """Dropout would be seen in training mode alone: here batch norm is."""
    model = small(kata, batch_norm=True)
    fill(model, rng)
    images, labels = torch.rand(9, 3, 4, 4, generator=rng), torch.arange(9) % 2
    loaders = [
        DataLoader(TensorDataset(images[part], labels[part]), batch_size=3)
        for part in (slice(6), slice(6, 9))
    ]
    model.eval()
    options = {"epochs": 5, "lr": 0.01, "lr_step_size": 2, "lr_gamma": 0.5}
    return kata.train_classifier(model, *loaders, **options)


@probe("save_model")
def _(kata, rng):
    """What plain data a file holds, whatever its layout, and in which mode the model
    is left.
    """
    hidden, size = torch.randint(2, 9, (2,), generator=rng).tolist()
    model = small(kata, hidden=hidden, dropout=size / 16, batch_norm=True)
    fill(model, rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{hidden}.pt")
        kata.save_model(path, model)
        rebuilt = kata.load_model(path)
        held = torch.load(path, weights_only=True)
    return [
        type(held).__name__,
        rebuilt.config,
        dict(rebuilt.state_dict()),
        rebuilt.training,
    ]


@probe("load_model")
def _(kata, rng):
    hidden, size = torch.randint(2, 9, (2,), generator=rng).tolist()
    model, x = (
        small(kata, hidden=hidden, dropout=size / 16),
        torch.rand(3, 3, 4, 4, generator=rng),
    )
    fill(model, rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{hidden}.pt")
        kata.save_model(path, model)
        loaded = kata.load_model(path)
    return [loaded(x).detach(), loaded.config]
