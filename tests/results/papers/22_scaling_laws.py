"""Five sizes in 300 steps of 128, size 8 on few and on many samples; then six sizes of
language models on real text.
"""

import re
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from grader.datasets import prose

LIMITS = {
    "distance of alpha from 0.8": "< 0.08",
    "error of the prediction for size 32": "< 0.25",
    "excess loss of size 8 on 32 samples": "> 0.04",
    "excess loss of size 8 on 512 samples": "< 0.015",
    "text: smallest fall of the loss from one of six sizes to the next": "> 0.02",
    "text: alpha of the line through widths 8, 16 and 32": "> 0.08",
    "text: alpha from width 4 to 8, as a share of that": "< 0.8",
    "text: loss of width 8 without its block, as a multiple of that with it": "< 1.04",
    "text: loss of width 32 without its block, as a multiple of that with it": "> 1.2",
    "text: loss of width 64, as a multiple of what that line says": "> 1.0",
    "text: the same after twice the steps": "< 1.0",
}
CONTEXT, BATCH = 32, 24


class LanguageModel(nn.Module):
    """A transformer of one layer that predicts the next letter. Without its block it
    looks at the last letter only.
    """

    def __init__(self, letters: int, width: int, has_block: bool):
        super().__init__()
        self.letter, self.place = (
            nn.Embedding(letters, width),
            nn.Embedding(CONTEXT, width),
        )
        for table in (self.letter, self.place):
            nn.init.normal_(table.weight, std=0.1)
        heads = max(1, width // 8)
        self.block = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, letters))
        self.mask = nn.Transformer.generate_square_subsequent_mask(CONTEXT)
        self.has_block = has_block

    def forward(self, ids):
        x = self.letter(ids) + self.place.weight
        return self.out(
            self.block(x, self.mask, is_causal=True) if self.has_block else x
        )


def measured(
    width: int, steps: int, seed: int, has_block: bool = True
) -> tuple[int, float]:
    """The size of a trained model without embeddings, and its loss on text that it has
    not seen, in nats.
    """
    torch.manual_seed(seed)
    text = re.sub(r"[^a-z.]+", " ", prose().lower())
    letters = sorted(set(text))
    tokens = torch.tensor([letters.index(letter) for letter in text])
    end = len(tokens) * 9 // 10
    model = LanguageModel(len(letters), width, has_block)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def loss(rows):
        return F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = (
            0.01 * min(1, (step + 1) / 50) * (1 - step / steps)
        )
        starts = torch.randint(end - CONTEXT - 1, (BATCH, 1))
        optimizer.zero_grad()
        loss(tokens[starts + torch.arange(CONTEXT + 1)]).backward()
        optimizer.step()
    with torch.no_grad():
        size = sum(parameter.numel() for parameter in model.block.parameters())
        return size, loss(tokens[end:].unfold(0, CONTEXT + 1, CONTEXT + 1)[:600]).item()


def run(kata, seed) -> dict[str, float]:
    """Train the sizes one after the other, and fit them."""
    losses = {}
    for size in (2, 4, 8, 16, 32):
        losses[size] = kata.train_size(
            size, generator=torch.Generator().manual_seed(seed)
        )
    sizes, values = list(losses), list(losses.values())
    _, alpha = kata.fit_power_law(sizes, values)
    a, slope = kata.fit_power_law(sizes[:4], values[:4])
    few, many = (
        kata.data_limited_loss(samples, generator=torch.Generator().manual_seed(seed))
        - kata.exact_loss(8)
        for samples in (32, 512)
    )
    found = (
        abs(alpha - 0.8),
        abs(a * 32**-slope / losses[32] - 1),
        few,
        many,
        *on_text(kata, seed),
    )
    return dict(zip(LIMITS, found, strict=True))


def on_text(kata, seed) -> tuple[float, ...]:
    """Six language models, the line through three of them, and where it bends."""
    points = [measured(width, 500, seed) for width in (4, 8, 16, 32, 48, 64)]
    sizes, losses = zip(*points, strict=True)
    a, alpha = kata.fit_power_law(sizes[1:4], losses[1:4])
    small = kata.fit_power_law(sizes[:2], losses[:2])[1]
    predicted = a * sizes[-1] ** -alpha
    longer = measured(64, 1000, seed)[1]
    fall = min(before - after for before, after in pairwise(losses))
    shallow = (
        measured(width, 500, seed, has_block=False)[1] / losses[at]
        for width, at in ((8, 1), (32, 3))
    )
    return (
        fall,
        alpha,
        small / alpha,
        *shallow,
        losses[-1] / predicted,
        longer / predicted,
    )
