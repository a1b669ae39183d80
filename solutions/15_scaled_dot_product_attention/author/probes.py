"""Questions that the specs of 15 ask only about sizes that are known."""

import math

import torch

from grader.lock.probes import probe


@probe("compare_scaling")
def _(kata, rng):
    """With two keys, the "gradient" 2p(1 − p) of the raw weights p and 1 − p tells all,
    whatever was drawn.
    """
    dims, found = (torch.randperm(20, generator=rng)[:6] + 2).tolist(), []
    for dim, entry in kata.compare_scaling(dims, 1, 2, rng).items():
        p = (1 - math.sqrt(max(0.0, 1 - 2 * entry["gradient_raw"]))) / 2
        scaled = 1 / (1 + (1 / max(p, 1e-12) - 1) ** dim**-0.5)
        entropy = -torch.tensor([p, 1 - p]).xlogy(torch.tensor([p, 1 - p])).sum().item()
        off = [
            entry["entropy_raw"] - entropy,
            entry["gradient_scaled"] - 2 * scaled * (1 - scaled),
        ]
        found.append(
            [
                dim,
                entry["std_raw"] / entry["std_scaled"],
                *(dim + difference for difference in off),
            ]
        )
    return torch.tensor(found)


@probe("attention_cost")
def _(kata, rng):
    return [
        kata.attention_cost(*sizes)
        for sizes in torch.randint(2, 99, (3, 3), generator=rng).tolist()
    ]
