# build-nanogpt's way: the flag that no_sync sets, set by hand for DDP; norm and
# clipping by hand.
from contextlib import contextmanager


@contextmanager
def sync_context(model, is_last):
    if isinstance(model, DDP):
        before = model.require_backward_grad_sync
        model.require_backward_grad_sync = is_last
        try:
            yield
        finally:
            model.require_backward_grad_sync = before
    elif hasattr(model, "no_sync") and not is_last:
        with model.no_sync():
            yield
    else:
        yield


def ddp_train_step(model, optimizer, batches, max_norm=1.0):
    if len(batches) == 0:
        raise ValueError("no batches")
    model.train()
    optimizer.zero_grad(set_to_none=False)
    losses = []
    for number, (x, y) in enumerate(batches, start=1):
        with sync_context(model, number == len(batches)):
            _, loss = model(x, y)
            (loss / len(batches)).backward()
        losses.append(loss.detach())
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.sqrt(sum(g.square().sum() for g in gradients)).item()
    if max_norm is not None and norm > max_norm:
        for g in gradients:
            g.mul_(max_norm / norm)
    optimizer.step()
    mean = torch.stack(losses).mean()
    if dist.is_initialized():
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
    return {"grad_norm": norm, "loss": mean.item()}
