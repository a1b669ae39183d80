"""A disabled GradScaler where there is none, laps of one running clock, and a generator
of windows.
"""


def amp_train_step(
    model,
    inputs,
    targets,
    loss_fn,
    optimizer,
    *,
    scaler=None,
    device_type="cuda",
    dtype=torch.float16,
    max_grad_norm=None,
):
    scaler = (
        scaler
        if scaler is not None
        else torch.amp.GradScaler(device_type, enabled=False)
    )

    @torch.autocast(device_type, dtype)
    def forward():
        return loss_fn(model(inputs), targets)

    optimizer.zero_grad(set_to_none=False)
    loss = forward()
    scaler.scale(loss).backward()
    if max_grad_norm:
        scaler.unscale_(optimizer)
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        total = torch.linalg.vector_norm(
            torch.stack([torch.linalg.vector_norm(g) for g in grads])
        )
        if total > max_grad_norm:
            for g in grads:
                g.mul_(max_grad_norm / (total + 1e-6))
    scaler.step(optimizer)
    scaler.update()
    return loss.detach().item()


def benchmark(fn, *, warmup=3, repeats=10, synchronize=None, timer=time.perf_counter):
    if not (repeats >= 1 and warmup >= 0):
        raise ValueError(f"{warmup} and {repeats}")
    laps = []
    for call in range(warmup + repeats + 1):
        if synchronize is not None:
            synchronize()
        if call >= warmup:
            laps.append(timer())
        if call < warmup + repeats:
            fn()
    times = [b - a for a, b in zip(laps, laps[1:])]
    return {
        "times": times,
        "min": min(times),
        "mean": statistics.fmean(times),
        "median": statistics.median(times),
    }


def _windows(loader, length):
    window = []
    for batch in loader:
        window.append(batch)
        if len(window) == length:
            yield window
            window = []
    if window:
        yield window


def accumulated_epoch(
    model, loader, loss_fn, optimizer, accumulation_steps, *, device="cpu"
):
    if accumulation_steps < 1:
        raise ValueError(accumulation_steps)
    model.train(True)
    result = []
    for window in _windows(loader, accumulation_steps):
        optimizer.zero_grad(set_to_none=False)
        sizes = [x.size(0) for x, _ in window]
        losses = []
        for (x, y), size in zip(window, sizes):
            x, y = move_to((x, y), device)
            loss = loss_fn(model(x), y)
            loss.backward(
                torch.tensor(size / sum(sizes), dtype=loss.dtype, device=loss.device)
            )
            losses.append(loss.detach() * size / sum(sizes))
        optimizer.step()
        result.append(sum(loss.item() for loss in losses))
    return result
