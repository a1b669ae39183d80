"""Questions that the specs of kernels/06 ask only about known inputs, or that count
what a kernel moves beside it.
"""

import torch

from grader.lock.probes import judge, probe


def counted(kata, name, arguments, options, once):
    """What came of a call, how often each number of some arguments was loaded, and how
    many programs ran.
    """
    from grader import kernels

    with kernels.watched() as seen:
        out = getattr(kata, name)(*arguments, **options)
    return [out, [seen.loads(arguments[place]) for place in once], seen.programs]


def requests(rng):
    """Rows of 1 to 13 tokens, in blocks of 4 in any order, whose other places hold a
    large number.
    """
    lengths = torch.randint(1, 14, (2,), generator=rng)
    counts = (-(-lengths // 4)).tolist()
    order = torch.randperm(sum(counts) + 1, generator=rng)
    table = torch.full((2, 4), -1)
    pools = torch.full((2, len(order), 4, 2, 16), 1e4)
    for row, (blocks, length) in enumerate(
        zip(order[:-1].split(counts), lengths.tolist())
    ):
        table[row, : len(blocks)] = blocks
        for token in range(length):
            pools[:, blocks[token // 4], token % 4] = torch.randn(
                2, 2, 16, generator=rng
            )
    return (
        torch.randn(2, 6, 16, generator=rng),
        pools[0].clone(),
        pools[1].clone(),
        table,
        lengths,
    )


def weights(rng, most):
    """5 rows of x, and 19 rows of 64 integers."""
    return torch.randn(5, 64, generator=rng), torch.randint(
        -most, most + 1, (19, 64), generator=rng
    ).to(torch.int8)


def rounded(found):
    return [found[0].double().float(), *found[1:]]


@probe("paged_attention")
def _(kata, rng):
    return rounded(counted(kata, "paged_attention", requests(rng), {}, [0, 1, 2, 3]))


@probe("paged_attention_split")
def _(kata, rng):
    return rounded(
        counted(kata, "paged_attention_split", requests(rng), {"splits": 3}, [1, 2])
    )


@probe("quantise_rows")
def _(kata, rng):
    w = torch.randn(4, 50, generator=rng)
    (codes, scale), loads, programs = counted(kata, "quantise_rows", (w,), {}, [0])
    return [w, codes, scale, loads, programs]


@judge("quantise_rows")
def _(values, expected):
    """A number in the middle between two codes may have either."""
    w, (_, codes, scale, loads, programs) = expected[0].double(), values
    scale = scale.double()
    off = (codes.double() * scale[:, None] - w).abs() / scale[:, None]
    return [off < 0.501, scale, loads, programs]


@probe("matmul_int8")
def _(kata, rng):
    x, w = weights(rng, 127)
    # results near 1: the order of sums counts for less than is forgiven near zero
    x = x / 100
    return rounded(
        counted(kata, "matmul_int8", (x, w, torch.rand(19, generator=rng)), {}, [1])
    )[:2]


@probe("matmul_int4")
def _(kata, rng):
    x, w = weights(rng, 7)
    nibbles = w.view(torch.uint8) & 15
    packed = nibbles[:, ::2] | nibbles[:, 1::2] << 4
    return rounded(
        counted(
            kata,
            "matmul_int4",
            (x, packed, torch.rand(19, 2, generator=rng), 32),
            {},
            [1],
        )
    )[:2]


@probe("matmul_w8a8")
def _(kata, rng):
    x, w = weights(rng, 127)
    x = (x * 30).round().clamp(-126, 126)
    x[:, 0] = 127
    return rounded(
        counted(kata, "matmul_w8a8", (x, w, torch.rand(19, generator=rng)), {}, [1])
    )[:2]
