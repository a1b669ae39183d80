"""Questions that the specs of 33 ask only about texts and numbers that are known."""

from types import SimpleNamespace
from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn

from grader.lock.probes import probe


def some_text(rng, length):
    return "".join("abcDé1 _\n"[i] for i in torch.randint(9, (length,), generator=rng))


@probe("prepare")
def _(kata, rng):
    data = kata.prepare(
        [f"a{some_text(rng, 80)}b" for _ in range(7)], 300, every=3, bpe_chars=250
    )
    merges = [(left.hex(), right.hex()) for left, right in data.tokenizer.merges]
    return [
        merges,
        data.train,
        data.val,
        data.val_bytes,
        data.eot,
        data.tokenizer.special_tokens,
    ]


def trained(kata, rng):
    """A model with known weights, and a training stream of one token, whose windows are
    all the same.
    """

    class Model(kata.GPT):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            for _, parameter in sorted(self.double().named_parameters()):
                parameter.data.copy_(0.3 * torch.randn(parameter.shape, generator=rng))

    token, val = (
        int(torch.randint(256, (), generator=rng)),
        torch.randint(257, (13,), generator=rng),
    )
    tokenizer = kata.BPETokenizer([], special_tokens={"<|endoftext|>": 256})
    data = kata.CapstoneData(tokenizer, torch.full((20,), token), val, 12, 256)
    config = kata.CapstoneConfig(1, 2, 8, 4, 0.0, 3, 6, 0.03, 0.003, 2, 0.5, 4)
    with mock.patch.object(kata, "GPT", Model):
        model, history = kata.train_capstone(data, config)
    return [
        history["step"],
        torch.tensor(history["loss"]),
        torch.tensor(history["val"]),
        model.training,
    ]


@probe("train_capstone")
def _(kata, rng):
    return trained(kata, rng)


@probe("bits_per_byte")
def _(kata, rng):
    tokens, bytes_ = torch.randint(1, 9999, (2,), generator=rng).tolist()
    return kata.bits_per_byte(float(torch.rand((), generator=rng)), tokens, bytes_)


@probe("lexicon")
def _(kata, rng):
    return sorted(kata.lexicon([some_text(rng, 60) for _ in range(3)]))


@probe("known_word_rate")
def _(kata, rng):
    text = some_text(rng, 200)
    words = {a + b + c for a in "abcd" for b in "abcd" for c in "abcd"}
    return [
        kata.known_word_rate(text, words),
        kata.known_word_rate(text.replace("_", "ab"), words),
    ]


@probe("reproduction_plan")
def _(kata, rng):
    params, tokens, peak, devices, price = torch.randint(
        1, 9999, (5,), generator=rng
    ).tolist()
    mfu = 0.1 + 0.8 * float(torch.rand((), generator=rng))
    return kata.reproduction_plan(
        1e5 * params, 1e6 * tokens + 7, 4096, 1e11 * peak, mfu, devices, price / 100
    )


class Bigrams(nn.Module):
    """Returns logits and loss as GPT does, and is computed here."""

    def __init__(self, rng):
        super().__init__()
        self.config = SimpleNamespace(block_size=4)
        self.table = nn.Embedding.from_pretrained(
            torch.randn(9, 9, generator=rng).double()
        )
        self.drop = nn.Dropout(0.5)

    def forward(self, idx, targets=None):
        logits = self.drop(self.table(idx))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


@probe("evaluate_stream")
def _(kata, rng):
    return kata.evaluate_stream(
        Bigrams(rng), torch.randint(9, (31,), generator=rng), batch_size=3
    )
