"""Questions about inputs drawn anew in papers/10."""

import torch

from grader.lock.probes import probe


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
