# Sums and counts in place of mean and std, the two-step reduction of several dims,
# keepdim undone afterwards.


def summary_stats(x, dim=None):
    if 0 in x.shape:
        raise ValueError("nothing to summarise")
    flat = x.reshape(-1) if dim is None else x.movedim(dim, -1)
    n = flat.shape[-1]
    values = flat if flat.dtype.is_floating_point else flat.to(torch.float32)
    mean = values.sum(-1) / n
    return {
        "std": ((values - mean[..., None]).pow(2).sum(-1) / n).sqrt(),
        "mean": mean,
        "max": flat.max(-1).values,
        "min": flat.min(-1)[0],
    }


def standardize(x, dim=None):
    if not torch.is_floating_point(x):
        x = x.to(torch.get_default_dtype())
    dims = (
        list(range(x.ndim))
        if dim is None
        else [dim]
        if isinstance(dim, int)
        else list(dim)
    )
    # equal values are exactly 0 from here on
    shifted = x - x.amin(dims, keepdim=True).detach()
    n = 1
    for d in dims:
        n *= x.shape[d]
    shifted = shifted - shifted.sum(dims, keepdim=True) / n
    power = (shifted * shifted).sum(dims, keepdim=True) / n
    return shifted * torch.where(power > 0, power, torch.ones_like(power)).rsqrt()


def between(x, low, high):
    if not low <= high:
        raise ValueError((low, high))
    return torch.logical_and(torch.ge(x, low), torch.le(x, high))
