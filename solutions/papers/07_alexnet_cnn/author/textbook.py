"""A small AlexNet: convolution, response normalisation, overlapping pooling, dropout,
shifts, and averaged views.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    mode = model.training
    model.eval()
    with torch.no_grad():
        share = (model(x).argmax(dim=1) == y).float().mean().item()
    model.train(mode)
    return share


class ResponseNorm(nn.Module):
    def __init__(self, size: int, alpha: float, beta: float, k: float):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)


def conv2d_numpy(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    stride: int = 1,
    padding: int = 0,
) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kh, kw = w.shape[2:]
    height = (x.shape[2] - kh) // stride + 1
    width = (x.shape[3] - kw) // stride + 1
    out = np.zeros((len(x), len(w), height, width))
    for i in range(height):
        for j in range(width):
            patch = x[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
            out[:, :, i, j] = np.einsum("bcuv,ocuv->bo", patch, w)
    if b is not None:
        out += b[:, None, None]
    return out


def local_response_norm(
    x: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
) -> Tensor:
    padded = F.pad(x**2, (0, 0, 0, 0, size // 2, (size - 1) // 2))
    total = padded.unfold(1, size, 1).sum(dim=-1)
    return x / (k + alpha * total) ** beta


def random_shift(
    x: Tensor, pad: int, generator: torch.Generator | None = None
) -> Tensor:
    H, W = x.shape[2:]
    padded = F.pad(x, (pad, pad, pad, pad))
    places = torch.randint(2 * pad + 1, (len(x), 2), generator=generator).tolist()
    return torch.stack(
        [
            image[:, i : i + H, j : j + W]
            for image, (i, j) in zip(padded, places, strict=True)
        ]
    )


class MiniAlexNet(nn.Module):
    def __init__(
        self, num_classes: int = 10, activation: str = "relu", dropout: float = 0.5
    ):
        super().__init__()
        act = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            act(),
            ResponseNorm(5, 0.02, 0.75, 1.0),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(16, 32, 3, padding=1),
            act(),
            ResponseNorm(5, 0.02, 0.75, 1.0),
            nn.Conv2d(32, 32, 3, padding=1),
            act(),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(288, 64),
            act(),
            nn.Dropout(dropout),
            nn.Linear(64, num_classes),
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def predict_averaged(model: nn.Module, x: Tensor, pad: int = 1) -> Tensor:
    H, W = x.shape[2:]
    padded = F.pad(x, (pad, pad, pad, pad))
    corners = [(0, 0), (0, 2 * pad), (2 * pad, 0), (2 * pad, 2 * pad), (pad, pad)]
    model.eval()
    views = [
        model(padded[:, :, i : i + H, j : j + W]).softmax(dim=1) for i, j in corners
    ]
    return torch.stack(views).mean(dim=0)


def train_alexnet(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 200,
    batch: int = 64,
    lr: float = 0.003,
    weight_decay: float = 1e-4,
    shift: int = 0,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        images = x[rows]
        if shift > 0:
            images = random_shift(images, shift, generator)
        loss = F.cross_entropy(model(images), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
