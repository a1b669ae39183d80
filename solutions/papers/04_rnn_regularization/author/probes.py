"""Questions that the specs of papers/04 cannot ask from another process: they watch the cells at work."""

import torch

from grader.lock.probes import probe

WIDTH = 12


def ratios(model, rng):
    """By what dropout multiplied x and h of each cell and the top h (places, T, B, H), and what it left alone."""
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
        model.head.weight.copy_(torch.eye(WIDTH))
        model.head.bias.zero_()
    ids = torch.randint(WIDTH, (6, 5), generator=rng)
    start = [tuple(torch.randn(6, WIDTH, generator=rng) for _ in "hc") for _ in model.cells]
    calls = [[] for _ in model.cells]
    hooks = [
        cell.register_forward_hook(
            lambda cell, arguments, named, result, steps=steps: steps.append((*arguments, *named.values(), result)),
            with_kwargs=True,
        )
        for cell, steps in zip(model.cells, calls)
    ]
    with torch.no_grad():
        tops, end = model.train()(ids, list(start))
        embedded = model.embed(ids).transpose(0, 1)
    for hook in hooks:
        hook.remove()
    x = torch.stack([torch.stack([x for x, _, _ in steps]) for steps in calls])
    h, c = (torch.stack([torch.stack([old[i] for _, old, _ in steps]) for steps in calls]) for i in (0, 1))
    new_h, new_c = (torch.stack([torch.stack([new[i] for _, _, new in steps]) for steps in calls]) for i in (0, 1))
    first_h, first_c = (torch.stack([layer[i] for layer in start])[:, None] for i in (0, 1))
    found = [
        x / torch.cat([embedded[None], new_h[:-1]]),
        h / torch.cat([first_h, new_h[:, :-1]], dim=1),
        tops.transpose(0, 1)[None] / new_h[-1:],
    ]
    plain = [c - torch.cat([first_c, new_c[:, :-1]], dim=1)]
    plain += [torch.stack([layer[i] for layer in end]) - new[:, -1] for i, new in enumerate((new_h, new_c))]
    return [ratio.round() for ratio in found], plain


def told(found):
    """The factors of each kind of place, and along which dimensions they are all the same."""
    return [
        (sorted(set(factor.flatten().tolist())), [bool((factor == factor.narrow(d, 0, 1)).all()) for d in range(4)])
        for factor in found
    ]


@probe("RegularizedLSTM.forward")
def _(kata, rng):
    seen = []
    for where in ("non_recurrent", "recurrent"):
        found, plain = ratios(kata.RegularizedLSTM(WIDTH, WIDTH, 3, p=0.5, where=where), rng)
        seen.append([told(found), plain])
    return seen


@probe("VariationalLSTM")
def _(kata, rng):
    model = kata.VariationalLSTM(WIDTH, WIDTH, 3, p=0.5)
    (first, plain), (second, _) = ratios(model, rng), ratios(model, rng)
    same = [torch.equal(one, other) for one, other in ((first[0], first[1]), *zip(first, second))]
    return [told(first), same, plain]
