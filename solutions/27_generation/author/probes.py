"""Questions that the specs of 27 ask only about inputs that are known, or about devices
of the judge's machine.
"""

from types import SimpleNamespace
from unittest import mock

import torch
from torch import nn

from grader.lock.probes import integers, judge, probe


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


@probe("pick_device")
def _(kata, rng):
    """Drawn wishes, and the choice where drawn devices are there."""
    found = [str(kata.pick_device(f"cuda:{i}")) for i in integers(rng, 3, 0, 99)]
    for cuda, mps in (torch.rand(12, 2, generator=rng) < 0.5).tolist():
        with mock.patch("torch.cuda.is_available", lambda: cuda):
            with mock.patch("torch.backends.mps.is_available", lambda: mps):
                found.append(str(kata.pick_device()))
    return found


@probe("sample_next")
def _(kata, rng):
    """The likeliest of drawn tokens, and many draws, of probabilities far from where a
    filter cuts; two of three generators are seeded alike.
    """
    shares = torch.tensor([0.5, 0.3, 0.15, 0.05])[torch.randperm(4, generator=rng)]
    logits, [seed] = shares.log().repeat(500, 1), integers(rng, 1)
    options = [
        {"top_k": 2},
        {"top_p": 0.7},
        {"temperature": 0.25, "top_p": 0.7},
        {"temperature": 4.0, "top_p": 0.7},
        {"top_k": 2, "top_p": 0.6},
        {"top_k": 3, "temperature": 2.0},
    ]
    best, found = torch.randn(30, 7, generator=rng), []
    for start in (seed, seed, seed + 1):
        own = torch.Generator().manual_seed(start)
        found.append([kata.sample_next(logits, **o, generator=own) for o in options])
    return [kata.sample_next(best, temperature=0.0), *found]


@judge("sample_next")
def _(values, expected):
    """Which tokens come up at all, how often about, and which draws are equal."""
    told, alike = [values[0]], values[1]
    for found, wanted in zip(values[1:], expected[1:], strict=True):
        for tokens, others, first in zip(found, wanted, alike, strict=True):
            told.append([tokens.unique(), torch.equal(tokens, first)])
            shares, right = (x.flatten().bincount() / 500 for x in (tokens, others))
            told.append(bool(((shares - right).abs() < 0.2).all()))
    return told


@probe("sample_texts")
def _(kata, rng):
    """Each letter is followed by a drawn one; the circle through all of them has a stop
    at a drawn place.
    """
    letters = "".join("abcdefghijkl"[i] for i in torch.randperm(12, generator=rng))
    circle = torch.randperm(12, generator=rng)
    following = torch.zeros(12, dtype=torch.long)
    following[circle] = circle.roll(-1)
    begin, stop, steps = integers(rng, 3, 3, 12)
    prompt = "".join(letters[i] for i in circle[:begin])

    def encode(text):
        return [letters.index(letter) for letter in text]

    def decode(ids):
        return "".join(letters[i] for i in ids)

    start = Follower(following, 4), encode, decode, prompt
    end, greedy = int(circle[stop]), {"temperature": 0.0}
    return [
        kata.sample_texts(*start, **greedy),
        kata.sample_texts(*start, 2, steps, top_k=1),
        kata.sample_texts(*start, 2, 20, end, **greedy),
    ]


@probe("kv_cache_bytes")
def _(kata, rng):
    dtypes = (torch.int8, torch.bfloat16, torch.float32, torch.float64)
    order = torch.randperm(4, generator=rng).tolist()
    found = [
        kata.kv_cache_bytes(*integers(rng, 5, 1, 99), dtype=dtypes[i]) for i in order
    ]
    return [*found, kata.kv_cache_bytes(*integers(rng, 4, 1, 99))]


@probe("top_k_filter")
def _(kata, rng):
    logits = torch.randn(2, 3, 9, generator=rng)
    return [kata.top_k_filter(logits, k).softmax(-1) for k in (1, 3, 8)]


@probe("top_p_filter")
def _(kata, rng):
    logits, p = 2 * torch.randn(2, 3, 9, generator=rng), torch.rand(3, generator=rng)
    return [kata.top_p_filter(logits, one).softmax(-1) for one in p.tolist()]


class Counting(nn.Module):
    """A model that is sure of the token which all that it has read adds up to, and
    reads five tokens at most.
    """

    def __init__(self, kata):
        super().__init__()
        self.config = kata.GPTConfig(
            block_size=5, vocab_size=7, n_layer=1, n_head=1, n_embd=2
        )
        self.transformer = nn.ModuleDict({"h": nn.ModuleList([nn.Identity()])})
        self.read = []

    def forward(self, idx, cache=None):
        self.read.append(idx.shape[1])
        old = torch.zeros(len(idx), dtype=torch.long)
        if cache is not None:
            before = cache[0].k
            old = old if before is None else before[:, 0, :, 0].sum(1).long()
            cache[0].append(*2 * [idx[:, None, :, None]])
        sums = (idx.cumsum(1) + old[:, None]) % 7
        bonus = 0.1 * (not self.training)
        return 100.0 * nn.functional.one_hot(sums, 7) + bonus, None


@probe("next_logits")
def _(kata, rng):
    model = Counting(kata)
    ids, cache, found = (
        torch.randint(7, (3, 8), generator=rng),
        kata.new_cache(model),
        [],
    )
    for n in (2, 3, 5, 7, 8):
        found += [
            kata.next_logits(model, ids[:, :n]),
            kata.next_logits(model, ids[:, :n], cache),
        ]
    return [found, model.read]


@probe("apply_stop")
def _(kata, rng):
    found = []
    for stop in (0, 2, None):
        token = torch.randint(3, (9, 1), generator=rng)
        done = torch.rand(9, 1, generator=rng) < 0.4
        found.append(kata.apply_stop(token, done, stop))
    return found


@probe("generate")
def _(kata, rng):
    model, found = Counting(kata), []
    for options in ({}, {"use_cache": True}, {"stop_token": 3}):
        ids = torch.randint(7, (4, 3), generator=rng)
        model.train(options == {})
        found += [kata.generate(model, ids, 7, **options), model.training]
    return [found, model.read]


@probe("max_cached_tokens")
def _(kata, rng):
    budget, *sizes = torch.randint(1, 9, (5,), generator=rng).tolist()
    return [
        kata.max_cached_tokens(10**6 * budget, *sizes, dtype)
        for dtype in (torch.float16, torch.float32)
    ]
