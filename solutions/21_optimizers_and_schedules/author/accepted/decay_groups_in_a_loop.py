"""The groups filled in one loop over named parameters, tied ones passed over
by hand.
"""


def decay_groups(model, weight_decay):
    decay, no_decay, seen = [], [], set()
    for _, p in model.named_parameters(remove_duplicate=False):
        if p.requires_grad and id(p) not in seen:
            seen.add(id(p))
            (no_decay if p.dim() <= 1 else decay).append(p)
    return [
        dict(weight_decay=weight_decay, params=decay),
        dict(weight_decay=0.0, params=no_decay),
    ]
