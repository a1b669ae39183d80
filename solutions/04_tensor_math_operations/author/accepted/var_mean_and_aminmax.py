# var_mean and aminmax, two reductions in one call each; the constant slices are chosen
# by torch.where before the root.


def summary_stats(x, dim=None):
    if not x.numel():
        raise ValueError("empty")
    low, high = x.aminmax(dim=dim)
    var, mean = torch.var_mean(
        x if x.is_floating_point() else x.float(), dim=dim, correction=0
    )
    return dict(min=low, max=high, mean=mean, std=var.sqrt())


def standardize(x, dim=None):
    x = x * 1.0
    if dim is None:
        dim = tuple(range(x.dim()))
    var, mean = torch.var_mean(x, dim=dim, correction=0, keepdim=True)
    first = x.amax(dim, keepdim=True)
    same = torch.eq(x, first).all(
        dim if isinstance(dim, int) else tuple(dim), keepdim=True
    )
    std = torch.sqrt(torch.where(same, torch.ones_like(var), var))
    return torch.where(same, torch.zeros_like(x), (x - mean) / std)
