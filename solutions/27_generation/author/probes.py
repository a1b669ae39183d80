"""Questions that the specs of 27 ask only about inputs that are known."""

from unittest import mock

import torch

from grader.lock.probes import probe


@probe("pick_device")
def _(kata, rng):
    found = [str(kata.pick_device(f"cuda:{int(torch.randint(99, (), generator=rng))}"))]
    for cuda, mps in (torch.rand(4, 2, generator=rng) < 0.5).tolist():
        with mock.patch("torch.cuda.is_available", lambda: cuda):
            with mock.patch("torch.backends.mps.is_available", lambda: mps):
                found.append(str(kata.pick_device()))
    return found


@probe("sample_next")
def _(kata, rng):
    """The tokens that come up at all in many draws, of probabilities far from where a filter cuts."""
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05])[torch.randperm(4, generator=rng)].log().repeat(2000, 1)
    options = [
        {"top_k": 2},
        {"top_p": 0.7},
        {"temperature": 0.25, "top_p": 0.7},
        {"temperature": 4.0, "top_p": 0.7},
        {"top_k": 2, "top_p": 0.6},
        {"top_k": 3, "temperature": 2.0},
    ]
    best = kata.sample_next(torch.randn(30, 7, generator=rng), temperature=0.0)
    return [best, *(kata.sample_next(logits, generator=rng, **each).unique() for each in options)]
