"""Dropout p = 0.6 in two places, and none: three nets with 48 units, 100 steps on
300 symbols.
"""

import torch

LIMITS = {
    "validation perplexity, between layers / none": "< 0.75",
    "validation perplexity, between layers / through time": "< 0.85",
    "training perplexity, between layers / none": "> 1.2",
}


def run(kata, seed) -> dict[str, float]:
    """Train the three nets as the spec does, from the same start values, on the
    same windows.
    """
    draws = torch.Generator().manual_seed(seed)
    table = kata.transition_table(8, draws)
    text, validation = (kata.markov_text(n, 8, draws, table) for n in (300, 1500))
    nets = []
    for p, where in (
        (0.0, "non_recurrent"),
        (0.6, "non_recurrent"),
        (0.6, "recurrent"),
    ):
        torch.manual_seed(seed)
        model = kata.RegularizedLSTM(8, 48, p=p, where=where)
        windows = torch.Generator().manual_seed(seed)
        kata.train_lm(
            model, text, steps=100, batch=32, seq_len=8, lr=0.03, generator=windows
        )
        nets.append((kata.perplexity(model, validation), kata.perplexity(model, text)))
    (none, none_train), (between, between_train), (through, _) = nets
    return dict(
        zip(
            LIMITS,
            (between / none, between / through, between_train / none_train),
            strict=True,
        )
    )
