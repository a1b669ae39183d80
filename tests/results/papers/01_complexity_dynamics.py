"""The curves of two gases that mix, and four rules recovered from examples."""

import torch

LIMITS = {
    "mean entropy of mixing at t = 2000": "> 0.8",
    "complexity, its maximum less its start": "> 0.3",
    "complexity, its maximum less its end": "> 0.5",
    "rules recovered of 30, 90, 110, 150": "> 3",
    "largest last loss of the four": "< 0.1",
}


def run(kata, seed: int) -> dict[str, float]:
    state = torch.zeros(16, 128, dtype=torch.int64)
    state[:, :64] = 1
    rows = kata.mix(state, 2000, generator=torch.Generator().manual_seed(seed))
    curves = {
        name: curve.mean(dim=0) for name, curve in kata.mixing_curves(rows, 16).items()
    }
    complexity = curves["complexity"]
    recovered, last = 0, []
    for rule in (30, 90, 110, 150):
        torch.manual_seed(seed)
        model = kata.LearnedRule()
        losses = kata.train_rule(
            model, rule, generator=torch.Generator().manual_seed(seed)
        )
        recovered += kata.recovered_rule(model) == rule
        last.append(losses[-1])
    return {
        "mean entropy of mixing at t = 2000": curves["entropy"][-1],
        "complexity, its maximum less its start": complexity.max() - complexity[0],
        "complexity, its maximum less its end": complexity.max() - complexity[-1],
        "rules recovered of 30, 90, 110, 150": recovered,
        "largest last loss of the four": max(last),
    }
