"""Tensors taken apart and put together: channels by `unbind` and `stack`, the grid by
`cat` of rows, turns by `split`.
"""


def to_rows(x, columns):
    return torch.stack(x.split(columns))


def swap_axes(x):
    return torch.stack(list(x), dim=1)


def nhwc_to_nchw(images):
    if images.ndim != 4:
        raise ValueError("expected (N, H, W, C)")
    return torch.stack(images.unbind(-1), 1)


def flatten_samples(x):
    if x.ndim < 1:
        raise ValueError("no batch")
    shape = tuple(x.shape[1:])
    width = torch.Size(shape).numel()
    return torch.stack([sample.reshape(width) for sample in x]) if len(
        x
    ) else x.reshape(0, width), shape


def unflatten_samples(flat, sample_shape):
    if flat.ndim != 2:
        raise ValueError("flat should have two dimensions")
    if (
        list(torch.empty(flat.shape[1]).shape) != [math.prod(sample_shape)]
        or -1 in sample_shape
    ):
        raise ValueError("rows and shape do not fit")
    return (
        torch.stack([row.reshape(list(sample_shape)) for row in flat])
        if len(flat)
        else flat.view(0, *sample_shape)
    )


def interleave(a, b, dim=0):
    if a.shape != b.shape or not a.shape:
        raise ValueError("a and b should have one shape")
    pairs = zip(a.split(1, dim), b.split(1, dim))
    return torch.cat([piece for pair in pairs for piece in pair], dim)


def make_grid(images, columns):
    if images.ndim != 4 or not len(images) or columns <= 0:
        raise ValueError("no grid")
    blank = torch.zeros_like(images[0])
    cells = list(images) + [blank] * (-len(images) % columns)
    rows = [
        torch.cat(cells[i : i + columns], dim=-1) for i in range(0, len(cells), columns)
    ]
    return torch.cat(rows, dim=-2).clone()
