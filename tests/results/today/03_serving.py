"""The worth of a cache and of many rows, what a scheduler saves, and how many tokens a
call gives with four drafts.
"""

import random
import re
import time

import torch
from torch import nn

from grader.datasets import prose

LIMITS = {
    "tokens per second with a cache / without": "> 2",
    "tokens per second of 16 rows / of one": "> 2.5",
    "steps of static batches / of continuous ones": "> 1.5",
    "γ = 4, tokens per call: the target as its own draft": "> 4.5",
    "γ = 4, tokens per call: a GPT of half the layers − counts of pairs": "> 0.1",
    "γ = 4, tokens per call: counts of pairs − a draft that knows nothing": "> 0.4",
    "γ = 4, counts of pairs: measured / by the formula, at least": "> 0.85",
    "γ = 4, counts of pairs: measured / by the formula, at most": "< 1.15",
}
BUDGET, POOL, SIZE, GAMMA, LENGTH, TEXTS = 64, 48, 16, 4, 64, 16


class Table(nn.Module):
    """A model whose logits depend on the last token only."""

    def __init__(self, counts):
        super().__init__()
        self.logits = nn.Parameter((counts / counts.sum(1, keepdim=True)).log())

    def forward(self, idx):
        return self.logits[idx], None


def seconds(method, times=3) -> float:
    """CPU seconds of the fastest run."""
    found = []
    for _ in range(times):
        began = time.process_time()
        method()
        found.append(time.process_time() - began)
    return min(found)


def speed(kata) -> list[float]:
    """The worth of a cache, and of 16 rows."""
    config = kata.GPTConfig(
        block_size=256, vocab_size=96, n_layer=4, n_head=4, n_embd=128
    )
    model, prompt = kata.GPT(config).eval(), torch.randint(96, (1, 8))

    @torch.no_grad()
    def over_buffers(rows):
        new = prompt.expand(rows, -1)
        caches = [kata.StaticLayerCache(rows, 4, 208, 32) for _ in range(4)]
        for _ in range(200):
            new = model(new, cache=caches)[0][:, -1].argmax(-1, keepdim=True)

    without, cached = (
        seconds(lambda c=c: kata.generate(model, prompt, 200, use_cache=c))
        for c in (False, True)
    )
    one, many = (seconds(lambda rows=rows: over_buffers(rows)) for rows in (1, 16))
    return [without / cached, 16 * one / many]


def scheduling(kata, seed) -> float:
    """Steps of static batches for each step of continuous ones."""
    source, load = random.Random(seed), []
    for number in range(40):
        new = int(min(4 + source.expovariate(1 / 25), 120))
        load.append(kata.Request(number, source.randint(4, 60), new, number // 4))

    def static(running, waiting, *sizes):
        return kata.schedule_batch(running, [] if running else waiting, *sizes)

    steps = [
        kata.serve(load, BUDGET, POOL, SIZE, policy)["steps"]
        for policy in (static, kata.schedule_batch)
    ]
    return steps[0] / steps[1]


def trained(kata, ids, vocab, layers, seed) -> nn.Module:
    """A GPT of C = 64 after 300 steps of AdamW."""
    model = kata.GPT(
        kata.GPTConfig(
            block_size=128, vocab_size=vocab, n_layer=layers, n_head=4, n_embd=64
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), 8e-3, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=8e-3, total_steps=300, pct_start=0.1
    )
    draws = torch.Generator().manual_seed(seed)
    for _ in range(300):
        windows = ids[
            torch.randint(len(ids) - 33, (16, 1), generator=draws) + torch.arange(33)
        ]
        _, loss = model(windows[:, :-1], windows[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def run(kata, seed) -> dict[str, float]:
    """Time a model, schedule a load, and train a target with its drafts."""
    text = re.sub(r"[^a-z.]+", " ", prose().lower())[:8000]
    symbols = sorted(set(text))
    vocab, ids = len(symbols), torch.tensor([symbols.index(letter) for letter in text])
    target, half = (
        trained(kata, ids, vocab, 2, seed),
        trained(kata, ids, vocab, 1, seed),
    )
    counted = Table(
        torch.bincount(ids[:-1] * vocab + ids[1:], minlength=vocab**2).view(
            vocab, vocab
        )
        + 0.1
    )
    nothing, start, per_call = Table(torch.ones(vocab, vocab)), ids[:8][None], []
    for draft in (target, half, counted, nothing):
        calls = 0
        for number in range(TEXTS):
            draws = torch.Generator().manual_seed(1000 * seed + number)
            _, counts = kata.speculative_generate(
                target, draft, start, LENGTH, GAMMA, generator=draws
            )
            calls += counts["target_calls"]
        per_call.append(TEXTS * LENGTH / calls)
    with torch.no_grad():
        texts = kata.generate(target, start.repeat(TEXTS, 1), LENGTH, use_cache=True)
        p, q = (model(texts)[0][:, 7:-1].softmax(-1) for model in (target, counted))
    alpha = torch.minimum(p, q).sum(-1).mean().item()
    formula = sum(alpha**i for i in range(GAMMA + 1))
    found = [
        *speed(kata),
        scheduling(kata, seed),
        per_call[0],
        per_call[1] - per_call[2],
        per_call[2] - per_call[3],
    ]
    return dict(
        zip(LIMITS, [*found, per_call[2] / formula, per_call[2] / formula], strict=True)
    )
