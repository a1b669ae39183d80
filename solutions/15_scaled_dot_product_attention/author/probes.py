"""Questions that the specs of 15 ask only about sizes that are known."""

import torch

from grader.lock.probes import integers, judge, probe


@probe("compare_scaling")
def _(kata, rng):
    """Two comparisons from one seed, and one from another."""
    *dims, seed = torch.randperm(30, generator=rng)[:5].add(30).tolist()
    found = []
    for start in (seed, seed, seed + 1):
        generator = torch.Generator().manual_seed(start)
        found.append(kata.compare_scaling(dims, 500, 90, generator))
    return [list(found[0]), *found]


@judge("compare_scaling")
def _(values, expected):
    """Raw scores are as much larger as they should be, and all numbers near those of
    other queries and keys.
    """
    (dims, *_), (_, first, again, other) = expected, values
    told = [values[0], first == again, first == other]
    for dim in dims:
        told.append(first[dim]["std_raw"] / first[dim]["std_scaled"])
        for name, number in expected[1][dim].items():
            told.append(0.6 * number < first[dim][name] < 1.6 * number)
    return told


@probe("attention_cost")
def _(kata, rng):
    return [kata.attention_cost(*integers(rng, 3, 2, 99)) for _ in range(3)]


def seen(rng, out, *leaves):
    """The numbers of a result, and the gradients of these leaves."""
    gradients = torch.autograd.grad(out, leaves, torch.randn(out.shape, generator=rng))
    return [out.detach(), gradients]


@probe("causal_mask")
def _(kata, rng):
    n, more = torch.randint(2, 9, (2,), generator=rng).tolist()
    return [kata.causal_mask(n), kata.causal_mask(n, n + more)]


@probe("padding_mask")
def _(kata, rng):
    lengths = torch.randint(1, 7, (4,), generator=rng)
    return [kata.padding_mask(lengths, n) for n in (7, 9)]


@probe("combine_masks")
def _(kata, rng):
    shapes = (4, 5), (3, 1, 5), (4, 1)
    masks = [torch.rand(shape, generator=rng) < 0.7 for shape in shapes]
    given = masks, [None, masks[0], None, masks[2]], [None, masks[1]]
    return [kata.combine_masks(*some) for some in given]


@probe("scaled_dot_product_attention")
def _(kata, rng):
    found = []
    for leading, scale in (((2, 3), None), ((), 0.3), ((2,), None)):
        shapes = (4, 3), (5, 3), (5, 2)
        given = [torch.randn(*leading, *shape, generator=rng) for shape in shapes]
        for x in given:
            x.requires_grad_()
        mask = torch.rand(4, 5, generator=rng) < 0.6
        mask[:, 0], mask[1] = True, scale is None
        out, weights = kata.scaled_dot_product_attention(*given, mask, scale)
        found += [weights.detach(), *seen(rng, out, *given)]
    return found


@probe("score_statistics")
def _(kata, rng):
    scores, v = torch.randn(4, 5, generator=rng), torch.randn(5, 3, generator=rng)
    return [kata.score_statistics(scale * scores, v) for scale in (1, 200)]


@judge("score_statistics")
def _(values, expected):
    """Deviations may be divided by n or by n - 1."""
    return [
        {key: got[key] / right[key] for key in ("std", "output_std")}
        for got, right in zip(values, expected)
        if max(abs(got[key] / right[key] - 1) for key in ("std", "output_std")) > 0.2
    ] + [[got["entropy"], got["gradient"]] for got in values]
