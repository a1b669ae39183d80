"""Questions that the specs of papers/05 cannot ask from another process: they set the
masks of layers.
"""

import torch

from grader.lock.probes import fill, judge, probe


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


def seen(rng, out, *leaves):
    """The numbers of a result, and the gradients of these leaves."""
    gradients = torch.autograd.grad(out, leaves, torch.randn(out.shape, generator=rng))
    return [out.detach(), gradients]


@probe("kl_bits")
def _(kata, rng):
    mean, log_var = torch.randn(2, 3, 4, generator=rng)
    return [kata.kl_bits(mean, log_var), kata.kl_bits(mean, log_var, 1.5)]


@probe("NoisyLinear")
def _(kata, rng):
    """In training mode the code draws: the spread of what it gives is asked."""
    layer, x = kata.NoisyLinear(5, 4), torch.randn(3, 5, generator=rng)
    first = layer.log_var.detach().clone()
    fill(layer, rng)
    with torch.no_grad():
        layer.log_var.div_(4)
    drawn = torch.stack([layer(x).detach() for _ in range(500)])
    rows = layer(x[:1].expand(6, 5)).detach()
    out = layer(x)
    gradient = torch.autograd.grad(out.sum(), layer.weight)
    spread = (x**2 @ layer.log_var.exp().T).sqrt().detach()
    evaluated = layer.eval()(x).detach()
    return [[first, evaluated, gradient, spread], drawn, rows]


@judge("NoisyLinear")
def _(values, expected):
    (known, drawn, rows), evaluated = values, expected[0][1]
    noise = (drawn - evaluated) / expected[0][3]
    return [
        known,
        [noise.mean(0).abs() < 0.25, (noise.std(0) - 1).abs() < 0.2],
        rows - rows[:1],
        noise[:-1, 0, 0].sub(noise[1:, 0, 0]).abs().min() > 0,
    ]


@probe("prune_mask_numpy")
def _(kata, rng):
    weight = torch.randn(5, 4, generator=rng).double().numpy()
    return [kata.prune_mask_numpy(weight, share) for share in (0.3, 0.62)]


@probe("magnitude_mask")
def _(kata, rng):
    weight = torch.randn(5, 4, generator=rng).round(decimals=1) + 0.01
    weight += 1e-3 * torch.randn(5, 4, generator=rng)
    return [kata.magnitude_mask(weight, share) for share in (0.3, 0.62)]


@probe("MaskedLinear")
def _(kata, rng):
    layer, x = kata.MaskedLinear(5, 4), torch.randn(3, 5, generator=rng)
    fill(layer, rng)
    found = [sorted(layer.state_dict())]
    for share in (0.7, 0.3):
        layer.mask.copy_(torch.rand(4, 5, generator=rng) < share)
        found.append(seen(rng, layer(x), layer.weight))
    return [found, layer.weight.detach()]


@probe("train_classifier")
def _(kata, rng):
    """All images are alike, so that no draw decides anything."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3))
    fill(model, rng)
    x, y = torch.randn(1, 2, 3, generator=rng).expand(8, 2, 3), torch.full((8,), 2)
    losses = kata.train_classifier(model, x, y, steps=5, batch=4, lr=0.1)
    return [losses, model[1].weight.detach()]
