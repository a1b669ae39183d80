"""Everything in one function with flags, lists and sorting; autocast entered by hand;
one wait per measured call.
"""


def select_device(preferred=None, *, cuda_available=None, mps_available=None):
    has_cuda = (cuda_available or torch.cuda.is_available)()
    has_mps = (mps_available or torch.backends.mps.is_available)()
    if preferred in (None, "auto"):
        return torch.device("cuda" if has_cuda else "mps" if has_mps else "cpu")
    kind = preferred.split(":")[0]
    if kind not in {"cpu"} | ({"cuda"} if has_cuda else set()) | (
        {"mps"} if has_mps else set()
    ):
        raise ValueError(f"no such device here: {preferred}")
    try:
        return torch.device(preferred)
    except RuntimeError as error:
        raise ValueError(f"{preferred}: {error}") from error


def accumulated_epoch(
    model, loader, loss_fn, optimizer, accumulation_steps, *, device="cpu"
):
    if accumulation_steps <= 0:
        raise ValueError("at least one")
    batches = list(loader)
    model.train()
    optimizer.zero_grad()
    means = []
    for start in range(0, len(batches), accumulation_steps):
        total, seen = 0.0, 0
        for inputs, targets in batches[start : start + accumulation_steps]:
            inputs, targets = (
                inputs.to(device, non_blocking=True),
                targets.to(device=device),
            )
            summed = loss_fn(model(inputs), targets) * inputs.shape[0]
            summed.backward()
            total, seen = total + summed.item(), seen + inputs.shape[0]
        with torch.no_grad():
            for p in model.parameters():
                if p.grad is not None:
                    p.grad /= seen
        optimizer.step()
        optimizer.zero_grad()
        means.append(total / seen)
    return means


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
    context = torch.autocast(device_type=device_type, dtype=dtype)
    context.__enter__()
    try:
        loss = loss_fn(model(inputs), targets)
    finally:
        context.__exit__(None, None, None)
    model.zero_grad()
    if not scaler:
        loss.backward()
    else:
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
    if max_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    if not scaler:
        optimizer.step()
        return float(loss)
    scaler.step(optimizer)
    scaler.update()
    return float(loss)


def oom_safe_step(
    model,
    inputs,
    targets,
    loss_fn,
    optimizer,
    *,
    micro_batch_size=None,
    empty_cache=None,
):
    n = inputs.shape[0]
    if n == 0 or (micro_batch_size is not None and micro_batch_size < 1):
        raise ValueError("nothing to do")
    size = min(n, micro_batch_size or n)
    while True:
        failed, last, total, out, loss = False, None, 0.0, None, None
        optimizer.zero_grad(set_to_none=False)
        try:
            for start in range(0, n, size):
                out = model(inputs[start : start + size])
                loss = loss_fn(out, targets[start : start + size])
                (loss * out.shape[0]).backward()
                total += loss.item() * out.shape[0]
        except RuntimeError as error:
            if not (
                isinstance(error, torch.OutOfMemoryError)
                or "out of memory" in str(error).lower()
            ):
                raise
            failed, last = True, str(error)
        del out, loss
        if not failed:
            break
        for p in model.parameters():
            p.grad = None
        if size == 1:
            raise RuntimeError(f"out of memory even for one row: {last}")
        (empty_cache or torch.cuda.empty_cache)()
        size //= 2
    for p in model.parameters():
        if p.grad is not None:
            p.grad.div_(n)
    optimizer.step()
    return total / n, size


def profile_empty_cache(build, *, cuda=None):
    if cuda is None and not torch.cuda.is_available():
        raise RuntimeError("CUDA is not available")
    cuda = cuda or torch.cuda
    held, rows = [], []
    actions = {
        "start": lambda: None,
        "allocated": lambda: held.append(build()),
        "deleted": held.clear,
        "emptied": cuda.empty_cache,
    }
    for stage, act in actions.items():
        act()
        cuda.synchronize()
        rows.append(
            dict(
                reserved=cuda.memory_reserved(),
                allocated=cuda.memory_allocated(),
                stage=stage,
            )
        )
    return rows


def benchmark(fn, *, warmup=3, repeats=10, synchronize=None, timer=time.perf_counter):
    if repeats <= 0:
        raise ValueError("repeats")
    if warmup < 0:
        raise ValueError("warmup")
    synchronize = synchronize if synchronize is not None else (lambda: None)
    for _ in range(warmup):
        fn()
    synchronize()
    times = []
    while len(times) < repeats:
        before = timer()
        fn()
        synchronize()
        times.append(timer() - before)
    ordered, half = sorted(times), repeats // 2
    median = ordered[half] if repeats % 2 else 0.5 * (ordered[half - 1] + ordered[half])
    return dict(median=median, mean=sum(times) / repeats, min=ordered[0], times=times)


def compare_devices(
    make_workload,
    devices,
    *,
    warmup=3,
    repeats=10,
    synchronize=wait_for,
    timer=time.perf_counter,
):
    from functools import partial

    if len(devices) == 0:
        raise ValueError("no devices")
    results, reference = {}, None
    for given in devices:
        device = torch.device(given)
        work = make_workload(device)
        times = benchmark(
            work,
            warmup=warmup,
            repeats=repeats,
            synchronize=partial(synchronize, device),
            timer=timer,
        )
        reference = reference or times["median"]
        results[f"{device}"] = {
            "speedup": reference / times["median"],
            "median": times["median"],
        }
    return results
