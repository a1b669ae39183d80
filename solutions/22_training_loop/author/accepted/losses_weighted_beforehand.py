"""Sizes counted first and each loss weighted by its share; gradients cleared before the
forward; sums in tensors.
"""


def train_one_epoch(
    model,
    loader,
    loss_fn,
    optimizer,
    *,
    device="cpu",
    max_grad_norm=None,
    scheduler=None,
):
    model.train()
    losses, sizes = [], []
    for i, batch in enumerate(loader):
        x, y = (part.to(device, non_blocking=True) for part in batch)
        optimizer.zero_grad(set_to_none=False)
        loss = loss_fn(model(x), y)
        if torch.isnan(loss) or torch.isinf(loss):
            raise FloatingPointError("batch %d: loss is %s" % (i, loss))
        loss.backward()
        if max_grad_norm is not None:
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            norm = torch.stack([g.norm() for g in gradients]).norm()
            if norm > max_grad_norm:
                for g in gradients:
                    g *= max_grad_norm / norm
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.detach())
        sizes.append(x.shape[0])
    if not sizes:
        raise ValueError("empty loader")
    weights = torch.tensor(sizes, dtype=torch.float64)
    return ((torch.stack(losses).cpu().double() * weights).sum() / weights.sum()).item()


def accumulated_step(model, micro_batches, loss_fn, optimizer, *, max_grad_norm=None):
    micro_batches = [*micro_batches]
    n = sum(x.size(0) for x, _ in micro_batches)
    if n == 0:
        raise ValueError("nothing to do")
    model.zero_grad()
    mean = 0.0
    for x, y in micro_batches:
        loss = loss_fn(model(x), y) * (len(x) / n)
        loss.backward()
        mean += float(loss)
    if max_grad_norm:
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()
    return mean
