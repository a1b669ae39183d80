"""Containers by pattern matching; a helper that answers with a flag; devices measured
without `benchmark`.
"""


def select_device(preferred=None, *, cuda_available=None, mps_available=None):
    def there(kind):
        match kind:
            case "cuda":
                return (
                    cuda_available()
                    if cuda_available is not None
                    else torch.cuda.is_available()
                )
            case "mps":
                return (
                    mps_available()
                    if mps_available is not None
                    else torch.backends.mps.is_available()
                )
        return kind == "cpu"

    if preferred is None or preferred.lower() == "auto":
        for kind in ("cuda", "mps"):
            if there(kind):
                return torch.device(kind)
        return torch.device("cpu")
    try:
        wish = torch.device(preferred)
    except Exception:
        wish = None
    if wish is None or not there(wish.type):
        raise ValueError("cannot use " + preferred)
    return wish


def move_to(obj, device, *, non_blocking=False):
    def moved(part):
        match part:
            case _ if callable(getattr(part, "to", None)):
                return part.to(device, non_blocking=non_blocking)
            case dict():
                copy = part.copy()
                for key in part:
                    copy[key] = moved(part[key])
                return copy
            case tuple() if hasattr(part, "_make"):
                return part._make(moved(value) for value in part)
            case list() | tuple():
                return part.__class__([moved(value) for value in part])
        return part

    return moved(obj)


def _attempt(model, inputs, targets, loss_fn, size):
    """(True, the mean loss), or (False, 0.0) where memory ran out."""
    losses = []
    try:
        for first in range(0, len(inputs), size):
            rows = slice(first, first + size)
            share = len(inputs[rows]) / len(inputs)
            loss = share * loss_fn(model(inputs[rows]), targets[rows])
            loss.backward()
            losses.append(float(loss))
    except RuntimeError as error:
        if isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in str(
            error
        ):
            return False, 0.0
        raise error
    return True, sum(losses)


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
    if empty_cache is None:
        empty_cache = torch.cuda.empty_cache
    if len(inputs) < 1:
        raise ValueError("no rows")
    if micro_batch_size is None:
        micro_batch_size = len(inputs)
    if micro_batch_size < 1:
        raise ValueError("no rows at a time")
    size = min(micro_batch_size, len(inputs))
    while size:
        optimizer.zero_grad()
        fits, mean = _attempt(model, inputs, targets, loss_fn, size)
        if fits:
            optimizer.step()
            return mean, size
        for p in model.parameters():
            p.grad = None
        empty_cache()
        size = size // 2
    raise RuntimeError("CUDA out of memory: one row is too much")


def compare_devices(
    make_workload,
    devices,
    *,
    warmup=3,
    repeats=10,
    synchronize=wait_for,
    timer=time.perf_counter,
):
    if not list(devices):
        raise ValueError("devices is empty")
    medians = []
    for device in [torch.device(d) for d in devices]:
        run, times = make_workload(device), []
        for call in range(warmup + repeats):
            synchronize(device)
            start = timer()
            run()
            synchronize(device)
            if call >= warmup:
                times.append(timer() - start)
        times.sort()
        medians.append((times[(repeats - 1) // 2] + times[repeats // 2]) / 2)
    return {
        str(torch.device(d)): {"median": m, "speedup": medians[0] / m}
        for d, m in zip(devices, medians)
    }
