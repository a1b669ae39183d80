"""Questions that the specs of 33 ask only about texts and numbers that are known."""

from types import SimpleNamespace
from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn

from grader.lock.probes import fill, integers, probe


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


@probe("train_capstone")
def _(kata, rng):
    """A model with known weights, and a training stream of one token, whose windows are
    all the same.
    """

    class Model(kata.GPT):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            for parameter in fill(self.double(), rng).parameters():
                parameter.data *= 0.3

    [token], val = integers(rng, 1, 0, 256), torch.randint(257, (13,), generator=rng)
    tokenizer = kata.BPETokenizer([], special_tokens={"<|endoftext|>": 256})
    data = kata.CapstoneData(tokenizer, torch.full((20,), token), val, 12, 256)
    config = kata.CapstoneConfig(1, 2, 8, 4, 0.0, 3, 6, 0.03, 0.003, 2, 0.5, 4)
    with mock.patch.object(kata, "GPT", Model):
        model, history = kata.train_capstone(data, config)
    model.transformer.drop.p = 0.5  # does nothing in eval mode
    numbers = torch.tensor(history["loss"]), torch.tensor(history["val"])
    return [history["step"], *numbers, model(val[None, :4])[0].detach()]


@probe("bits_per_byte")
def _(kata, rng):
    tokens, bytes_ = integers(rng, 2, 1, 9999)
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
    params, tokens, peak, devices, price = integers(rng, 5, 1, 9999)
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


@probe("split_prose")
def _(kata, rng):
    """Documents of paragraphs of which some occur in several."""
    drawn = torch.randint(12, (14, 3), generator=rng).tolist()
    docs = ["\n\n".join(f"  text {n}" for n in row) for row in drawn]
    return [kata.split_prose(docs, every) for every in (5, 3)]


def a_stream(rng, count):
    return torch.randint(4, (count,), generator=rng)


@probe("context_counts")
def _(kata, rng):
    found = []
    for k in range(3):
        tables = kata.context_counts(a_stream(rng, 40), k)
        found += [sorted(table.items()) for table in tables]
        found += [table[(9,) * 5] for table in tables]
    return found


@probe("ngram_loss")
def _(kata, rng):
    train, val = a_stream(rng, 60), a_stream(rng, 30)
    return [kata.ngram_loss(train, val, n, 6, 1.0 + n) for n in (1, 2, 3)]
