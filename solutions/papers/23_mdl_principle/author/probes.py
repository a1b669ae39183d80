"""Questions that the specs of papers/23 cannot ask from another process."""

import torch

from grader.lock.probes import fill, probe


@probe("train_polynomial")
def _(kata, rng):
    x = 2 * torch.rand(40, generator=rng, dtype=torch.float64) - 1
    y = x**3 - x + 0.1 * torch.randn(40, generator=rng, dtype=torch.float64)
    model = kata.PolynomialModel(3)
    losses = kata.train_polynomial(model, x, y)
    powers = torch.stack([x**i for i in range(4)], dim=1)
    least = (powers @ torch.linalg.lstsq(powers, y).solution - y).square().mean()
    with torch.no_grad():
        return [
            losses[0],
            len(losses),
            bool((model(x) - y).square().mean() - least < 1e-6),
        ]


def points(rng):
    """Points near a polynomial of drawn degree, whose highest power is plain to see."""
    degree = int(torch.randint(1, 5, (), generator=rng))
    x = 2 * torch.rand(60, generator=rng, dtype=torch.float64) - 1
    factors = torch.randn(degree + 1, generator=rng, dtype=torch.float64)
    factors[-1] = 4 + factors[-1].abs()
    powers = torch.stack([x**i for i in range(degree + 1)], dim=1)
    return x, powers @ factors + 0.3 * torch.randn(
        60, generator=rng, dtype=torch.float64
    )


def rounded(bits):
    """Within the precision to which a polynomial is trained."""
    return {
        name: torch.tensor(value, dtype=torch.float32) for name, value in bits.items()
    }


@probe("gaussian_code_length")
def _(kata, rng):
    counts, precisions = (
        torch.randint(3, 40, (3,), generator=rng).tolist(),
        torch.rand(3, generator=rng).tolist(),
    )
    residuals = [
        2 + torch.randn(count, generator=rng, dtype=torch.float64) for count in counts
    ]
    return [
        kata.gaussian_code_length(one, precision)
        for one, precision in zip(residuals, precisions)
    ]


@probe("two_part_code")
def _(kata, rng):
    degrees, precision = (
        torch.randperm(5, generator=rng)[:2].tolist(),
        0.01 + torch.rand((), generator=rng).item() / 10,
    )
    x, y = points(rng)
    return [rounded(kata.two_part_code(x, y, degree, precision)) for degree in degrees]


@probe("select_degree")
def _(kata, rng):
    most = 4 + int(torch.randint(3, (), generator=rng))
    degree, table = kata.select_degree(*points(rng), most, 0.05)
    return [degree, [rounded(bits) for bits in table]]


@probe("information_criteria")
def _(kata, rng):
    sizes = torch.randint(3, 40, (3, 2), generator=rng).tolist()
    residuals = [
        torch.randn(count, generator=rng, dtype=torch.float64) for count, _ in sizes
    ]
    return [
        kata.information_criteria(one, number)
        for one, (_, number) in zip(residuals, sizes)
    ]


@probe("PolynomialModel")
def _(kata, rng):
    found = []
    for degree in torch.randint(5, (3,), generator=rng).tolist():
        model = kata.PolynomialModel(degree)
        first = model.coefficients.detach().clone()
        fill(model, rng)
        x = torch.randn(6, generator=rng).double()
        found += [first, model(x).detach(), str(model.coefficients.dtype)]
    return found


@probe("gaussian_code_length_numpy")
def _(kata, rng):
    residuals = torch.randn(9, generator=rng).double().numpy()
    return [kata.gaussian_code_length_numpy(residuals, p) for p in (0.01, 0.1)]


@probe("model_code_length")
def _(kata, rng):
    pairs = torch.randint(1, 60, (4, 2), generator=rng).tolist()
    return [kata.model_code_length(*pair) for pair in pairs]
