"""Questions that the specs of 13 do not ask: other sizes, and losses from known
starting weights.
"""

import torch

from grader.lock.probes import probe


@probe("BatchNorm1d.__init__")
def _(kata, rng):
    [channels] = torch.randint(9, 99, (1,), generator=rng).tolist()
    norm, bare = kata.BatchNorm1d(channels), kata.BatchNorm1d(channels, affine=False)
    return [
        dict(norm.state_dict()),
        sorted(name for name, _ in norm.named_parameters()),
        dict(bare.state_dict()),
    ]


def trained(kata, start, *arguments):
    """The losses of networks whose linear layers have weights that depend on `start`
    and on their shape alone.
    """
    from unittest import mock

    import torch

    def reset(layer):
        generator = torch.Generator().manual_seed(start)
        with torch.no_grad():
            layer.weight.copy_(
                0.5 * torch.randn(layer.weight.shape, generator=generator)
            )
            layer.bias.zero_()

    with mock.patch.object(torch.nn.Linear, "reset_parameters", reset):
        return kata.compare_training(*arguments)


@probe("compare_training")
def _(kata, rng):
    x, y = torch.randn(12, 6, generator=rng), torch.arange(12) % 3
    curves = trained(kata, int(torch.randint(9999, (), generator=rng)), x, y, 5, 2, 4)
    return {name: torch.tensor(losses) for name, losses in curves.items()}
