"""Kata 26's GPT on prose, 200 steps: AdamW at three rates, Muon on the hidden matrices,
both schedules, the z-loss.
"""

import math

import torch

from grader.datasets import characters

LIMITS = {
    "held-out loss after half a cosine: the best of three AdamW − Muon, nats": "> 0.1",
    "the same after warm-up, flat, decay: AdamW − Muon, nats": "> 0.1",
    "Muon: half a cosine − warm-up, flat, decay, nats": "> 0",
    "Muon with z-loss 1e-4 − without, nats": "< 0.05",
    (
        "Muon: mean of abs(log Σ exp(logits)) on held-out text, with z-loss 0.01 / "
        "without"
    ): ("< 0.8"),
}
T, STEPS = 64, 200


def windows(data, rows, generator):
    """Random windows of the text, and the character that follows each place."""
    starts = torch.randint(len(data) - T, (rows, 1), generator=generator)
    found = data[starts + torch.arange(T + 1)]
    return found[:, :-1], found[:, 1:]


def run(kata, seed) -> dict[str, float]:
    """Seven runs from the same start on the same batches."""
    trained_on, held_out, vocab = characters()

    def losses(adamw_lr, muon_lr=None, flat=False, z=0.0):
        torch.manual_seed(seed)
        sizes = {"n_layer": 2, "n_head": 4, "n_embd": 64, "dropout": 0.0}
        model = kata.GPT(kata.GPTConfig(block_size=T, vocab_size=vocab, **sizes))
        hidden, rest = (
            kata.split_parameters(model) if muon_lr else ([], list(model.parameters()))
        )
        optimizers = [(torch.optim.AdamW(rest, betas=(0.9, 0.95)), adamw_lr)]
        optimizers += [(kata.Muon(hidden), muon_lr)] if muon_lr else []
        batches = torch.Generator().manual_seed(seed)
        for step in range(STEPS):
            share = (
                kata.wsd_lr(step, 1.0, 0, STEPS // 5, STEPS)
                if flat
                else (1 + math.cos(math.pi * step / STEPS)) / 2
            )
            x, y = windows(trained_on, 16, batches)
            logits, loss = model(x, y)
            (loss + kata.z_loss(logits, y, z)).backward()
            for optimizer, lr in optimizers:
                optimizer.param_groups[0]["lr"] = share * lr
                optimizer.step()
                optimizer.zero_grad()
        with torch.no_grad():
            logits, loss = model(
                *windows(held_out, 128, torch.Generator().manual_seed(1000 + seed))
            )
        return loss.item(), logits.logsumexp(-1).abs().mean().item()

    adamw = min(losses(lr)[0] for lr in (1e-3, 3e-3, 6e-3))
    muon, size = losses(3e-3, 0.02)
    flat = losses(3e-3, 0.02, flat=True)[0]
    found = [
        adamw - muon,
        losses(3e-3, flat=True)[0] - flat,
        muon - flat,
        losses(3e-3, 0.02, z=1e-4)[0] - muon,
        losses(3e-3, 0.02, z=0.01)[1] / size,
    ]
    return dict(zip(LIMITS, found, strict=True))
