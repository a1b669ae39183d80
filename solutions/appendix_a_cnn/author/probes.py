"""Questions that the specs of appendix A ask only about sizes, files and logits that
are known.
"""

from pathlib import Path
from unittest import mock

import torch
from torch.utils.data import DataLoader, TensorDataset

from grader.lock.probes import fill, probe


@probe("BinaryCNN.__init__")
def _(kata, rng):
    found = []
    for batch_norm in (False, True):
        colours, *channels, hidden, side = torch.randint(
            1, 6, (6,), generator=rng
        ).tolist()
        model = kata.BinaryCNN(
            8 * side, colours, channels, hidden, hidden / 10, batch_norm
        )
        shapes = sorted(
            (name, tuple(tensor.shape)) for name, tensor in model.state_dict().items()
        )
        found.append(
            [
                shapes,
                model.config,
                [
                    layer.p
                    for layer in model.modules()
                    if isinstance(layer, torch.nn.Dropout)
                ],
            ]
        )
    return found


@probe("ImageFolderDataset.__init__")
def _(kata, rng):
    drawn = torch.randint(1000, (20,), generator=rng).tolist()
    root = Path(f"pictures{drawn[0]}")
    for i, number in enumerate(drawn):
        folder = root / f"class{number % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "500.png").touch()
        (
            folder
            / f"{number}{('.png', '.jpg', '.jpeg', '.bmp', '.txt', 'png')[i % 6]}"
        ).touch()
    data = kata.ImageFolderDataset(root)
    samples = [
        (Path(path).parent.name, Path(path).name, label) for path, label in data.samples
    ]
    return [list(data.classes), dict(data.class_to_idx), samples, len(data)]


@probe("evaluate_binary")
def _(kata, rng):
    logits, labels = (
        3 * torch.randn(11, generator=rng),
        torch.randint(2, (11,), generator=rng).float(),
    )
    loader = DataLoader(TensorDataset(logits.unsqueeze(1), labels), batch_size=4)
    return [
        kata.evaluate_binary(torch.nn.Flatten(0), loader, threshold)
        for threshold in (0.5, 0.8)
    ]


@probe("compare_batch_norm")
def _(kata, rng):
    """From start values that the global generator decides just then."""
    seed, epochs, hidden = torch.randint(2, 6, (3,), generator=rng).tolist()
    images, labels = torch.rand(9, 3, 4, 4, generator=rng), torch.arange(9) % 2
    loaders = [
        DataLoader(TensorDataset(images[part], labels[part]), batch_size=3)
        for part in (slice(6), slice(6, 9))
    ]
    settings = {"epochs": epochs, "lr": 0.001 * (1 + hidden)}
    sizes = {"image_size": 4, "channels": (2,), "hidden": hidden, "dropout": 0.0}

    class Drawn(kata.BinaryCNN):
        def __init__(self, *given, **options):
            start = torch.Generator().manual_seed(int(torch.randint(10**6, ())))
            super().__init__(*given, **options)
            fill(self, start)

    with mock.patch.object(kata, "BinaryCNN", Drawn):
        return kata.compare_batch_norm(*loaders, seed=seed, **settings, **sizes)


@probe("BinaryCNN.forward")
def _(kata, rng):
    model = kata.BinaryCNN(8, 2, (3, 4), 5, 0.5).eval()
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    pictures = torch.rand(4, 2, 8, 8, generator=rng)
    return [model(pictures).detach(), model.predict_proba(pictures[:1]).detach()]
