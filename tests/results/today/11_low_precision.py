"""A block whose first gradient is noisy, rotated products, and a student of a random
network in few bits.
"""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

LIMITS = {
    "noisy block, way left: MXFP8": "< 0.01",
    "noisy block, way left: MXFP4, nearest": "> 0.3",
    "noisy block, way left: MXFP4, at random": "< 0.2",
    "noisy block, way left: MXFP4, rotated, nearest": "< 0.1",
    "noisy block, way left: MXFP4, rotated, at random": "> 0.15",
    "error of a product, one column × 50: MXFP4": "< 0.2",
    "the same, rotated by 32: MXFP4": "< 0.2",
    "error of a product, one column × 50: NVFP4": "< 0.15",
    "the same, rotated by 32: NVFP4": "> 0.13",
    "test loss of a student: MXFP8 − float32": "< 0.02",
    "test loss of a student: MXFP4 − float32": "> 0.02",
    "test loss of a student: NVFP4 − MXFP4": "< 0",
    "test loss of a student: one scale per tensor − MXFP4": "> 0",
    "test loss of a student: MXFP4 with float32 gradients − MXFP4, at least": "> -0.02",
    "test loss of a student: MXFP4 with random gradients − MXFP4, at least": "> -0.02",
}
SIZES = (32, 64, 64, 32)


def mxfp8(kata, t, u=None):
    return kata.quantise_mx(t, kata.E4M3).values()


def mxfp4(kata, t, u=None):
    return kata.quantise_mx(t, kata.E2M1, u=u).values()


def nearest(kata, t, u):
    return mxfp4(kata, t)


def nvfp4(kata, t):
    return kata.quantise_nvfp4(t).values()


def rotated(kata, t):
    return kata.hadamard(t.unflatten(-1, (-1, 32))).flatten(-2)


def error(got: torch.Tensor, right: torch.Tensor) -> float:
    return ((got - right).norm() / right.norm()).item()


def descend(kata, rounding, seed, turned=False) -> float:
    """How far 31 parameters are from their targets after 400 steps, in a block with one
    whose gradient is noisy.
    """
    generator = torch.Generator().manual_seed(seed)
    target, now = torch.randn(32, generator=generator), torch.zeros(32)
    for _ in range(400):
        gradient = now - target
        gradient[0] += 100 * torch.randn((), generator=generator)
        u = torch.rand(32, generator=generator)
        gradient = rounding(kata, kata.hadamard(gradient) if turned else gradient, u)
        now = now - 0.02 * (kata.hadamard(gradient) if turned else gradient)
    return error(now[1:], target[1:])


def network(generator: torch.Generator) -> list[torch.Tensor]:
    return [
        torch.randn(o, i, generator=generator) * (2 / i) ** 0.5
        for i, o in zip(SIZES, SIZES[1:], strict=False)
    ]


def through(
    layers: list[torch.Tensor], x: torch.Tensor, linear=F.linear
) -> torch.Tensor:
    for w in layers[:-1]:
        x = F.relu(linear(x, w))
    return linear(x, layers[-1])


def train(linear, seed) -> float:
    """Test loss of a student after 200 steps of AdamW."""
    generator = torch.Generator().manual_seed(seed)
    teacher = network(generator)
    student = [nn.Parameter(w) for w in network(generator)]
    optimizer = torch.optim.AdamW(student, lr=3e-3)
    for _ in range(200):
        x = torch.randn(64, SIZES[0], generator=generator)
        loss = F.mse_loss(through(student, x, linear), through(teacher, x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x = torch.randn(1024, SIZES[0], generator=generator)
    with torch.no_grad():
        return F.mse_loss(through(student, x, linear), through(teacher, x)).item()


def run(kata, seed) -> dict[str, float]:
    def one_scale(t, role):
        scale = t.abs().max() / 6
        return kata.decode(kata.encode(t / scale, kata.E2M1), kata.E2M1) * scale

    def low(rounding):
        return train(lambda x, w: kata.LowPrecisionLinear.apply(x, w, rounding), seed)

    found = [descend(kata, rounding, seed) for rounding in (mxfp8, nearest, mxfp4)]
    found += [
        descend(kata, rounding, seed, turned=True) for rounding in (nearest, mxfp4)
    ]
    a, w = torch.randn(128, 256), torch.randn(64, 256)
    a[:, 7] *= 50
    for way in (partial(mxfp4, kata), partial(nvfp4, kata)):
        for left, right in ((a, w), (rotated(kata, a), rotated(kata, w))):
            found.append(error(way(left) @ way(right).mT, a @ w.mT))
    exact, four = train(F.linear, seed), low(lambda t, role: mxfp4(kata, t))
    found += [low(lambda t, role: mxfp8(kata, t)) - exact, four - exact]
    found += [low(lambda t, role: nvfp4(kata, t)) - four, low(one_scale) - four]
    found.append(low(lambda t, role: t if role == "grad" else mxfp4(kata, t)) - four)
    found.append(
        low(
            lambda t, role: mxfp4(
                kata, t, torch.rand(t.shape) if role == "grad" else None
            )
        )
        - four
    )
    return dict(zip(LIMITS, map(float, found), strict=True))
