"""Three heads after 100 steps on a noisy chain, four heads after 50 steps on a cycle:
gaps, and calls for 40 tokens.
"""

import torch

LIMITS = {
    "largest gap of a head to the best possible loss": "< 0.06",
    "smallest rise of the loss from head to head": "> 0",
    "calls for 40 tokens with 4 heads": "< 21",
}


def run(kata, seed) -> dict[str, float]:
    """Train both models, and measure on fresh tokens."""
    draws = torch.Generator().manual_seed(seed)
    chain = kata.make_transition_matrix(8, generator=draws)
    torch.manual_seed(seed)
    model = kata.MultiTokenModel(8, 32, 3)
    kata.train_multi_token(model, chain, steps=100, generator=draws)
    tokens = kata.sample_sequences(chain, 100, 24, draws)
    with torch.no_grad():
        losses = kata.multi_token_loss(model(tokens), tokens)[1].double()
    gap = (losses - kata.bayes_losses(chain, tokens, 3)).max().item()
    cycle = torch.full((6, 6), 0.02 / 5)
    cycle[range(6), [1, 2, 3, 4, 5, 0]] = 0.98
    torch.manual_seed(seed)
    drafter = kata.MultiTokenModel(6, 32, 4)
    kata.train_multi_token(
        drafter, cycle, steps=50, generator=torch.Generator().manual_seed(seed)
    )
    _, calls = kata.speculative_generate(drafter, torch.tensor([[1, 2, 3]]), 40)
    return dict(zip(LIMITS, (gap, losses.diff().min().item(), calls), strict=True))
