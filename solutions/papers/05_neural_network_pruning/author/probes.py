"""Questions that the specs of papers/05 cannot ask from another process: they set the
masks of layers.
"""

import torch

from grader.lock.probes import judge, probe


def drawn(kata, rng):
    """A net of drawn sizes, weights and masks."""
    model = kata.MaskedMLP(torch.randint(9, 16, (4,), generator=rng).tolist())
    with torch.no_grad():
        for layer in model.layers:
            for parameter in (layer.weight, layer.bias):
                parameter.copy_(torch.randn(parameter.shape, generator=rng))
            share = 0.2 + 0.6 * torch.rand((), generator=rng)
            layer.mask.copy_(torch.rand(layer.mask.shape, generator=rng) < share)
    return model


def state(kata, model):
    """Its weights, biases and masks, also where it has others than at first."""
    return [
        (layer.weight.detach().clone(), layer.bias.detach().clone(), layer.mask.clone())
        for layer in model.layers
    ]


@probe("MaskedMLP")
def _(kata, rng):
    model = drawn(kata, rng)
    return model(
        torch.randn(5, 1, model.layers[0].weight.size(1), generator=rng)
    ).detach()


@probe("train_noisy")
def _(kata, rng):
    """Without visible noise, which codes may draw in their own ways."""
    sizes = torch.randint(3, 9, (3,), generator=rng).tolist()
    model = kata.noisy_net(sizes)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.rand(parameter.shape, generator=rng)
            parameter.copy_(-30 - noise if "log_var" in name else noise - 0.5)
    x, y = (
        torch.randn(12, sizes[0], generator=rng),
        torch.randint(sizes[-1], (12,), generator=rng),
    )
    price, prior_std = (0.3 + torch.rand(2, generator=rng)).tolist()
    return torch.tensor(
        kata.train_noisy(
            model, x, y, steps=4, lr=0.02, price=price, prior_std=prior_std
        )
    )


@probe("global_prune")
def _(kata, rng):
    model, seen = kata.MaskedMLP([5, 4, 3]), []
    with torch.no_grad():
        for layer, size in zip(model.layers, (1.0, 2.0)):
            layer.weight.copy_(size * torch.randn(layer.weight.shape, generator=rng))
            layer.bias.zero_()
        for sparsity in (0.25, 0.75):
            reached = kata.global_prune(model, sparsity)
            masks = [mask for _, _, mask in state(kata, model)]
            seen.append((reached, masks))
            for layer, mask in zip(model.layers, masks):
                layer.weight[~mask] = 9.0
    return seen


@probe("rewind")
def _(kata, rng):
    model = drawn(kata, rng)
    start = {
        name: torch.randn(value.shape, generator=rng)
        for name, value in model.state_dict().items()
    }
    start = {
        name: torch.ones_like(value, dtype=torch.bool) if "mask" in name else value
        for name, value in start.items()
    }
    kata.rewind(model, start)
    return state(kata, model)


@probe("randomize_masks")
def _(kata, rng):
    model = drawn(kata, rng)
    before = [layer.mask.clone() for layer in model.layers]
    kata.randomize_masks(model)
    return [before, state(kata, model)]


@judge("randomize_masks")
def _(values, expected):
    """Parameters stay, and so does the count of each mask, which moves."""
    before, (_, after) = expected[0], values
    moved = [bool((old != new).any()) for old, (*_, new) in zip(before, after)]
    kinds = [mask.double().unique() for *_, mask in after]
    return [[(w, b, mask.sum()) for w, b, mask in after], moved, kinds]


@probe("description_length")
def _(kata, rng):
    models, bits = (
        [drawn(kata, rng) for _ in range(3)],
        torch.randint(1, 40, (3,), generator=rng).tolist(),
    )
    return [kata.description_length(model, count) for model, count in zip(models, bits)]
