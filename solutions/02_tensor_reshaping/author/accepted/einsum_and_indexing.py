"""`einsum` for the channels, plain `reshape` for batches of one, `index_select` for
taking turns, padding for the grid.
"""


def to_rows(x, columns):
    return x.unflatten(0, (len(x) // columns, columns))


def swap_axes(x):
    return x.transpose(0, 1)


def add_batch_dim(sample):
    return sample.reshape((1, *sample.shape))


def nhwc_to_nchw(images):
    if images.ndim != 4:
        raise ValueError("expected (N, H, W, C)")
    return torch.einsum("nhwc->nchw", images).contiguous()


def reshape_and_check(x, shape):
    unknown = [i for i, size in enumerate(shape) if size == -1]
    known = math.prod(size for size in shape if size != -1)
    if (
        len(unknown) > 1
        or (unknown and (known == 0 or x.numel() % known))
        or (not unknown and known != x.numel())
    ):
        raise ValueError(f"{tuple(shape)} does not fit {x.numel()} elements")
    sizes = [x.numel() // known if size == -1 else size for size in shape]
    try:
        return x.view(sizes), True
    except RuntimeError:
        return x.contiguous().view(sizes), False


def interleave(a, b, dim=0):
    if a.shape != b.shape:
        raise ValueError("shapes differ")
    if a.ndim == 0:
        raise ValueError("nothing to take turns along")
    n = a.shape[dim]
    order = torch.arange(2 * n, device=a.device).reshape(2, n).mT.flatten()
    return torch.cat([a, b], dim).index_select(dim, order)


def make_grid(images, columns):
    if images.dim() != 4:
        raise ValueError("expected (N, C, H, W)")
    if columns < 1 or images.size(0) < 1:
        raise ValueError("an image and a column at least")
    missing = -images.size(0) % columns
    padded = torch.cat([images, torch.zeros_like(images[:1]).repeat(missing, 1, 1, 1)])
    rows = padded.unflatten(0, (-1, columns))
    return rows.movedim(2, 0).transpose(2, 3).flatten(3, 4).flatten(1, 2).clone()
