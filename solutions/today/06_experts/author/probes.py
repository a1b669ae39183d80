"""Questions that the specs of today/06 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


def sizes(rng, count, low=2, high=7):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def some_choices(rng):
    """N, E, k, and k different experts per token."""
    count, n_experts = sizes(rng, 1, 3, 12)[0], sizes(rng, 1)[0]
    k = sizes(rng, 1, 1, n_experts + 1)[0]
    return n_experts, torch.stack(
        [torch.randperm(n_experts, generator=rng)[:k] for _ in range(count)]
    )


@probe("route_topk")
def _(kata, rng):
    found = []
    for renormalise in (True, False):
        logits = torch.randn(*sizes(rng, 2, 4, 9), generator=rng)
        found.append(list(kata.route_topk(logits, sizes(rng, 1, 1, 4)[0], renormalise)))
    return found


@probe("balance_loss")
def _(kata, rng):
    n_experts, experts = some_choices(rng)
    probs = (
        torch.randn(len(experts), n_experts, generator=rng).softmax(-1).requires_grad_()
    )
    loss = kata.balance_loss(probs, experts)
    return [loss.detach(), torch.autograd.grad(loss, probs)[0]]


@probe("dispatch")
def _(kata, rng):
    n_experts, experts = some_choices(rng)
    return list(
        kata.dispatch(
            torch.randn(len(experts), 3, generator=rng), experts, n_experts + 2
        )
    )


@probe("combine")
def _(kata, rng):
    count, k = sizes(rng, 2)
    order = torch.randperm(count * k, generator=rng)
    rows = torch.randn(count * k, 3, generator=rng)
    return kata.combine(rows, order, torch.rand(count, k, generator=rng))


@probe("drop_over_capacity")
def _(kata, rng):
    found = []
    for factor in (0.5, 1.0):
        n_experts, experts = some_choices(rng)
        found.append(kata.drop_over_capacity(experts, 2 ** (n_experts - 1), factor))
    return found


def a_layer(kata, rng, k, capacity_factor=None):
    """A layer of drawn sizes whose weights are all drawn, and an input for it."""
    features, hidden = sizes(rng, 2)
    moe = kata.MoE(features, hidden, 4, k, capacity_factor)
    with torch.no_grad():
        for parameter in moe.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return moe, torch.randn(2, 5, features, generator=rng)


@probe("MoE.__init__")
def _(kata, rng):
    features, hidden, n_experts = sizes(rng, 3)
    moe = kata.MoE(features, hidden, n_experts, 1)
    return sorted(
        (name, tuple(value.shape)) for name, value in moe.state_dict().items()
    )


@probe("MoE.forward")
def _(kata, rng):
    found = []
    for k, factor in ((1, None), (2, None), (2, 0.5)):
        moe, x = a_layer(kata, rng, k, factor)
        found.append(list(moe(x)))
    return found
