# The entries that count are picked out and written into a tensor of zeros; the mean by
# multiplying with 1 / count.


def masked_mean(x, mask, dim=None):
    if mask.dtype != torch.bool:
        raise TypeError("mask has to be bool")
    mask, x = torch.broadcast_tensors(mask, x)
    picked = torch.zeros(x.shape, dtype=x.dtype, device=x.device).masked_scatter(
        mask, x[mask]
    )
    if dim is None:
        return picked.sum() / max(int(mask.sum()), 1)
    n = mask.to(x.dtype).sum(dim)
    return picked.sum(dim) * n.clamp(min=1).reciprocal()


def between(x, low, high):
    if high < low:
        raise ValueError("low > high")
    return torch.where(x < low, False, x <= high)
