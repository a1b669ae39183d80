"""Reversal of ten symbols: accuracy with attention and with one fixed vector, and where
the attention falls.
"""

import torch

LIMITS = {
    "accuracy at length 10, attention": "> 0.85",
    "accuracy at length 10, one fixed vector": "< 0.8",
    "gap between the two": "> 0.15",
    "weight within 1 of the mirrored place (uniform 0.28)": "> 0.6",
}


def run(kata, seed) -> dict[str, float]:
    """Train both nets of 32 units on sequences of 4 to 10 symbols, as the spec does."""
    right = {}
    for attention in (True, False):
        torch.manual_seed(seed)
        model = kata.Seq2Seq(12, 32, attention=attention)
        kata.train_seq2seq(model, generator=torch.Generator().manual_seed(seed))
        src, lengths, tgt_in, tgt_out = kata.reverse_batch(
            200, 10, 10, 12, torch.Generator().manual_seed(1000 + seed)
        )
        with torch.no_grad():
            logits, weights = model(src, lengths, tgt_in)
        right[attention] = (logits.argmax(dim=-1) == tgt_out).float().mean().item()
        if attention:
            mass = kata.alignment_mass(weights, 9 - torch.arange(10))
    return dict(
        zip(
            LIMITS,
            (right[True], right[False], right[True] - right[False], mass),
            strict=True,
        )
    )
