"""Questions that the specs of today/11 ask only about inputs that are known, or cannot
ask from another process.
"""

import torch

from grader.lock.probes import probe


def sizes(rng, count, low=2, high=6):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def some_numbers(rng, *shape):
    """Numbers of quite different sizes, as multiples of 1/1024: divisions by powers of
    two are exact.
    """
    x = torch.randn(shape, generator=rng) * 2.0 ** torch.randint(
        -3, 4, shape, generator=rng
    )
    return (x * 1024).round() / 1024


@probe("decode")
def _(kata, rng):
    """Infinity and NaN are told as numbers that no code has."""
    codes = torch.randperm(256, generator=rng).to(torch.uint8).view(4, 64)
    six = kata.Format(3, 2, 3, 28.0)
    found = [kata.decode(codes, fmt) for fmt in (kata.E4M3, kata.E5M2, kata.E8M0)]
    return [
        *(torch.nan_to_num(x, nan=0.3, posinf=0.7, neginf=-0.7) for x in found),
        *(kata.decode(codes % 16, kata.E2M1), kata.decode(codes % 64, six)),
    ]


@probe("encode")
def _(kata, rng):
    x = some_numbers(rng, *sizes(rng, 2)) + 1 / 4096
    return [
        kata.encode(x, fmt)
        for fmt in (kata.E4M3, kata.E5M2, kata.E2M1, kata.Format(2, 3, 1, 7.5))
    ]


@probe("round_stochastically")
def _(kata, rng):
    x = (some_numbers(rng, *sizes(rng, 2)) + 1 / 4096).clamp(-6, 6)
    steps = (torch.arange(64) + 0.5) / 64
    u = steps.view(64, 1, 1).expand(64, *x.shape)
    return [
        kata.round_stochastically(x.expand(64, *x.shape), fmt, u).sum(0)
        for fmt in (kata.E4M3, kata.E2M1)
    ]


def mx(kata, x, block, clip):
    found = kata.quantise_mx(x, kata.E2M1, block, clip)
    return [found.codes, found.scales, found.values()]


@probe("quantise_mx")
def _(kata, rng):
    rows, blocks = sizes(rng, 2)
    x = some_numbers(rng, rows, 8 * blocks) + 1 / 4096
    return [mx(kata, x, 8, clip) for clip in (False, True)]


def nvfp4(kata, x):
    found = kata.quantise_nvfp4(x)
    return [found.scales, float(found.whole), found.values()]


@probe("quantise_nvfp4")
def _(kata, rng):
    rows, blocks = sizes(rng, 2)
    return nvfp4(kata, some_numbers(rng, rows, 16 * blocks))


def product(kata, codes, scales, others, their_scales, counts):
    a = kata.Blocks(codes, scales, kata.E2M1, kata.E8M0)
    b = kata.Blocks(others, their_scales, kata.E2M1, kata.E4M3, 0.25)
    return kata.scaled_matmul(a, b, counts)


@probe("scaled_matmul")
def _(kata, rng):
    first, last, outputs, blocks = sizes(rng, 4)
    counts = [first, 0, last]
    shapes = (
        (first + last, 8 * blocks),
        (first + last, blocks),
        (3, outputs, 8 * blocks),
        (3, outputs, blocks),
    )
    ranges = ((0, 16), (122, 132), (0, 16), (0x28, 0x50))
    drawn = [
        torch.randint(*bounds, shape, generator=rng, dtype=torch.uint8)
        for bounds, shape in zip(ranges, shapes, strict=True)
    ]
    return product(kata, *drawn, counts)


@probe("hadamard")
def _(kata, rng):
    return [
        kata.hadamard(torch.randn(*sizes(rng, 1), n, generator=rng)) for n in (4, 32)
    ]


def layer(kata, x, w, grad):
    """The layer with the rounding of `rows_rounded`, and factors by role."""
    import torch

    def rounding(t, role):
        step = t.abs().amax(-1, keepdim=True) / 3
        return (t / step).round() * step * {"x": 2.0, "w": 3.0, "grad": 5.0}[role]

    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = kata.LowPrecisionLinear.apply(x, w, rounding)
    return [y.detach(), *torch.autograd.grad(y, [x, w], grad)]


@probe("LowPrecisionLinear")
def _(kata, rng):
    n, inputs, outputs = sizes(rng, 3, 3, 8)
    shapes = ((n, inputs), (outputs, inputs), (n, outputs))
    return layer(
        kata,
        *(torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes),
    )
