"""Evaluation of a copy of the model, so that there is nothing to put back; gradients
asked of autograd.
"""

import copy


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
    trained = [p for p in model.parameters() if p.requires_grad]
    losses, counts = [], []
    for i, batch in enumerate(loader):
        x, y = (half.to(device) for half in batch)
        loss = loss_fn(model(x), y)
        if not torch.isfinite(loss).all():
            raise FloatingPointError(f"batch {i}")
        for p, gradient in zip(
            trained, torch.autograd.grad(loss, trained, allow_unused=True), strict=True
        ):
            p.grad = gradient
        if max_grad_norm is not None:
            gradients = [p.grad for p in trained if p.grad is not None]
            norm = sum(g.square().sum() for g in gradients).sqrt()
            for g in gradients:
                g.mul_((max_grad_norm / norm).clamp(max=1))
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.detach())
        counts.append(x.shape[0])
    if not counts:
        raise ValueError("no data")
    return float(
        sum(loss * count for loss, count in zip(losses, counts, strict=True))
        / sum(counts)
    )


def evaluate(model, loader, loss_fn, *, device="cpu"):
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    loss, right, samples = 0.0, 0, 0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        scores = twin(x)
        loss += float(loss_fn(scores, y)) * len(y)
        right += int(scores.argmax(-1).eq(y).sum())
        samples += len(y)
    if samples == 0:
        raise ValueError("no data")
    return {"loss": loss / samples, "accuracy": right / samples}
