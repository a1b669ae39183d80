"""Noisy weights and their price in bits; pruning by magnitude, lottery tickets, and the
bits of a masked net.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return (model(x).argmax(dim=1) == y).float().mean().item()


def noisy_net(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for n, m in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [NoisyLinear(n, m), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def kl_bits(mean: Tensor, log_var: Tensor, prior_std: float = 0.3) -> Tensor:
    std = (log_var / 2).exp()
    nats = (prior_std / std).log() + (std**2 + mean**2) / (2 * prior_std**2) - 0.5
    return nats.sum() / math.log(2)


class NoisyLinear(nn.Linear):
    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features)
        self.log_var = nn.Parameter(torch.full((out_features, in_features), -6.0))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.linear(x, self.weight, self.bias)
        std = torch.exp(self.log_var / 2)
        weight = self.weight + std * torch.randn(self.weight.shape)
        return F.linear(x, weight, self.bias)


def train_noisy(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 400,
    lr: float = 0.03,
    price: float = 1.0,
    prior_std: float = 0.3,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(x), y, reduction="sum") / math.log(2)
        for layer in model.modules():
            if isinstance(layer, NoisyLinear):
                loss = loss + price * kl_bits(layer.weight, layer.log_var, prior_std)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def prune_mask_numpy(weight: np.ndarray, sparsity: float) -> np.ndarray:
    mask = np.ones(weight.size, dtype=bool)
    smallest = np.argsort(np.abs(weight), axis=None)[: round(sparsity * weight.size)]
    mask[smallest] = False
    return mask.reshape(weight.shape)


def magnitude_mask(weight: Tensor, sparsity: float) -> Tensor:
    mask = torch.ones(weight.numel(), dtype=torch.bool)
    smallest = weight.abs().flatten().argsort()[: round(sparsity * weight.numel())]
    mask[smallest] = False
    return mask.reshape(weight.shape)


class MaskedLinear(nn.Linear):
    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features)
        self.register_buffer(
            "mask", torch.ones(out_features, in_features, dtype=torch.bool)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class MaskedMLP(nn.Module):
    def __init__(self, sizes: list[int]):
        super().__init__()
        self.layers = nn.ModuleList(
            MaskedLinear(n, m) for n, m in zip(sizes[:-1], sizes[1:])
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


def global_prune(model: MaskedMLP, sparsity: float) -> float:
    weights = torch.cat(
        [(layer.weight * layer.mask).flatten() for layer in model.layers]
    )
    keep = magnitude_mask(weights, sparsity)
    start = 0
    for layer in model.layers:
        end = start + layer.mask.numel()
        layer.mask &= keep[start:end].view_as(layer.mask)
        start = end
    kept = sum(layer.mask.sum().item() for layer in model.layers)
    return 1 - kept / len(weights)


def rewind(model: MaskedMLP, init_state: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(init_state[name])


def randomize_masks(model: MaskedMLP, generator: torch.Generator | None = None) -> None:
    for layer in model.layers:
        order = torch.randperm(layer.mask.numel(), generator=generator)
        layer.mask = layer.mask.flatten()[order].view_as(layer.mask)


def train_classifier(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 200,
    batch: int = 64,
    lr: float = 0.005,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def description_length(model: MaskedMLP, bits_per_weight: int = 32) -> float:
    bits = 0.0
    for layer in model.layers:
        n, kept = layer.mask.numel(), int(layer.mask.sum())
        bits += (kept + layer.bias.numel()) * bits_per_weight + math.log2(
            math.comb(n, kept)
        )
    return bits
