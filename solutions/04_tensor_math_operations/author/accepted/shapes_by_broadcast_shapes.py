# matmul_shape with ones put where a vector lacks a dimension, and
# torch.broadcast_shapes for the batch.


def matmul_shape(a_shape, b_shape):
    a, b = list(a_shape), list(b_shape)
    complaint = f"cannot multiply {tuple(a)} and {tuple(b)}"
    if 0 in (len(a), len(b)):
        raise ValueError(complaint)
    is_row, is_column = len(a) == 1, len(b) == 1
    if is_row:
        a = [1] + a
    if is_column:
        b = b + [1]
    if a[-1] != b[-2]:
        raise ValueError(complaint)
    try:
        batch = torch.broadcast_shapes(a[:-2], b[:-2])
    except RuntimeError:
        raise ValueError(complaint) from None
    return tuple(batch) + (() if is_row else (a[-2],)) + (() if is_column else (b[-1],))


def masked_mean(x, mask, dim=None):
    if mask.dtype is not torch.bool:
        raise TypeError(mask.dtype)
    dim = list(range(x.ndim)) if dim is None else dim
    kept = torch.where(mask, x, torch.zeros_like(x))
    counts = torch.where(mask, torch.ones_like(x), torch.zeros_like(x)).sum(dim)
    return torch.where(
        counts > 0, kept.sum(dim) / counts.clamp_min(1), torch.zeros_like(counts)
    )
