# One context around all micro-batches but the last; futures instead of waiting calls.
from contextlib import ExitStack


def ddp_train_step(model, optimizer, batches, max_norm=1.0):
    *first, last = batches or [None]
    if last is None:
        raise ValueError("nothing to learn from")
    n = len(batches)
    model.train(True)
    model.zero_grad()

    def go(x, y):
        loss = model(x, y)[1]
        (loss * (1 / n)).backward()
        return loss.item()

    losses = []
    if first:
        with sync_context(model, False):
            losses = [go(*one) for one in first]
    with ExitStack() as stack:
        stack.enter_context(sync_context(model, is_last=True))
        losses.append(go(*last))
    norm = float(
        torch.nn.utils.get_total_norm(
            [p.grad for p in model.parameters() if p.grad is not None]
        )
    )
    if max_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return dict(loss=reduce_mean(sum(losses) / n), grad_norm=norm)


def average_gradients(model):
    if not dist.is_initialized():
        return
    waiting = []
    for p in filter(lambda p: p.requires_grad, model.parameters()):
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        p.grad.div_(dist.get_world_size())
        waiting.append(dist.all_reduce(p.grad, async_op=True))
    for work in waiting:
        work.wait()


def broadcast_parameters(model, src=0):
    if dist.is_initialized():
        with torch.no_grad():
            for module in model.modules():
                for tensor in [
                    *module.parameters(recurse=False),
                    *module.buffers(recurse=False),
                ]:
                    dist.broadcast(tensor, src=src)
