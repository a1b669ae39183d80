"""Questions that the specs of 06 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


@probe("make_line_data")
def _(kata, rng):
    slope, intercept, low, width = (0.5 + torch.rand(4, generator=rng)).tolist()
    seed = int(torch.randint(9999, (), generator=rng))

    def line(noise):
        generator = torch.Generator().manual_seed(seed)
        return kata.make_line_data(400, slope, intercept, noise, x_range=(low, low + width), generator=generator)

    X, y = line(0.0)
    again, _ = line(0.0)
    noisy_X, noisy_y = line(0.5)
    noise = (noisy_y - slope * noisy_X - intercept).std().item()
    return {
        "on the line": torch.allclose(y, slope * X + intercept, atol=1e-5),
        "in the range": bool(((X - low - width / 2).abs() <= width / 2 + 1e-5).all()),
        "across the range": abs(X.mean().item() - low - width / 2) < 0.15 * width,
        "repeated": torch.equal(X, again),
        "noise": abs(noise - 0.5) < 0.1,
    }


@probe("fit_manual")
def _(kata, rng):
    X, y = torch.randn(6, 3, generator=rng), torch.randn(6, 1, generator=rng)
    return kata.fit_manual(X, y, 0.05, 4)
