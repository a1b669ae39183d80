"""Gradients summed up and divided afterwards, cleared as zeros first; the norm before
clipping from get_total_norm; all losses from the logits; a decorator instead of
a block.
"""


def train_step(model, optimizer, batches, max_norm=1.0, lr=None):
    if len(batches) < 1:
        raise ValueError("no batches")
    model.train(True)
    for p in model.parameters():
        if p.grad is not None:
            p.grad.zero_()
    losses = torch.zeros(len(batches))
    for i, (x, y) in enumerate(batches):
        loss = model(x, y)[-1]
        losses[i] = loss.detach()
        loss.backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    for g in grads:
        g.div_(len(batches))
    norm = torch.nn.utils.get_total_norm(grads)
    if max_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(model.parameters(), max_norm, norm)
    if lr is not None:
        for i in range(len(optimizer.param_groups)):
            optimizer.param_groups[i].update(lr=lr)
    optimizer.step()
    return {"loss": losses.mean().item(), "grad_norm": float(norm)}


@torch.no_grad()
def measure(model, batches):
    sums, counts = [], []
    for x, y in batches:
        logits, _ = model(x)
        each = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), y, ignore_index=-100, reduction="sum"
        )
        sums.append(float(each))
        counts.append(int(y.ne(-100).count_nonzero()))
    if sum(counts) == 0:
        raise ValueError("nothing to measure")
    return math.fsum(sums) / sum(counts)


def evaluate(model, batches):
    before = {module: module.training for module in model.modules()}
    try:
        return measure(model.eval(), batches)
    finally:
        for module, mode in before.items():
            module.training = mode


def overfit_one_batch(model, x, y, steps, lr):
    model.train()
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=lr), []
    while len(losses) < steps:
        _, loss = model(x, y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses
