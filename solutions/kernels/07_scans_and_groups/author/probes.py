"""Questions that the specs of kernels/07 ask only about known inputs, or that count
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


def rounded(found):
    return [found[0].double().float(), *found[1:]]


def drawn(rng, low, high):
    return int(torch.randint(low, high, (), generator=rng))


def offsets_of(rng):
    """Where four groups begin and end, of which the third may be empty."""
    lengths = [
        drawn(rng, 1, 30),
        drawn(rng, 17, 40),
        drawn(rng, 0, 2),
        drawn(rng, 3, 20),
    ]
    return torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)


@probe("prefix_sum")
def _(kata, rng):
    x = torch.rand(drawn(rng, 150, 300), generator=rng)
    out, (loads,), _ = rounded(counted(kata, "prefix_sum", (x,), {"block": 32}, [0]))
    return [out, int(loads.max())]


@judge("prefix_sum")
def _(values, expected):
    out, most = values
    return [out, most <= 2]


@probe("linear_recurrence")
def _(kata, rng):
    T, N = drawn(rng, 20, 40), drawn(rng, 17, 30)
    a, b = torch.rand(T, N, generator=rng), torch.rand(T, N, generator=rng)
    return rounded(counted(kata, "linear_recurrence", (a, b), {}, [0, 1]))


@probe("segmented_sum")
def _(kata, rng):
    offsets = offsets_of(rng)
    x = torch.rand(int(offsets[-1]), 40, generator=rng)
    return rounded(counted(kata, "segmented_sum", (x, offsets), {}, [0]))


@probe("linear_attention")
def _(kata, rng):
    T = drawn(rng, 20, 50)
    q, k = torch.rand(2, 1, 2, T, 16, generator=rng)
    v, log_decay = (
        torch.rand(1, 2, T, 32, generator=rng),
        -torch.rand(1, 2, T, generator=rng),
    )
    return rounded(
        counted(kata, "linear_attention", (q, k, v, log_decay), {}, [0, 1, 2, 3])
    )


@probe("places_by_expert")
def _(kata, rng):
    experts = torch.randint(5, (drawn(rng, 50, 150),), generator=rng, dtype=torch.int32)
    (places, counts), (loads,), _ = counted(
        kata, "places_by_expert", (experts, 6), {}, [0]
    )
    return [places.long(), counts.long(), int(loads.max())]


@judge("places_by_expert")
def _(values, expected):
    *found, most = values
    return [*found, most <= 2]


@probe("grouped_matmul")
def _(kata, rng):
    offsets = offsets_of(rng)
    x, w = (
        torch.rand(int(offsets[-1]), 24, generator=rng),
        torch.rand(4, 20, 24, generator=rng),
    )
    return rounded(
        counted(kata, "grouped_matmul", (x, w, offsets), {"programs": 3}, [0, 1])
    )


@probe("matmul_mxfp4")
def _(kata, rng):
    x, w = (
        torch.randint(256, (rows, 32), generator=rng, dtype=torch.uint8)
        for rows in (13, 11)
    )
    x_scale, w_scale = (
        torch.randint(125, 129, (rows, 2), generator=rng, dtype=torch.uint8)
        for rows in (13, 11)
    )
    found, loads, _ = rounded(
        counted(kata, "matmul_mxfp4", (x, x_scale, w, w_scale), {}, [0, 1, 2, 3])
    )
    return [found, loads]


@probe("candidates")
def _(kata, rng):
    sides = [16 << drawn(rng, 0, 4) for _ in range(36)]
    configs = [
        kata.Config(*sides[i : i + 3], drawn(rng, 1, 6), 2 << drawn(rng, 0, 2))
        for i in range(0, 36, 3)
    ]
    M, N, K = (drawn(rng, 30, 200) for _ in range(3))
    found = kata.candidates(configs, M, N, K, 4, shared=60_000, registers=64)
    cost = [M * K * -(-N // c.bn) + N * K * -(-M // c.bm) for c in found]
    return [cost, sorted([c.bm, c.bn, c.bk, c.stages, c.warps] for c in found)]


def tuned(kata, given, costs):
    """What a tuner chooses, what runs, and what becomes of an output, in three calls
    with two keys.
    """
    ran, out = [], given.clone()

    def run(config, out):
        ran.append(config.bm)
        out += config.bm

    def measure(call):
        call()
        return costs[ran[-1]]

    tune = kata.Tuner(run, [kata.Config(bm, 16, 16) for bm in costs], measure)
    found = [tune(key, [out], out).bm for key in ((3, 4), (3, 4), (3, 5))]
    return [found, sorted(ran), out]


@probe("Tuner")
def _(kata, rng):
    costs = {
        16 << place: float(cost)
        for place, cost in enumerate(torch.randperm(4, generator=rng))
    }
    return tuned(kata, torch.randn(5, generator=rng), costs)
