"""Gradients from autograd.grad, averaged and clipped by hand; groups by name; the rate
as sin²; the losses averaged at the end.
"""


def cosine_lr(step, max_lr, min_lr, warmup_steps, max_steps):
    if warmup_steps < 0 or max_steps <= warmup_steps:
        raise ValueError("the warm-up does not fit")
    if step < warmup_steps:
        return max_lr * ((step + 1) / warmup_steps)
    left = max(0, max_steps - step) / (max_steps - warmup_steps)
    return (
        min_lr
        if not left
        else min_lr + (max_lr - min_lr) * math.sin(math.pi / 2 * left) ** 2
    )


def param_groups(model, weight_decay):
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    decay = sorted(n for n in named if named[n].dim() > 1)
    rest = sorted(n for n in named if n not in decay)
    return [
        {"weight_decay": 0.0, "params": [named[n] for n in rest], "name": "rest"},
        {
            "weight_decay": weight_decay,
            "params": [named[n] for n in decay],
            "name": "decay",
        },
    ]


def train_step(model, optimizer, batches, max_norm=1.0, lr=None):
    count = len(batches)
    if count == 0:
        raise ValueError("nothing to learn from")
    if not model.training:
        model.train()
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] if lr is None else lr
    params = [p for p in model.parameters() if p.requires_grad]
    sums, losses = [torch.zeros_like(p) for p in params], []
    for x, y in batches:
        _, loss = model(x, targets=y)
        for total, g in zip(sums, torch.autograd.grad(loss, params)):
            total += g
        losses.append(float(loss))
    grads = [g / count for g in sums]
    norm = math.sqrt(sum(float(g.pow(2).sum()) for g in grads))
    factor = 1.0 if max_norm is None or norm <= max_norm else max_norm / (norm + 1e-6)
    for p, g in zip(params, grads):
        p.grad = g * factor
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    return dict(loss=sum(losses) / count, grad_norm=norm)
