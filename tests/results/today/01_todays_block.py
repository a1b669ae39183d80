"""Kata 26's GPT against today's block at equal size, 200 steps on prose; then 4 times
the trained length.
"""

import math

import torch
from torch.nn import functional as F

from grader.course import catalogue, kata_modules
from grader.datasets import characters

LIMITS = {
    "held-out loss of GPT-2's block − of today's, nats": "> 0.15",
    "parameters of today's block / of GPT-2's": "< 1",
    "4 times the length, last half: loss of plain RoPE − of YaRN, nats": "> 0.1",
    "there: loss of all frequencies divided by 4 − of YaRN, nats": "> 0.1",
    "within the trained length: loss of YaRN − of plain RoPE, nats": "< 0.15",
}
T, STEPS, LR = 64, 200, 3e-3


def windows(data, rows, length, generator):
    """Random windows of the text, and the character that follows each place."""
    starts = torch.randint(len(data) - length, (rows, 1), generator=generator)
    found = data[starts + torch.arange(length + 1)]
    return found[:, :-1], found[:, 1:]


def train(model, logits, data, seed):
    """AdamW on half a cosine, the same batches for both models."""
    generator, optimizer = (
        torch.Generator().manual_seed(seed),
        torch.optim.AdamW(model.parameters(), LR),
    )
    for step in range(1, STEPS + 1):
        optimizer.param_groups[0]["lr"] = (
            LR * (1 + math.cos(math.pi * step / STEPS)) / 2
        )
        x, y = windows(data, 16, T, generator)
        loss = F.cross_entropy(logits(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def run(kata, seed) -> dict[str, float]:
    """Train both, and read the longer text without more training."""
    trained_on, held_out, vocab = characters()
    gpt = kata_modules.load(
        catalogue.find("26_gpt_model"), catalogue.ROOT / "solutions"
    )
    older = gpt.GPT(
        gpt.GPTConfig(
            block_size=T, vocab_size=vocab, n_layer=2, n_head=4, n_embd=64, dropout=0.0
        )
    )
    older.lm_head = torch.nn.Linear(64, vocab, bias=False)  # untied in both
    torch.nn.init.normal_(older.lm_head.weight, std=0.02)
    newer = kata.Decoder(kata.DecoderConfig(vocab, 2, 4, 2, 64, 192))

    @torch.no_grad()
    def losses(logits, length=T):
        x, y = windows(
            held_out, 128, length, torch.Generator().manual_seed(1000 + seed)
        )
        return F.cross_entropy(logits(x).transpose(1, 2), y, reduction="none").mean(
            dim=0
        )

    train(older, lambda x: older(x)[0], trained_on, seed)
    train(newer, newer, trained_on, seed)
    sizes = [
        sum(parameter.numel() for parameter in model.parameters())
        for model in (newer, older)
    ]
    plain, at = newer.inv_freq, {}
    kinds = {
        "plain": (plain, 1.0),
        "divided": (plain / 4, 1.0),
        "yarn": kata.yarn_frequencies(16, 10000.0, 4.0, T),
    }
    for name, (newer.inv_freq, newer.rope_scale) in kinds.items():
        at[name] = losses(newer, 4 * T)
    found = [
        losses(lambda x: older(x)[0]).mean() - at["plain"][:T].mean(),
        sizes[0] / sizes[1],
        (at["plain"] - at["yarn"])[2 * T :].mean(),
        (at["divided"] - at["yarn"])[2 * T :].mean(),
        (at["yarn"] - at["plain"])[:T].mean(),
    ]
    return dict(zip(LIMITS, map(float, found), strict=True))
