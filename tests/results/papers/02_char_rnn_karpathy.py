"""The sentence learned by heart: 64 hidden units, 300 steps, then greedy sampling from
the first five characters.
"""

import torch

LIMITS = {
    "first loss (ln 21 = 3.04)": "> 2.9",
    "mean of the last 20 losses": "< 0.1",
    "characters right of 120, greedy": "> 113",
}


def run(kata, seed) -> dict[str, float]:
    """Train on TEXT twice over, as the spec does. Nothing is drawn but the
    start values.
    """
    stoi, itos = kata.build_vocab(kata.TEXT)
    ids = torch.tensor([stoi[character] for character in kata.TEXT])
    model = kata.CharRNN(len(itos), 64)
    losses = kata.train_char_rnn(model, ids.repeat(2), steps=300)
    new = kata.sample(model, ids[:5], 120, temperature=0)
    metrics = losses[0], sum(losses[-20:]) / 20, int((new == ids[5:]).sum())
    return dict(zip(LIMITS, metrics, strict=True))
