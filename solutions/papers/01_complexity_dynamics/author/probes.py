"""Questions about inputs drawn anew in papers/01."""

import torch
import torch.nn.functional as F

from grader.lock.probes import fill, judge, probe


@probe("mixing_curves")
def _(kata, rng):
    """Rows of more and more ones: their blocks have all densities."""
    found = []
    for block in (4, 8, 5):
        count = int(torch.randint(6, 12, (), generator=rng))
        rows = (
            torch.rand(7, count * block, generator=rng)
            < torch.linspace(0.1, 0.9, 7)[:, None]
        ).long()
        found.append(kata.mixing_curves(rows, block))
    return found


def rules(rng, count=4):
    return torch.randint(256, (count,), generator=rng).tolist()


@probe("rule_table")
def _(kata, rng):
    return [kata.rule_table(rule) for rule in rules(rng)]


@probe("evolve")
def _(kata, rng):
    state = torch.randint(2, (2, 3, 11), generator=rng)
    return [
        kata.evolve(x, rule, 4) for rule in rules(rng) for x in (state, state[0, 0])
    ]


@probe("block_entropy_numpy")
def _(kata, rng):
    rows = (torch.rand(4, 11, generator=rng) < 0.3).long().numpy()
    return [kata.block_entropy_numpy(row, block) for row in rows for block in (1, 2, 3)]


@probe("block_entropy")
def _(kata, rng):
    rows = (torch.rand(2, 4, 11, generator=rng) < 0.3).long()
    return [kata.block_entropy(rows, block) for block in (1, 2, 3)]


@probe("LearnedRule")
def _(kata, rng):
    model = kata.LearnedRule(3 + rules(rng)[0] % 4)
    fill(model, rng)
    shapes = sorted((name, tuple(p.shape)) for name, p in model.named_parameters())
    return [shapes, model(torch.randint(2, (4, 9), generator=rng)).detach()]


@probe("train_rule")
def _(kata, rng):
    """A model that knows the rule; all rows of one cell are alike, so that draws decide
    little: what is asked is what the losses of many rows come to.
    """
    [rule] = rules(rng, 1)
    model = kata.LearnedRule(4)
    fill(model, rng)
    state = torch.randint(2, (4000, 8), generator=rng)
    target = kata.evolve(state, rule, 1)[:, 1].float()
    mean = F.binary_cross_entropy_with_logits(model(state), target).item()
    losses = kata.train_rule(model, rule, steps=200, width=8, batch=64, lr=1e-6)
    return [mean, losses]


@judge("train_rule")
def _(values, expected):
    mean, losses = expected[0], torch.tensor(values[1])
    return [
        len(losses),
        abs(losses.mean() / mean - 1) < 0.1,
        len(losses.unique()) > 190,
    ]
