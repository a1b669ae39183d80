"""Kata today/11 in code: the numbers of four formats, blocks with scales, an outlier
and a rotation, a gradient that four bits round to zero, and a small network that trains
in eight and four bits.
"""

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
torch.manual_seed(0)

# 1. A format is a list of numbers: dense near 0, sparse where they are large.
print("1. Four formats")
positive = {}
for name in ("E2M1", "E4M3", "E5M2", "E8M0"):
    codes = torch.arange(16 if name == "E2M1" else 256, dtype=torch.uint8)
    numbers = kata.decode(codes, getattr(kata, name))
    found = positive[name] = numbers[numbers.isfinite() & (numbers > 0)].sort().values
    print(
        f"   {name}: {len(found):>3} numbers above 0, from {found[0]:.3g} to "
        f"{found[-1]:.6g}"
    )
print(f"   E2M1's are {positive['E2M1'].tolist()}")


# 2. Blocks of normal numbers. What a format costs, relative to the numbers' size.
def mxfp8(t: torch.Tensor) -> torch.Tensor:
    return kata.quantise_mx(t, kata.E4M3).values()


def mxfp4(t: torch.Tensor) -> torch.Tensor:
    return kata.quantise_mx(t, kata.E2M1).values()


def nvfp4(t: torch.Tensor) -> torch.Tensor:
    return kata.quantise_nvfp4(t).values()


def one_scale(t: torch.Tensor) -> torch.Tensor:
    """E2M1 with a single scale for the tensor."""
    scale = t.abs().max() / 6
    return kata.decode(kata.encode(t / scale, kata.E2M1), kata.E2M1) * scale


def error(got: torch.Tensor, right: torch.Tensor) -> float:
    return ((got - right).norm() / right.norm()).item()


x = torch.randn(256, 256)
print("\n2. Normal numbers: the error, relative to their size, and bits per number")
has_nvfp4 = stretch(kata.quantise_nvfp4, x) is not None
ways = {
    "MXFP8, E4M3": kata.quantise_mx(x, kata.E4M3),
    "MXFP8, E4M3, clip": kata.quantise_mx(x, kata.E4M3, clip=True),
    "MXFP8, E5M2": kata.quantise_mx(x, kata.E5M2),
    "MXFP4": kata.quantise_mx(x, kata.E2M1),
    "MXFP4, clip": kata.quantise_mx(x, kata.E2M1, clip=True),
}
if has_nvfp4:
    ways["NVFP4"] = kata.quantise_nvfp4(x)
for name, blocks in ways.items():
    bits = 1 + blocks.fmt.exp_bits + blocks.fmt.man_bits + 8 / blocks.block
    print(f"   {name:<18} {error(blocks.values(), x):.3f}  {bits:.2f}")
print(f"   {'E2M1, one scale':<18} {error(one_scale(x), x):.3f}  4.00")
amax = x.unflatten(-1, (-1, 32)).abs().amax(-1)
for name in ("E4M3", "E2M1"):
    fmt = getattr(kata, name)
    reach = (
        kata.decode(kata.quantise_mx(x, fmt, clip=True).scales, kata.E8M0) * fmt.largest
    )
    print(
        f"   clip: {100 * (amax > reach).float().mean():.0f} % of the blocks hold a "
        f"number beyond {name}"
    )

# 3. Experts: the rows of a batch, sorted by expert, times the matrix of each.
print("\n3. A grouped product in MXFP4")
rows, matrices, counts = torch.randn(10, 64), torch.randn(3, 32, 64), [4, 0, 6]
got = kata.scaled_matmul(
    kata.quantise_mx(rows, kata.E2M1), kata.quantise_mx(matrices, kata.E2M1), counts
)
exact = torch.cat(
    [part @ matrix.T for part, matrix in zip(rows.split(counts), matrices, strict=True)]
)
print(
    f"   rows {counts} of 3 experts give {tuple(got.shape)}, error "
    f"{error(got, exact):.3f}"
)

# 4. An outlier, and a rotation of both sides of a product. It leaves the exact product
#    as it is.
print(
    "\n"
    "4. One column of x is 50 times as large: the error of x wᵀ, and with both sides "
    "rotated in parts of 32"
)
a, w = torch.randn(128, 256), torch.randn(64, 256)
a[:, 7] *= 50


def rotated(t: torch.Tensor) -> torch.Tensor:
    return kata.hadamard(t.unflatten(-1, (-1, 32))).flatten(-2)


can_rotate = stretch(kata.hadamard, torch.ones(2)) is not None
if can_rotate:
    for name, way in {
        "MXFP4": mxfp4,
        **({"NVFP4": nvfp4} if has_nvfp4 else {}),
    }.items():
        plain, turned = (
            way(left) @ way(right).T
            for left, right in ((a, w), (rotated(a), rotated(w)))
        )
        print(f"   {name}: {error(plain, a @ w.T):.3f} → {error(turned, a @ w.T):.3f}")

# 5. A block of 32 parameters. The gradient of the first is noisy, and its noise sets
#    the scale for all.
STEPS = 250


def nearest(gradient: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    return mxfp4(gradient)


def at_random(gradient: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    return kata.quantise_mx(gradient, kata.E2M1, u=u).values()


def descend(rounding, turned: bool, seed: int) -> list[float]:
    """How far the 31 quiet parameters are from their targets after each step, as a
    share of the way.
    """
    generator = torch.Generator().manual_seed(seed)
    target, now, left = torch.randn(32, generator=generator), torch.zeros(32), []
    for _ in range(STEPS):
        gradient = now - target
        gradient[0] += 100 * torch.randn((), generator=generator)
        u = torch.rand(32, generator=generator)
        if turned:
            gradient = kata.hadamard(rounding(kata.hadamard(gradient), u))
        else:
            gradient = rounding(gradient, u)
        now = now - 0.02 * gradient
        left.append(error(now[1:], target[1:]))
    return left


print(
    "\n"
    "5. One noisy gradient in a block of 32: what is left of the way of the others "
    f"after {STEPS} steps"
)
plans = {
    "float32": (lambda gradient, u: gradient, False),
    "MXFP8, nearest": (lambda gradient, u: mxfp8(gradient), False),
    "MXFP4, nearest": (nearest, False),
    "MXFP4, at random": (at_random, False),
}
if can_rotate:
    plans |= {
        "MXFP4, rotated, nearest": (nearest, True),
        "MXFP4, rotated, at random": (at_random, True),
    }
paths = {}
for name, (rounding, turned) in plans.items():
    paths[name] = descend(rounding, turned, seed=0)
    print(f"   {name:<26} {paths[name][-1]:.2f}")

# 6. A network of three layers learns what a random one computes. All nine products of a
#    step are low.
SIZES = (32, 64, 64, 32)


def network(generator: torch.Generator) -> list[torch.Tensor]:
    return [
        torch.randn(o, i, generator=generator) * (2 / i) ** 0.5
        for i, o in zip(SIZES, SIZES[1:])
    ]


def through(
    layers: list[torch.Tensor], x: torch.Tensor, linear=F.linear
) -> torch.Tensor:
    for w in layers[:-1]:
        x = F.relu(linear(x, w))
    return linear(x, layers[-1])


def train(linear, seed: int, steps: int = 100) -> float:
    """Test loss of a student after so many steps of AdamW."""
    generator = torch.Generator().manual_seed(seed)
    teacher = network(generator)
    student = [nn.Parameter(w) for w in network(generator)]
    optimizer = torch.optim.AdamW(student, lr=3e-3)
    for _ in range(steps):
        x = torch.randn(64, SIZES[0], generator=generator)
        loss = F.mse_loss(through(student, x, linear), through(teacher, x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x = torch.randn(1024, SIZES[0], generator=generator)
    with torch.no_grad():
        return F.mse_loss(through(student, x, linear), through(teacher, x)).item()


def low(rounding):
    """A linear layer that rounds all operands this way."""
    return lambda x, w: kata.LowPrecisionLinear.apply(x, w, rounding)


def forward_only(t: torch.Tensor, role: str) -> torch.Tensor:
    return t if role == "grad" else mxfp4(t)


print("\n6. A student of a random network, 100 steps: test loss")
if (
    stretch(
        kata.LowPrecisionLinear.apply,
        torch.ones(1, 1),
        torch.ones(1, 1),
        lambda t, role: t,
    )
    is not None
):
    layers = {
        "float32": F.linear,
        "MXFP8": low(lambda t, role: mxfp8(t)),
        "MXFP4": low(lambda t, role: mxfp4(t)),
        "MXFP4, gradients in float32": low(forward_only),
        "E2M1, one scale": low(lambda t, role: one_scale(t)),
    }
    if has_nvfp4:
        layers["NVFP4"] = low(lambda t, role: nvfp4(t))
    for name, linear in layers.items():
        print(f"   {name:<28} {train(linear, seed=0):.3f}")


# 7. The figure: the numbers of four formats, and the noisy block.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.6))
    above, below = figure.subplots(2)
    for height, found in enumerate(positive.values()):
        shown = found[(found > 2**-8) & (found < 2**11)]
        above.plot(
            shown,
            torch.full_like(shown, -height),
            "|",
            markersize=16,
            color=COLOURS[height],
        )
    above.set_xscale("log", base=2)
    above.set(
        title="Numbers above 0, from 1/256 to 2048",
        yticks=range(0, -4, -1),
        yticklabels=positive,
        ylim=(-3.6, 0.6),
    )
    for (name, path), colour in zip(
        paths.items(), [COLOURS[6], COLOURS[5], *COLOURS[:4]], strict=False
    ):
        below.plot(
            path,
            label=name,
            color=colour,
            linewidth=1.5,
            linestyle="--" if "MXFP8" in name else "-",
        )
    below.set(
        title="One noisy gradient in a block of 32",
        xlabel="step",
        ylabel="distance left of the other 31",
        ylim=(0, 1.5),
        yticks=[0, 0.5, 1],
    )
    below.legend(loc="upper center", ncols=2)
    return figure


save_figure(draw(), __file__)
