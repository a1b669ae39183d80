"""Questions that the specs of appendix A ask only about sizes, files and logits that are known."""

from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

from grader.lock.probes import probe


@probe("BinaryCNN.__init__")
def _(kata, rng):
    found = []
    for batch_norm in (False, True):
        colours, *channels, hidden, side = torch.randint(1, 6, (6,), generator=rng).tolist()
        model = kata.BinaryCNN(8 * side, colours, channels, hidden, hidden / 10, batch_norm)
        shapes = sorted((name, tuple(tensor.shape)) for name, tensor in model.state_dict().items())
        found.append(
            [shapes, model.config, [layer.p for layer in model.modules() if isinstance(layer, torch.nn.Dropout)]]
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
        (folder / f"{number}{('.png', '.jpg', '.jpeg', '.bmp', '.txt', 'png')[i % 6]}").touch()
    data = kata.ImageFolderDataset(root)
    samples = [(Path(path).parent.name, Path(path).name, label) for path, label in data.samples]
    return [list(data.classes), dict(data.class_to_idx), samples, len(data)]


@probe("evaluate_binary")
def _(kata, rng):
    logits, labels = 3 * torch.randn(11, generator=rng), torch.randint(2, (11,), generator=rng).float()
    loader = DataLoader(TensorDataset(logits.unsqueeze(1), labels), batch_size=4)
    return [kata.evaluate_binary(torch.nn.Flatten(0), loader, threshold) for threshold in (0.5, 0.8)]
