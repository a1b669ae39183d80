"""Questions that the specs of 20 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


@probe("token_log_probs")
def _(kata, rng):
    logits, targets = (
        torch.randn(2, 5, 7, generator=rng),
        torch.randint(7, (2, 5), generator=rng),
    )
    mask = torch.rand(2, 5, generator=rng) < 0.7
    return [
        kata.token_log_probs(logits, targets),
        kata.token_log_probs(logits, targets.where(mask, -100), mask),
    ]


@probe("kl_divergence")
def _(kata, rng):
    return kata.kl_divergence(
        *torch.randn(2, 3, 4, 7, generator=rng).log_softmax(dim=-1)
    )


@probe("approximate_kl")
def _(kata, rng):
    policy, reference = torch.randn(2, 3, 8, generator=rng).log_softmax(dim=-1)
    mask = torch.rand(3, 8, generator=rng) < 0.7
    estimates = [
        (kata.approximate_kl(policy, reference, kind, m))
        for kind in ("k1", "k2", "k3")
        for m in (None, mask)
    ]
    return torch.stack(estimates)


def seen(rng, out, *leaves):
    """The numbers of a result, and the gradients of these leaves."""
    gradients = torch.autograd.grad(out, leaves, torch.randn(out.shape, generator=rng))
    return [out.detach(), gradients]


def reduced(rng, loss, x, *given, kinds=("none", "sum", "mean"), **options):
    """The loss and its gradient, for each reduction."""
    x.requires_grad_()
    return [seen(rng, loss(x, *given, reduction=kind, **options), x) for kind in kinds]


@probe("regression_loss")
def _(kata, rng):
    pred, target = 2 * torch.randn(2, 4, 3, generator=rng)
    kinds = ("mse", {}), ("l1", {}), ("huber", {"delta": 0.7})
    return [
        reduced(rng, kata.regression_loss, pred.clone(), target, kind, **options)
        for kind, options in kinds
    ]


def targets(rng, *shape):
    """Classes from 0 to 4, of which 3 is ignored and occurs."""
    found = torch.randint(5, shape, generator=rng)
    found[0], found[-1] = 3, 1
    return found


@probe("nll_loss")
def _(kata, rng):
    log_probs = torch.randn(9, 5, generator=rng).log_softmax(1)
    weight, ids = torch.rand(5, generator=rng) + 0.5, targets(rng, 9)
    options = {}, {"ignore_index": 3}, {"ignore_index": 3, "weight": weight}
    return [
        reduced(rng, kata.nll_loss, log_probs.clone(), ids, **one) for one in options
    ]


@probe("cross_entropy")
def _(kata, rng):
    ids, found = targets(rng, 9), []
    for scale, smoothing in ((1, 0.0), (1, 0.3), (500, 0.0)):
        logits = scale * torch.randn(9, 5, generator=rng)
        options = {"ignore_index": 3, "label_smoothing": smoothing}
        found.append(reduced(rng, kata.cross_entropy, logits, ids, **options))
    return found


@probe("bce_with_logits")
def _(kata, rng):
    wanted, weight = torch.rand(2, 4, 3, generator=rng)
    found = []
    for scale, options in ((1, {}), (50, {}), (1, {"pos_weight": weight + 1})):
        logits = scale * torch.randn(4, 3, generator=rng)
        found.append(reduced(rng, kata.bce_with_logits, logits, wanted, **options))
    return found


@probe("sequence_cross_entropy")
def _(kata, rng):
    kinds = "none", "sum", "mean", "sequence"
    logits, ids = torch.randn(4, 6, 5, generator=rng), targets(rng, 4, 6)
    loss = kata.sequence_cross_entropy
    return reduced(rng, loss, logits, ids, kinds=kinds, ignore_index=3)
