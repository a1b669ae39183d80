"""A learner's prices for 4000 symbols each of a Markov source, of uniform noise, and of
a repeated pattern of five.
"""

import torch

LIMITS = {
    "Markov source, bits per symbol": "< 1.2",
    "random symbols, bits per symbol": "> 1.95",
    "pattern of five, bits per symbol": "< 0.2",
    "Markov source, last 2000 over first 500": "< 0.95",
}


def run(kata, seed) -> dict[str, float]:
    """Make the three sequences, and price each with a fresh model."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.multinomial(
        torch.tensor([0.05, 0.85, 0.05, 0.05]),
        4000,
        replacement=True,
        generator=generator,
    )
    sequences = [steps.cumsum(0) % 4, torch.randint(4, (4000,), generator=generator)]
    sequences.append(torch.tensor([0, 1, 1, 3, 2]).repeat(800))
    found = []
    for symbols in sequences:
        torch.manual_seed(seed)
        found.append(kata.prequential_bits(kata.ContextModel(4, 3, 32), symbols))
    means = [bits.mean().item() for bits in found]
    fallen = (found[0][2000:].mean() / found[0][:500].mean()).item()
    return dict(zip(LIMITS, [*means, fallen], strict=True))
