"""Convolutional networks for pictures: the two operations, a binary classifier, a
folder of pictures, training, a file.

Sizes: B pictures in a batch, Cin and Cout channels, H × W pixels, kH × kW a kernel or
window; pairs: height, width.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


def make_stripe_images(
    num_images: int,
    image_size: int = 16,
    noise: float = 0.5,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw pictures of coloured stripes under noise, the data that this kata trains
    on (given).

    Args:
        num_images: N.
        image_size: S, the height and the width.
        noise: the standard deviation of what is added to each value.
        generator: where the random numbers come from; None takes the global generator.
    Returns:
        Images (N, 3, S, S) float32 in [0, 1] and labels (N,) float32, 0, 1, 0, 1, …: 0
        for horizontal stripes, 1 for vertical ones. Colours, width and place of the
        stripes are drawn anew for each picture and say nothing of it.
    """
    labels = torch.arange(num_images) % 2
    period = 4 + 2 * torch.rand(num_images, 1, generator=generator)
    offset = torch.rand(num_images, 1, generator=generator)
    # (N, 1, 1, S)
    profile = torch.sin(2 * math.pi * (torch.arange(image_size) / period + offset))[
        :, None, None, :
    ]
    vertical = profile.expand(-1, 3, image_size, -1)
    stripes = torch.where(labels[:, None, None, None] == 1, vertical, vertical.mT)
    middle, contrast = torch.rand(2, num_images, 3, 1, 1, generator=generator)
    colours = 0.35 + 0.3 * middle + (0.25 + 0.25 * contrast) * stripes
    images = colours + noise * torch.randn(
        num_images, 3, image_size, image_size, generator=generator
    )
    return images.clamp(0, 1), labels.float()


def conv_output_size(
    size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Count the places at which a kernel fits along one side of a picture."""
    return (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Take the same weighted sum at every place of a picture."""
    kernel_height, kernel_width = weight.shape[2:]
    stride_h, stride_w = _pair(stride)
    pad_h, pad_w = _pair(padding)
    x = F.pad(x, (pad_w, pad_w, pad_h, pad_h))
    # (B, Cin, H', W', kH, kW)
    windows = x.unfold(2, kernel_height, stride_h).unfold(3, kernel_width, stride_w)
    y = torch.einsum("bcijuv,ocuv->boij", windows, weight)
    if bias is not None:
        y = y + bias[:, None, None]
    return y


def max_pool2d(
    x: Tensor,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Keep the largest value of every window, each channel by itself."""
    kernel_height, kernel_width = _pair(kernel_size)
    stride_h, stride_w = _pair(kernel_size if stride is None else stride)
    pad_h, pad_w = _pair(padding)
    x = F.pad(x, (pad_w, pad_w, pad_h, pad_h), value=-math.inf)
    windows = x.unfold(2, kernel_height, stride_h).unfold(3, kernel_width, stride_w)
    return windows.flatten(-2).max(dim=-1).values


class BinaryCNN(nn.Module):
    """A small convolutional network that answers one question about a picture with yes
    or no.
    """

    def __init__(
        self,
        image_size: int = 16,
        in_channels: int = 3,
        channels: Sequence[int] = (8, 16, 32),
        hidden: int = 32,
        dropout: float = 0.5,
        batch_norm: bool = False,
    ):
        super().__init__()
        self.config = {
            "image_size": image_size,
            "in_channels": in_channels,
            "channels": list(channels),
            "hidden": hidden,
            "dropout": dropout,
            "batch_norm": batch_norm,
        }
        layers = []
        for out_channels in channels:
            layers.append(
                nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=not batch_norm)
            )
            if batch_norm:
                layers.append(nn.BatchNorm2d(out_channels))
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
            in_channels = out_channels
        self.features = nn.Sequential(*layers)
        side = image_size // 2 ** len(channels)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_channels * side * side, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).squeeze(1)

    def predict_proba(self, x: Tensor) -> Tensor:
        """The probability of class 1 for each picture of x, (B,): the sigmoid of the
        logits, in the mode it is in.
        """
        return torch.sigmoid(self(x))


class ImageFolderDataset(Dataset):
    """The pictures below a folder, labelled by the sub-folder that they lie in."""

    def __init__(
        self, root: str | Path, transform: Callable[[Tensor], Tensor] | None = None
    ):
        root = Path(root)
        self.transform = transform
        self.classes = sorted(
            folder.name for folder in root.iterdir() if folder.is_dir()
        )
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples = []
        for name, label in self.class_to_idx.items():
            for path in sorted((root / name).rglob("*")):
                if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"):
                    self.samples.append((path, label))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        path, label = self.samples[i]
        pixels = np.array(Image.open(path).convert("RGB"))
        picture = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
        if self.transform is not None:
            picture = self.transform(picture)
        return picture, label


def evaluate_binary(
    model: nn.Module, loader: DataLoader, threshold: float = 0.5
) -> dict[str, float]:
    """Measure a binary classifier on all samples of a loader, in eval mode and without
    a trace.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            logits = model(images)
            loss += F.binary_cross_entropy_with_logits(
                logits, labels.float(), reduction="sum"
            ).item()
            positive = torch.sigmoid(logits) >= threshold
            correct += (positive == labels.bool()).sum().item()
            count += len(images)
    for module, mode in modes:
        module.training = mode
    return {"loss": loss / count, "accuracy": correct / count}


def train_classifier(
    model: nn.Module,
    train_loader: DataLoader,
    val_loader: DataLoader,
    *,
    epochs: int,
    lr: float = 1e-3,
    lr_step_size: int | None = None,
    lr_gamma: float = 0.1,
) -> list[dict[str, float]]:
    """Train a binary classifier with Adam on the binary cross-entropy of its logits,
    and keep the history.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    scheduler = None
    if lr_step_size is not None:
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, lr_step_size, lr_gamma)
    history = []
    for _ in range(epochs):
        model.train()
        total, count = 0.0, 0
        for images, labels in train_loader:
            loss = F.binary_cross_entropy_with_logits(model(images), labels.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(images)
            count += len(images)
        val = evaluate_binary(model, val_loader)
        history.append(
            {
                "lr": optimizer.param_groups[0]["lr"],
                "train_loss": total / count,
                "val_loss": val["loss"],
                "val_accuracy": val["accuracy"],
            }
        )
        if scheduler is not None:
            scheduler.step()
    return history


def compare_batch_norm(
    train_loader: DataLoader,
    val_loader: DataLoader,
    *,
    epochs: int,
    lr: float = 1e-3,
    seed: int = 0,
    **model_kwargs,
) -> dict[str, list[dict[str, float]]]:
    """Train the same network without and with batch norm, from the same seed."""
    histories = {}
    for name, batch_norm in (("plain", False), ("batch_norm", True)):
        torch.manual_seed(seed)
        model = BinaryCNN(batch_norm=batch_norm, **model_kwargs)
        histories[name] = train_classifier(
            model, train_loader, val_loader, epochs=epochs, lr=lr
        )
    return histories


def save_model(path: str | Path, model: BinaryCNN) -> None:
    """Write a model to a file that is enough to rebuild it."""
    torch.save({"config": model.config, "state": model.state_dict()}, path)


def load_model(path: str | Path, map_location: str | torch.device = "cpu") -> BinaryCNN:
    """Rebuild a model from a file that `save_model` wrote, without being told
    its arguments.
    """
    saved = torch.load(path, map_location=map_location, weights_only=True)
    model = BinaryCNN(**saved["config"]).to(map_location)
    model.load_state_dict(saved["state"])
    return model.eval()
