"""Questions that the specs of 27 ask only about inputs that are known, or about devices
of the judge's machine.
"""

from types import SimpleNamespace
from unittest import mock

import torch
from torch import nn

from grader.lock.probes import probe


class Follower(nn.Module):
    """Is sure which token follows each token."""

    def __init__(self, following, block_size):
        super().__init__()
        self.config = SimpleNamespace(block_size=block_size)
        self.logits = nn.Parameter(
            20.0 * nn.functional.one_hot(following, len(following))
        )

    def forward(self, idx, cache=None):
        return self.logits[idx], None


def picked(kata, cuda, mps):
    """The device that is chosen where these are there."""
    with mock.patch("torch.cuda.is_available", lambda: cuda):
        with mock.patch("torch.backends.mps.is_available", lambda: mps):
            return str(kata.pick_device())


@probe("pick_device")
def _(kata, rng):
    wishes = [
        str(kata.pick_device(f"cuda:{i}"))
        for i in torch.randint(99, (3,), generator=rng).tolist()
    ]
    return [
        *wishes,
        *(
            picked(kata, *both)
            for both in (torch.rand(12, 2, generator=rng) < 0.5).tolist()
        ),
    ]


@probe("sample_next")
def _(kata, rng):
    """The tokens that come up at all in many draws, of probabilities far from where a
    filter cuts.
    """
    logits = (
        torch.tensor([0.5, 0.3, 0.15, 0.05])[torch.randperm(4, generator=rng)]
        .log()
        .repeat(2000, 1)
    )
    options = [
        {"top_k": 2},
        {"top_p": 0.7},
        {"temperature": 0.25, "top_p": 0.7},
        {"temperature": 4.0, "top_p": 0.7},
        {"top_k": 2, "top_p": 0.6},
        {"top_k": 3, "temperature": 2.0},
    ]
    best = kata.sample_next(torch.randn(30, 7, generator=rng), temperature=0.0)
    return [
        best,
        *(kata.sample_next(logits, generator=rng, **each).unique() for each in options),
    ]


@probe("sample_texts")
def _(kata, rng):
    """Each letter is followed by a drawn one; the circle through all of them has a stop
    at a drawn place.
    """
    letters, count = (
        "".join("abcdefghijkl"[i] for i in torch.randperm(12, generator=rng)),
        2,
    )
    circle, following = (
        torch.randperm(12, generator=rng),
        torch.zeros(12, dtype=torch.long),
    )
    following[circle] = circle.roll(-1)
    begin, stop, steps = torch.randint(3, 12, (3,), generator=rng).tolist()
    model, prompt = Follower(following, 4), "".join(letters[i] for i in circle[:begin])
    encode, decode = (
        lambda text: [letters.index(letter) for letter in text],
        lambda ids: "".join(letters[i] for i in ids),
    )
    return [
        kata.sample_texts(model, encode, decode, prompt, temperature=0.0),
        kata.sample_texts(model, encode, decode, prompt, count, steps, top_k=1),
        kata.sample_texts(
            model, encode, decode, prompt, count, 20, int(circle[stop]), temperature=0.0
        ),
    ]


@probe("kv_cache_bytes")
def _(kata, rng):
    sizes = torch.randint(1, 99, (4, 5), generator=rng).tolist()
    dtypes = [
        (torch.int8, torch.bfloat16, torch.float32, torch.float64)[i]
        for i in torch.randperm(4, generator=rng)
    ]
    found = [
        kata.kv_cache_bytes(*each, dtype=dtype)
        for each, dtype in zip(sizes, dtypes, strict=True)
    ]
    return [*found, kata.kv_cache_bytes(*sizes[0][:4])]
