"""Questions that the specs of 01 ask about known inputs alone, or cannot ask: about
memory and global state.
"""

import pandas as pd
import torch

from grader.lock.probes import integers, judge, normal, probe


def draws(patterns, rng):
    """Random patterns of two seeds, from generators and from the global one, and what
    the global one gives next.
    """
    rows, columns, seed = integers(rng, 3, 30, 50)
    found = []
    for start in (seed, seed + 1, seed):
        generator = torch.Generator().manual_seed(start)
        found += [patterns(rows, columns, generator=generator) for _ in range(2)]
    after = torch.rand(9)
    for start in (seed, seed + 1, seed):
        torch.manual_seed(start)
        found += [patterns(rows, columns) for _ in range(2)]
    return [found, after]


def spread(x):
    """Are numbers spread evenly from 0 to 1, and does none tell the next?"""
    even = torch.linspace(0, 1, len(x), dtype=torch.float64)
    far = (x.sort().values - even).abs().max()
    return [bool(far < 0.1), bool(abs((x[1:] - 0.5) @ (x[:-1] - 0.5)) < 0.02 * len(x))]


def facts(found):
    """Facts that hold for all right random patterns: which of them are equal, and
    their spread.
    """
    told = []
    for key in ("uniform", "normal"):
        drawn = [each[key].flatten().double() for each in found]
        for part in (drawn[:6], drawn[6:]):
            told.append([[torch.equal(x, y) for y in part] for x in part])
        even = torch.special.ndtr if key == "normal" else torch.clone
        told.append([spread(even(x)) for x in drawn])
    return told


@probe("count_to")
def _(kata, rng):
    return [kata.count_to(n) for n in integers(rng, 2, 5, 40)]


@probe("filled")
def _(kata, rng):
    rows, columns, whole = integers(rng, 3, 5, 40)
    found = [kata.filled(rows, columns, value) for value in (whole, whole / 7)]
    return [found, [x.dtype for x in found]]


@probe("to_float")
def _(kata, rng):
    rows, columns = integers(rng, 2, 5, 40)
    whole = torch.randint(99, (rows, columns), generator=rng)
    found = [kata.to_float(x) for x in (whole, whole.double() / 7)]
    return [found, [x.dtype for x in found]]


@probe("memory_by_dtype")
def _(kata, rng):
    dtypes = [torch.bool, torch.float16, torch.float64]
    return kata.memory_by_dtype(integers(rng, 3, 5, 40), dtypes)


@probe("describe")
def _(kata, rng):
    x = torch.randn(integers(rng, 2, 5, 40), generator=rng)
    views = [x, x.T, x[:, ::2], x[:1, 1:2], x[:, :1].expand(len(x), 7)]
    return [kata.describe(views[i]) for i in torch.randperm(5, generator=rng)]


@probe("counting_patterns")
def _(kata, rng):
    patterns = kata.counting_patterns(*integers(rng, 2, 5, 40))
    return [patterns, patterns["indices"].dtype]


@probe("random_patterns")
def _(kata, rng):
    return draws(kata.random_patterns, rng)


@judge("random_patterns")
def _(values, expected):
    found, after = values
    return [facts(found), after]


@probe("column_to_tensor")
def _(kata, rng):
    ages, quarters = torch.randint(99, (2, 6), generator=rng).numpy()
    labels = torch.randperm(6, generator=rng).tolist()
    df = pd.DataFrame({"age": ages, "weight": quarters / 4}, index=labels)
    found = [kata.column_to_tensor(df, name) for name in df]
    return [found, [x.dtype for x in found]]


@probe("from_array")
def _(kata, rng):
    """The array and the tensors made of it, each written to in another row."""
    array = normal(rng, 4, *integers(rng, 1))
    shared, copied = kata.from_array(array), kata.from_array(array, copy=True)
    array[0], shared[1], copied[2] = integers(rng, 3)
    return [array, shared, copied]


@probe("to_array")
def _(kata, rng):
    x = torch.randn(4, 3, generator=rng)
    array = kata.to_array(x)
    [array[0]] = integers(rng, 1)
    return [x, array]


@probe("to_device")
def _(kata, rng):
    x, [number] = torch.randn(4, *integers(rng, 1), generator=rng), integers(rng, 1)
    batch = [{"images": [x], "files": ("cat.png", number)}, x]
    moved = kata.to_device(batch, "meta")
    images, files = moved[0]["images"], moved[0]["files"]
    shapes = [(y.shape, y.device) for y in (*images, moved[1])]
    return [shapes, files, batch, kata.to_device(batch, "cpu")]


@probe("creation_patterns")
def _(kata, rng):
    drawn = draws(kata.creation_patterns, rng)
    patterns = kata.creation_patterns(*integers(rng, 2, 5, 40), dtype=torch.float64)
    del patterns["uniform"], patterns["normal"]
    return [*drawn, patterns, torch.get_default_dtype()]


@judge("creation_patterns")
def _(values, expected):
    found, *others = values
    return [facts(found), *others]


def sizes(count, rng):
    return torch.randint(5, 40, (count,), generator=rng).tolist()


@probe("tensor_to_dataframe")
def _(kata, rng):
    rows, [first, *_] = sizes(1, rng), sizes(1, rng)
    x, found = torch.randint(99, (*rows, 3), generator=rng), []
    for numbers in (x, x / 4):
        df = kata.tensor_to_dataframe(numbers, [f"z{first}", "y", "a"])
        found.append([list(df.columns), list(df.index), df.to_numpy()])
    return found


@probe("dataframe_to_tensor")
def _(kata, rng):
    x = torch.randint(99, (6, 3), generator=rng)
    df = pd.DataFrame({"z": x[:, 0] / 4, "b": x[:, 1] > 40, "a": x[:, 2]})
    return [kata.dataframe_to_tensor(df, dtype=d) for d in (torch.float32, torch.int64)]
