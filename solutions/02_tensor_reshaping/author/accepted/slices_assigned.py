"""Results written slice by slice into a tensor made for them; the view flag from
comparing storages after a reshape.
"""


def drop_batch_dim(batch):
    if batch.shape[:1] != (1,):
        raise ValueError("not a batch of one")
    return batch.reshape(batch.shape[1:])


def nhwc_to_nchw(images):
    if images.ndim != 4:
        raise ValueError("expected (N, H, W, C)")
    n, h, w, c = images.shape
    planes = images.new_empty((n, c, h, w))
    for channel in range(c):
        planes[:, channel] = images[..., channel]
    return planes


def unflatten_samples(flat, sample_shape):
    if flat.ndim != 2:
        raise ValueError("flat should have two dimensions")
    if any(n < 0 for n in sample_shape) or math.prod(sample_shape) != flat.shape[1]:
        raise ValueError("rows and shape do not fit")
    return flat.view(len(flat), *sample_shape)  # cutting a dimension never needs a copy


def reshape_and_check(x, shape):
    try:
        reshaped = torch.reshape(x, list(shape))
    except RuntimeError:
        raise ValueError(f"{list(shape)} does not fit") from None
    return (
        reshaped,
        reshaped.untyped_storage().data_ptr() == x.untyped_storage().data_ptr(),
    )


def interleave(a, b, dim=0):
    if a.ndim == 0 or a.shape != b.shape:
        raise ValueError("a and b should have one shape")
    first = a.movedim(dim, 0)
    out = torch.empty(
        (2 * len(first), *first.shape[1:]), dtype=a.dtype, device=a.device
    )
    out[0::2] = first
    out[1::2] = b.movedim(dim, 0)
    return out.movedim(0, dim)


def make_grid(images, columns):
    if images.ndim != 4 or columns < 1 or images.shape[0] < 1:
        raise ValueError("no grid")
    n, c, h, w = images.shape
    grid = torch.zeros(
        c, -(-n // columns) * h, columns * w, dtype=images.dtype, device=images.device
    )
    for i in range(n):
        row, column = divmod(i, columns)
        grid[:, row * h : (row + 1) * h, column * w : (column + 1) * w] = images[i]
    return grid
