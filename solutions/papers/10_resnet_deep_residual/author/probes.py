"""Questions about inputs drawn anew in papers/10."""

import torch
from torch import nn

from grader.lock.probes import fill, probe


def drawn(model, rng):
    """The model in eval mode, with numbers of our own in all its parameters
    and statistics.
    """
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.is_floating_point():
            fresh = torch.rand(tensor.shape, generator=rng) + 0.5
            tensor.copy_(
                fresh
                * (
                    1
                    if tensor.dim() < 2
                    else torch.randn(tensor.shape, generator=rng) / 9
                )
            )
    return model.eval()


@probe("ResNet")
def _(kata, rng):
    found = []
    for residual in (True, False):
        blocks, width, classes = (
            int(torch.randint(low, low + 3, (), generator=rng)) for low in (1, 3, 5)
        )
        model = drawn(kata.ResNet(blocks, width, classes, residual), rng)
        for height, width in ((8, 8), (12, 9)):
            found.append(model(torch.rand(3, 1, height, width, generator=rng)).detach())
    return found


@probe("init_gradient_norms")
def _(kata, rng):
    found = []
    for residual in (True, False):
        blocks, width, classes = (
            int(torch.randint(low, low + 4, (), generator=rng)) for low in (1, 3, 5)
        )
        model = kata.ResNet(blocks, width, classes, residual)
        with torch.no_grad():
            for name, parameter in sorted(model.named_parameters()):
                if parameter.dim() > 1 or "head" in name:
                    parameter.copy_(
                        torch.randn(parameter.shape, generator=rng)
                        / parameter[0].numel() ** 0.5
                    )
        x, y = (
            torch.rand(6, 1, 8, 8, generator=rng),
            torch.randint(classes, (6,), generator=rng),
        )
        found.append(torch.tensor(kata.init_gradient_norms(model, x, y)))
    return found


@probe("residual_block_numpy")
def _(kata, rng):
    shapes = (3, 4), (5, 4), (5,), (4, 5), (4,)
    given = [torch.randn(shape, generator=rng).double().numpy() for shape in shapes]
    return kata.residual_block_numpy(*given)


@probe("BasicBlock")
def _(kata, rng):
    found = []
    for given in (
        (3, 3),
        (3, 4),
        (3, 3, 2),
        (3, 4, 2),
        (3, 4, 2, False),
        (3, 3, 1, False),
    ):
        block, x = kata.BasicBlock(*given), torch.randn(2, 3, 6, 6, generator=rng)
        fill(block, rng)
        shapes = sorted((name, tuple(p.shape)) for name, p in block.named_parameters())
        out = block(x).detach()
        found += [shapes, out, block.eval()(x).detach()]
    return found


@probe("train_net")
def _(kata, rng):
    """All images are alike, so that no draw decides anything."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3, bias=False))
    fill(model, rng)
    with torch.no_grad():
        model[1].weight *= 1000
    x, y = (
        torch.randn(1, 2, 3, generator=rng).expand(8, 2, 3) / 1000,
        torch.full((8,), 2),
    )
    losses = kata.train_net(model, x, y, steps=4, batch=4, lr=0.1)
    return [losses, model[1].weight.detach().double() / 1000]


@probe("zero_init_residual")
def _(kata, rng):
    """Before and after, and after a step of training."""
    model = nn.Module()
    model.blocks = nn.ModuleList(kata.BasicBlock(2, 2) for _ in range(2))
    fill(model, rng)
    kata.zero_init_residual(model)
    state = {name: x.clone() for name, x in model.state_dict().items()}
    x = torch.randn(2, 2, 4, 4, generator=rng)
    out = model.blocks[1](model.blocks[0](x))
    grads = torch.autograd.grad(out.pow(2).sum(), model.blocks[0].bn2.weight)
    return [state, out.detach(), grads]
