"""Kata today/07 in code: a weight in bytes, two numbers per byte, an outlier and
groups, a scale for activations, eight floating bits, and a small model that is rounded:
at once, and with training through the rounding.
"""

import copy
import math

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from grader.datasets import characters
from grader.lesson import COLOURS, code, save_figure, stretch
from grader.loading import prerequisite

kata = code(__file__)
# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
torch.manual_seed(0)

# 1. A weight in bytes. The error is known beforehand: at most half a scale.
print("1. A weight of 64 × 256 in bytes")
w = torch.randn(64, 256)
q, scale = kata.absmax_int8(w)
print(f"   {w.nbytes:,} bytes become {q.nbytes + scale.nbytes:,}")
print(f"   largest error: {((q * scale - w).abs() / scale).max():.3f} of a row's scale")

# 2. Two numbers per byte.
numbers = torch.tensor([-1, -8, 3, 5], dtype=torch.int8)
packed = kata.pack_int4(numbers)
print("\n2. Two numbers per byte")
print(f"   {numbers.tolist()} become {[f'{b:08b}' for b in packed.tolist()]}, and come "
      f"back as {kata.unpack_int4(packed).tolist()}")  # fmt: skip

# 3. One outlier of 20 per row. With a scale per row all other weights lose; with
#    groups, its neighbours alone.
w[:, 7] = 20
print(
    "\n"
    "3. An outlier in every row, four bits: the mean squared error of the other weights"
)
others = torch.arange(256) != 7
first = stretch(kata.absmax_int4, w, 256)
if first is not None:
    for group_size in (256, 64, 16):
        packed, scale = kata.absmax_int4(w, group_size)
        back = kata.quantised_linear(torch.eye(256), packed, scale, group_size).mT
        error = (back - w)[:, others].square().mean()
        print(
            f"   groups of {group_size:>3}: {error:.4f}, "
            f"{packed.nbytes + scale.nbytes:,} bytes"
        )

# 4. Activations: 4,000 normal values and one of 40.
x = torch.randn(4000)
x[0] = 40
print(
    "\n"
    "4. The best scale for activations with an outlier, as a share of that of the "
    "largest value"
)
for bits in (8, 4):
    n = 2 ** (bits - 1) - 1
    best = stretch(kata.calibrate, x, bits)
    if best is not None:
        errors = [
            ((x / s).round().clamp(-n, n) * s - x).square().mean().item()
            for s in (x.abs().max() / n, best)
        ]
        print(
            f"   {bits} bits: {best / (x.abs().max() / n):.2f}, mean squared error "
            f"{errors[0]:.4f} → {errors[1]:.4f}"
        )

# 5. Eight floating bits: small numbers keep their relative precision.
print(
    "\n"
    "5. float8_e4m3fn beside int8: largest relative error of numbers of a given size, "
    "the largest being 448"
)
eight = stretch(kata.fp8_scale, torch.tensor([448.0]))
if eight is not None:
    for size in (400.0, 40.0, 4.0, 0.4):
        x = torch.cat([torch.tensor([448.0]), size * (0.5 + torch.rand(500))]).clamp(
            max=448
        )
        y, scale = kata.fp8_scale(x)
        q, row = kata.absmax_int8(x[None])
        errors = [
            ((back - x).abs() / x)[1:].max().item()
            for back in (y.float() * scale, (q * row)[0])
        ]
        print(f"   about {size:>5}: {errors[0]:.3f} and {errors[1]:.3f}")

# 6. A model. 01's Decoder, C = 32, learns characters for 300 steps; then its linear
#    layers are rounded.
block = prerequisite("today/01_todays_block")
trained_on, held_out, vocab = characters()
T = 64


def windows(
    data: torch.Tensor, rows: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    starts = torch.randint(len(data) - T, (rows, 1), generator=generator)
    found = data[starts + torch.arange(T + 1)]
    return found[:, :-1], found[:, 1:]


def train(model: nn.Module, steps: int, lr: float, seed: int) -> nn.Module:
    """AdamW on half a cosine."""
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
def loss(model: nn.Module) -> float:
    x, y = windows(held_out, 128, torch.Generator().manual_seed(1000))
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten()).item()


def linears(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def rounded(w: torch.Tensor, bits: int) -> torch.Tensor:
    """The weight as codes of so many bits stand for it, with a scale per row."""
    n = 2 ** (bits - 1) - 1
    scale = w.abs().amax(1, keepdim=True) / n
    return (w / scale).round() * scale


def with_rounded_weights(model: nn.Module, bits: int) -> nn.Module:
    """A copy whose linear layers are rounded."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for layer in linears(model):
            layer.weight.copy_(rounded(layer.weight, bits))
    return model


class Through(nn.Module):
    """A weight that the layer sees rounded, and that learns as if it were not."""

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        return kata.straight_through(w, lambda w: rounded(w, self.bits))


def tuned(model: nn.Module, bits: int) -> nn.Module:
    """A copy that trains on for 60 steps through the rounding."""
    model = copy.deepcopy(model)
    for layer in linears(model):
        parametrize.register_parametrization(layer, "weight", Through(bits))
    return train(model, 60, 2e-3, 500)


torch.manual_seed(0)
model = train(block.Decoder(block.DecoderConfig(vocab, 2, 2, 1, 32, 88)), 300, 8e-3, 0)
longer = train(copy.deepcopy(model), 60, 2e-3, 500)
BITS = (8, 4, 3, 2)
at_once = [loss(with_rounded_weights(model, bits)) for bits in BITS]
after = [loss(with_rounded_weights(longer, bits)) for bits in BITS]
through = [loss(tuned(model, bits)) for bits in BITS]
print("\n"
      "6. Held-out loss of a small model with rounded weights; unrounded "
      f"{loss(model):.3f}, after 60 more steps {loss(longer):.3f}")  # fmt: skip
print(
    f"   {'bits':>4} {'at once':>9} {'60 steps, then rounded':>24} "
    f"{'60 steps through it':>21}"
)
for row in zip(BITS, at_once, after, through, strict=True):
    print("   {:>4} {:>9.3f} {:>24.3f} {:>21.3f}".format(*row))


# 7. The figure: bits against loss, and a row of weights on two grids.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.6))
    above, below = figure.subplots(2)
    lines = {
        "rounded at once": at_once,
        "60 steps, then rounded": after,
        "60 steps through the rounding": through,
    }
    for (label, losses), style in zip(lines.items(), ("o-", "s--", "^-"), strict=True):
        above.plot(BITS, losses, style, label=label)
    above.axhline(
        loss(model), color="0.6", linewidth=1, label="not rounded, no more steps"
    )
    above.set(xlabel="bits per weight", ylabel="held-out loss, nats", xticks=BITS)
    above.legend()
    weight = linears(model)[0].weight[0].detach()
    below.hist(weight.numpy(), bins=24, color="0.75")
    for height, bits in ((-1, 4), (-2, 2)):
        n = 2 ** (bits - 1) - 1
        grid = torch.arange(-n, n + 1) * weight.abs().max() / n
        heights, colour = torch.full_like(grid, height), COLOURS[bits == 2]
        below.plot(
            grid, heights, "|", markersize=12, color=colour, label=f"{bits} bits"
        )
    below.set(
        title="A row of weights, and the values of its codes",
        xlabel="weight",
        ylabel="count",
        yticks=range(6),
    )
    below.legend()
    return figure


save_figure(draw(), __file__)
