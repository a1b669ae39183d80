"""Questions that the specs of 01 ask about known inputs alone, or cannot ask: about
memory and global state.
"""

import pandas as pd
import torch

from grader.lock.probes import judge, probe

# the mean and the standard deviation of the patterns that are drawn
SPREAD = {"uniform": (0.5, 12**-0.5), "normal": (0.0, 1.0)}


def sizes(count, rng):
    return torch.randint(5, 40, (count,), generator=rng).tolist()


def patterns_drawn(patterns, rng):
    """What generators of two seeds give, the first one twice and anew, and what the
    global generator draws afterwards.
    """
    seeds = torch.randperm(9999, generator=rng)[:2].tolist()
    generator, *others = (torch.Generator().manual_seed(seeds[i]) for i in (0, 0, 1))
    drawn = [patterns(generator=one) for one in (generator, generator, *others)]
    return [[{key: one[key] for key in SPREAD} for one in drawn], torch.rand(3)]


def spread(drawn):
    """Whether draws of the patterns are as they should be, and equal for one seed."""
    facts = []
    for key, (mean, std) in SPREAD.items():
        first, second, again, other = (one[key] for one in drawn)
        near = [abs(first.mean() - mean) < 0.1, abs(first.std() - std) < 0.1]
        others = [(first - x).abs().max() > 0.1 for x in (second, other)]
        facts.append([near, others, first - again])
    return facts


@probe("count_to")
def _(kata, rng):
    return [kata.count_to(n) for n in sizes(2, rng)]


@probe("filled")
def _(kata, rng):
    return kata.filled(*sizes(2, rng), torch.randn((), generator=rng).item())


@probe("to_float")
def _(kata, rng):
    x = torch.randint(99, sizes(2, rng), generator=rng)
    found = [kata.to_float(one) for one in (x, x.double())]
    return [found, [one.dtype for one in found]]


@probe("memory_by_dtype")
def _(kata, rng):
    return kata.memory_by_dtype(
        sizes(3, rng), [torch.bool, torch.float16, torch.float64]
    )


def described(kata, x):
    rows, columns = x.shape
    return [
        kata.describe(view)
        for view in (x, x.T, x[:, ::2], x[:1, 1:2], x[:, :1].expand(rows, 7))
    ]


@probe("describe")
def _(kata, rng):
    return described(kata, torch.randn(*sizes(2, rng), generator=rng))


@probe("counting_patterns")
def _(kata, rng):
    return kata.counting_patterns(*sizes(2, rng))


@probe("random_patterns")
def _(kata, rng):
    rows, columns = sizes(2, rng)
    found = patterns_drawn(
        lambda **options: kata.random_patterns(60 + rows, 80 + columns, **options), rng
    )
    drawn = []
    for start in (rows, rows + 1, rows):
        torch.manual_seed(start)
        drawn.append([kata.random_patterns(2, 3)["uniform"] for _ in range(2)])
    return [*found, drawn]


@judge("random_patterns")
def _(values, expected):
    drawn, left_alone, [[first, second], [other, _], again] = values
    return [
        spread(drawn),
        left_alone,
        torch.stack([first, second]) - torch.stack(again),
        [(first - x).abs().max() > 0.01 for x in (second, other)],
    ]


@probe("column_to_tensor")
def _(kata, rng):
    ages, quarters = torch.randint(99, (2, 6), generator=rng).numpy()
    df = pd.DataFrame(
        {"age": ages, "weight": quarters / 4},
        index=torch.randperm(6, generator=rng).tolist(),
    )
    return [kata.column_to_tensor(df, name) for name in df]


def written_to(kata, array):
    """The array and the tensors made of it, each written to in another row."""
    array = array.copy()
    shared, copied = kata.from_array(array), kata.from_array(array, copy=True)
    array[0], shared[1], copied[2] = 7, 8, 9
    return [array, shared, copied]


@probe("from_array")
def _(kata, rng):
    return written_to(
        kata,
        torch.randn(4, sizes(1, rng)[0], generator=rng, dtype=torch.float64).numpy(),
    )


@probe("to_array")
def _(kata, rng):
    x = torch.randn(4, 3, generator=rng)
    array = kata.to_array(x)
    array[0] = 7
    return [x, array]


@probe("to_device")
def _(kata, rng):
    x, [number] = torch.randn(*sizes(2, rng), generator=rng), sizes(1, rng)
    inner = {"images": [x], "files": ("cat.png", number)}
    batch = [inner, x]
    moved = kata.to_device(batch, "meta")
    image = moved[0]["images"][0]
    return [
        image.device,
        image.shape,
        moved[1].shape,
        moved[0]["files"],
        batch,
    ]


@probe("creation_patterns")
def _(kata, rng):
    rows, columns = sizes(2, rng)
    found = patterns_drawn(
        lambda **options: kata.creation_patterns(60 + rows, 80 + columns, **options),
        rng,
    )
    patterns = kata.creation_patterns(rows, columns, dtype=torch.float64)
    counted = {key: x for key, x in patterns.items() if key not in SPREAD}
    return [*found, counted, torch.zeros(1).dtype]


@judge("creation_patterns")
def _(values, expected):
    drawn, *others = values
    return [spread(drawn), *others]
