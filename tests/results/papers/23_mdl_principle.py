"""Five data sets of 60 points per seed: how often total bits find the cubic, and what
data bits alone would take.
"""

import torch

LIMITS = {
    "share of cubics found": "> 0.7",
    "share of largest degrees by data bits alone": "> 0.9",
    "share of constants found, noise only": "> 0.7",
}


def run(kata, seed) -> dict[str, float]:
    """Draw the data sets, and choose a degree for each."""

    def chosen(coefficients, largest):
        found = []
        for number in range(5):
            generator = torch.Generator().manual_seed(5 * seed + number)
            x, y = kata.make_polynomial_data(60, coefficients, 0.2, generator)
            found.append(kata.select_degree(x, y, largest))
        return found

    cubics, constants = chosen([0.5, -1.0, 0.0, 2.0], 6), chosen([0.0], 4)
    by_data = [
        min(range(7), key=lambda degree, table=table: table[degree]["data"])
        for _, table in cubics
    ]
    shares = (
        sum(degree == 3 for degree, _ in cubics) / 5,
        sum(degree == 6 for degree in by_data) / 5,
        sum(degree == 0 for degree, _ in constants) / 5,
    )
    return dict(zip(LIMITS, shares, strict=True))
