"""Questions that the specs of 01 ask about known inputs alone, or cannot ask: about
memory and global state.
"""

import pandas as pd
import torch

from grader.lock.probes import probe, there


def sizes(count, rng):
    return torch.randint(5, 40, (count,), generator=rng).tolist()


def global_numbers(kata):
    """The state of the generator from which the code draws if it is given none."""
    import torch

    return torch.get_rng_state()


def random_facts(kata, patterns, rng):
    """Facts that hold for all right random patterns: their source and their spread."""
    seeds = torch.randperm(9999, generator=rng)[:2].tolist()
    before = there(kata, global_numbers)
    generator = torch.Generator().manual_seed(seeds[0])
    first, second = patterns(generator=generator), patterns(generator=generator)
    again, other = (
        patterns(generator=torch.Generator().manual_seed(seed)) for seed in seeds
    )
    facts = {"left alone": torch.equal(there(kata, global_numbers), before)}
    for key, mean, std in (("uniform", 0.5, 12**-0.5), ("normal", 0.0, 1.0)):
        x = first[key]
        equal = [torch.equal(x, draw[key]) for draw in (second, again, other)]
        near = [abs(x.mean().item() - mean) < 0.1, abs(x.std().item() - std) < 0.1]
        facts[key] = [x.shape, equal, near]
    return facts


@probe("count_to")
def _(kata, rng):
    return [kata.count_to(n) for n in sizes(2, rng)]


@probe("filled")
def _(kata, rng):
    return kata.filled(*sizes(2, rng), torch.randn((), generator=rng).item())


@probe("to_float")
def _(kata, rng):
    return kata.to_float(torch.randint(99, sizes(2, rng), generator=rng))


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
    return there(kata, described, torch.randn(*sizes(2, rng), generator=rng))


@probe("counting_patterns")
def _(kata, rng):
    return kata.counting_patterns(*sizes(2, rng))


@probe("random_patterns")
def _(kata, rng):
    rows, columns = sizes(2, rng)
    seed, drawn = rows * columns, []
    for start in (seed, seed + 1, seed):
        torch.manual_seed(start)
        drawn.append([kata.random_patterns(2, 3)["uniform"] for _ in range(2)])
    (first, second), _, (again, _) = drawn
    facts = random_facts(
        kata,
        lambda **options: kata.random_patterns(60 + rows, 80 + columns, **options),
        rng,
    )
    return [facts, torch.equal(first, second), torch.equal(first, again)]


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
    return there(
        kata,
        written_to,
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
        batch[0] is inner,
    ]


@probe("creation_patterns")
def _(kata, rng):
    rows, columns = sizes(2, rng)
    facts = random_facts(
        kata,
        lambda **options: kata.creation_patterns(60 + rows, 80 + columns, **options),
        rng,
    )
    patterns = kata.creation_patterns(rows, columns, dtype=torch.float64)
    counted = {
        key: x for key, x in patterns.items() if key not in ("uniform", "normal")
    }
    return [facts, counted, torch.get_default_dtype()]
