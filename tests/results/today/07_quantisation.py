"""Today's block, trained for 300 steps on prose, then rounded: at once, and after 60
steps through the rounding.
"""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from grader.course import catalogue, kata_modules
from grader.datasets import characters

LIMITS = {
    "loss with int8 rows − unrounded, nats": "< 0.005",
    "loss with int4 rows − unrounded, nats": "< 0.05",
    "loss with int4 rows − int4 groups of 16, nats": "> 0",
    "loss with 2 bits − unrounded, nats": "> 0.1",
    "2 bits: 60 steps unrounded, then rounded − 60 steps through the rounding, nats": (
        "> 0.05"
    ),
    "3 bits: the same": "> 0",
}
T = 64


def rounded(w: torch.Tensor, bits: int) -> torch.Tensor:
    """The weight as codes of so many bits stand for it, with a scale per row."""
    n = 2 ** (bits - 1) - 1
    scale = w.abs().amax(1, keepdim=True) / n
    return (w / scale).round() * scale


class Through(nn.Module):
    """A weight that the layer sees rounded, and that learns as if it were not."""

    def __init__(self, kata, bits: int):
        super().__init__()
        self.kata, self.bits = kata, bits

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        return self.kata.straight_through(w, lambda w: rounded(w, self.bits))


def linears(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def with_weights(model: nn.Module, change) -> nn.Module:
    """A copy whose linear layers have changed weights."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for layer in linears(model):
            layer.weight.copy_(change(layer.weight))
    return model


def run(kata, seed) -> dict[str, float]:
    trained_on, held_out, vocab = characters()
    block = kata_modules.load(
        catalogue.find("today/01_todays_block"), catalogue.ROOT / "solutions"
    )
    model = block.Decoder(block.DecoderConfig(vocab, 2, 4, 2, 64, 176))

    def windows(data, rows, generator):
        starts = torch.randint(len(data) - T, (rows, 1), generator=generator)
        found = data[starts + torch.arange(T + 1)]
        return found[:, :-1], found[:, 1:]

    def train(model, steps: int, lr: float, seed: int):
        generator, optimizer = (
            torch.Generator().manual_seed(seed),
            torch.optim.AdamW(model.parameters(), lr),
        )
        for step in range(1, steps + 1):
            optimizer.param_groups[0]["lr"] = (
                lr * (1 + math.cos(math.pi * step / steps)) / 2
            )
            x, y = windows(trained_on, 16, generator)
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model

    @torch.no_grad()
    def loss(model) -> float:
        x, y = windows(held_out, 128, torch.Generator().manual_seed(1000 + seed))
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten()).item()

    def int8(w):
        q, scale = kata.absmax_int8(w)
        return q * scale

    def int4(w, group_size):
        return kata.quantised_linear(
            torch.eye(w.size(1)), *kata.absmax_int4(w, group_size), group_size
        ).mT

    def tuned(bits: int) -> float:
        copied = copy.deepcopy(model)
        for layer in linears(copied):
            parametrize.register_parametrization(layer, "weight", Through(kata, bits))
        return loss(train(copied, 60, 1e-3, 500 + seed))

    train(model, 300, 3e-3, seed)
    longer = train(copy.deepcopy(model), 60, 1e-3, 500 + seed)
    full = loss(model)
    rows = loss(with_weights(model, lambda w: int4(w, w.size(1))))
    found = [
        loss(with_weights(model, int8)) - full,
        rows - full,
        rows - loss(with_weights(model, lambda w: int4(w, 16))),
        loss(with_weights(model, lambda w: rounded(w, 2))) - full,
        *(
            loss(with_weights(longer, lambda w, bits=bits: rounded(w, bits)))
            - tuned(bits)
            for bits in (2, 3)
        ),
    ]
    return dict(zip(LIMITS, map(float, found), strict=True))
