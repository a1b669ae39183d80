"""A reader trained with answers at the ends, measured plain, reordered and corrected,
and one trained uniformly.
"""

import torch

LIMITS = {
    "nearer end minus middle, biased": "> 0.2",
    "gain in the middle, reordered": "> 0.1",
    "gain in the middle, corrected": "> 0.1",
    "highest minus lowest, uniformly trained": "< 0.2",
}


def run(kata, seed) -> dict[str, float]:
    """Train two readers from the same seed, and measure each with 1000 questions
    per position.
    """
    readers = []
    for prior in (kata.position_prior(9), None):
        torch.manual_seed(seed)
        readers.append(kata.Reader(9, 8, 5, 16))
        kata.train_reader(
            readers[-1],
            steps=400,
            prior=prior,
            generator=torch.Generator().manual_seed(seed),
        )
    biased, uniform = readers
    generator = torch.Generator().manual_seed(100 + seed)

    def curve(model, **options):
        return kata.accuracy_by_position(
            model, examples_per_position=1000, generator=generator, **options
        )

    plain, reordered = curve(biased), curve(biased, reorder=True)
    corrected = curve(
        biased, correction=kata.measure_position_bias(biased, generator=generator)
    )
    even = curve(uniform)
    found = [
        torch.minimum(plain[0], plain[8]) - plain[4],
        reordered[4] - plain[4],
        corrected[4] - plain[4],
    ]
    return dict(
        zip(
            LIMITS,
            [part.item() for part in (*found, even.max() - even.min())],
            strict=True,
        )
    )
