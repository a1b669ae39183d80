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
