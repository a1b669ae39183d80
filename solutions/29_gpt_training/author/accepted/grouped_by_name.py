"""Groups by names in alphabetical order, the biases first; an Adam of 29's own groups
for one batch.
"""


def param_groups(model, weight_decay):
    named = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    decayed = {name for name, parameter in named.items() if parameter.dim() > 1}
    return [
        {
            "params": [named[name] for name in sorted(named.keys() - decayed)],
            "weight_decay": 0.0,
        },
        {
            "params": [named[name] for name in sorted(decayed)],
            "weight_decay": weight_decay,
        },
    ]


def overfit_one_batch(model, x, y, steps, lr):
    optimizer = torch.optim.Adam(
        [dict(group) for group in param_groups(model, 0.0)], lr=lr, betas=(0.9, 0.95)
    )
    model.train()
    losses = []
    while len(losses) < steps:
        optimizer.zero_grad(set_to_none=False)
        loss = model(x, y)[-1]
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss))
    return losses
