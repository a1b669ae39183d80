"""A disabled GradScaler where none is given, autocast as a decorator, clipping by hand.

One loss is by log_softmax and gather, the chunked one from `logits.float()`.
"""


def amp_loss(model, x, y, dtype=None, vocab_size=None):
    @torch.autocast(device_type=x.device.type, dtype=dtype, enabled=dtype is not None)
    def forward():
        if vocab_size is None:
            return model(x, y)[1]
        log_p = (
            mask_padded_logits(model(x)[0], vocab_size)
            .float()
            .log_softmax(-1)
            .nan_to_num()
        )
        counts = y != -100
        picked = log_p.gather(-1, y.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return -(picked * counts).sum() / counts.sum()

    return forward()


def amp_step(
    model, optimizer, x, y, dtype=None, scaler=None, max_norm=1.0, vocab_size=None
):
    if scaler is None:
        if dtype is torch.float16:
            raise ValueError("no scaler")
        scaler = torch.amp.GradScaler(x.device.type, enabled=False)
    for p in model.parameters():
        p.grad = None
    loss = amp_loss(model, x, y, dtype, vocab_size)
    scaler.scale(loss).backward()
    if max_norm is not None:
        scaler.unscale_(optimizer)
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        norm = torch.cat([g.flatten() for g in grads]).norm()
        factor = (max_norm / norm.clamp(min=1e-12)).clamp(max=1.0)
        for g in grads:
            g.mul_(factor)
    scaler.step(optimizer)
    scaler.update()
    return float(loss.detach())


def chunked_cross_entropy(hidden, weight, targets, chunk_size=1024, vocab_size=None):
    if chunk_size < 1:
        raise ValueError(chunk_size)
    rows, y = hidden.reshape(-1, hidden.size(-1)), targets.reshape(-1)

    def summed(rows, y):
        logits = F.linear(rows, weight)
        if vocab_size is not None:
            logits = mask_padded_logits(logits, vocab_size)
        return F.cross_entropy(logits.float(), y, ignore_index=-100, reduction="sum")

    total = 0.0
    for part in zip(rows.split(chunk_size), y.split(chunk_size)):
        total = total + checkpoint(summed, *part, use_reentrant=False)
    return total / (y != -100).sum().clamp(min=1)
