"""Questions that the specs of 13 do not ask: other sizes, and losses from known
starting weights.
"""

import torch
from torch import nn

from grader.lock.probes import fill, probe


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


@probe("normalization_groups")
def _(kata, rng):
    shape = torch.randint(2, 5, (4,), generator=rng).tolist()
    kinds = ("batch", 1), ("layer", 1), ("layer", 2), ("layer", 4), ("instance", 1)
    return [kata.normalization_groups(shape, *kind) for kind in kinds]


def asked(rng, norm, *shape):
    """Two batches in training mode, one in eval mode, gradients, and the state."""
    fill(norm, rng)
    batches = [
        (2 * torch.randn(shape, generator=rng) + 1).requires_grad_() for _ in "abc"
    ]
    outs = [norm.train()(batches[0]), norm(batches[1]), norm.eval()(batches[2])]
    loss = sum((out * out.detach().roll(1) ** 2).sum() for out in outs)
    grads = torch.autograd.grad(loss, [*batches, *norm.parameters()])
    return [[out.detach() for out in outs], grads, dict(norm.state_dict())]


@probe("BatchNorm1d.forward")
def _(kata, rng):
    norms = kata.BatchNorm1d(3), kata.BatchNorm1d(3, eps=0.1, momentum=0.3)
    shapes = (5, 3), (4, 3, 2)
    return [asked(rng, norm, *shape) for norm, shape in zip(norms, shapes)]


@probe("BatchNorm2d")
def _(kata, rng):
    return asked(rng, kata.BatchNorm2d(3, eps=0.1), 4, 3, 2, 5)


@probe("LayerNorm")
def _(kata, rng):
    norms = kata.LayerNorm(5), kata.LayerNorm((2, 5), eps=0.1, bias=False)
    bare = kata.LayerNorm(5, elementwise_affine=False)
    return [asked(rng, norm, 4, 2, 5) for norm in (*norms, bare)]


@probe("train_eval_gap")
def _(kata, rng):
    norm = nn.BatchNorm1d(3)
    fill(norm, rng)
    norm.running_mean[:] = torch.randn(3, generator=rng)
    gap = kata.train_eval_gap(norm, torch.randn(5, 3, generator=rng))
    return [gap, dict(norm.state_dict())]


@probe("batch_size_effect")
def _(kata, rng):
    x = torch.randn(13, 3, generator=rng) * torch.tensor(
        [1.0, 2.0, 5.0]
    ) + torch.tensor([0.0, 9.0, 3.0])
    return kata.batch_size_effect(x, torch.randint(1, 9, (3,), generator=rng).tolist())
