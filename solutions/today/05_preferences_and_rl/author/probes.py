"""Questions that the specs of today/05 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


def sizes(rng, count, low=3, high=7):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def logp_like(rng, *shape):
    return -2 * torch.rand(*shape, generator=rng) - 0.1


@probe("token_logp")
def _(kata, rng):
    rows, length, words = sizes(rng, 3)
    logits = torch.randn(rows, length, words, generator=rng)
    return kata.token_logp(logits, torch.randint(words, (rows, length), generator=rng))


@probe("sequence_logp")
def _(kata, rng):
    rows, length, words = sizes(rng, 3)
    logits = torch.randn(rows, length, words, generator=rng)
    mask = torch.rand(rows, length, generator=rng) < 0.6
    return kata.sequence_logp(
        logits, torch.randint(words, (rows, length), generator=rng), mask
    )


@probe("bradley_terry")
def _(kata, rng):
    pairs = sizes(rng, 1)[0]
    return kata.bradley_terry(
        torch.randn(pairs, generator=rng), torch.randn(pairs, generator=rng)
    )


@probe("dpo_loss")
def _(kata, rng):
    pairs = sizes(rng, 1)[0]
    values = [logp_like(rng, pairs) for _ in range(4)]
    return list(kata.dpo_loss(*values, float(torch.rand((), generator=rng)) + 0.1))


@probe("group_advantages")
def _(kata, rng):
    table = torch.rand(*sizes(rng, 2), generator=rng)
    return [kata.group_advantages(table), kata.group_advantages(table, scale=False)]


@probe("clipped_objective")
def _(kata, rng):
    rows, length = sizes(rng, 2)
    logp, old = logp_like(rng, rows, length), logp_like(rng, rows, length)
    one, each = (
        torch.randn(rows, generator=rng),
        torch.randn(rows, length, generator=rng),
    )
    return [
        kata.clipped_objective(logp, old, one, 0.1, 0.3),
        kata.clipped_objective(logp, old, each),
    ]


@probe("kl_k3")
def _(kata, rng):
    shape = sizes(rng, 2)
    return kata.kl_k3(logp_like(rng, *shape), logp_like(rng, *shape))


class Policy(torch.nn.Module):
    """Logits from the last token alone."""

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(table)

    def forward(self, tokens):
        return self.table[tokens], None


@probe("grpo_step")
def _(kata, rng):
    groups, answers, length, words = sizes(rng, 4)
    table = torch.randn(words, words, generator=rng)
    tokens = torch.randint(words, (groups * answers, length), generator=rng)
    mask = torch.rand(groups * answers, length, generator=rng) < 0.7
    mask[:, 1] = True
    old, ref = (logp_like(rng, groups * answers, length - 1) for _ in range(2))
    rewards = torch.rand(groups, answers, generator=rng)
    found = []
    for loss in ("grpo", "dapo", "dr_grpo"):
        model = Policy(table.clone())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        stats = kata.grpo_step(
            model, optimizer, tokens, mask, old, ref, rewards, 0.2, loss=loss
        )
        found += [sorted(stats.items()), model.table.detach()]
    return found
