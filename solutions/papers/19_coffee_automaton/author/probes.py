"""Questions about inputs drawn anew in papers/19."""

from unittest import mock

import torch

from grader.lock.probes import probe


@probe("complexity_curve")
def _(kata, rng):
    """A drawn order of the cells takes the place of mixing, so that draws
    decide nothing.
    """
    size, levels, steps, every = (
        int(torch.randint(low, 2 * low, (), generator=rng)) for low in (10, 3, 6, 2)
    )
    order = torch.randperm(size**2, generator=rng)

    def mix(state, swap_probability=0.5, generator=None):
        return state.flatten(1)[:, order].view_as(state)

    with mock.patch.object(kata, "mix_step", mix):
        return kata.complexity_curve(
            size, 4, 2, steps=steps, every=every, levels=levels
        )
