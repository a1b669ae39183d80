"""The diagonal by a step through the flat matrix, windows and borders filled in loops,
`take`, slices as a tuple.
"""


def first_rows(x, n):
    return torch.stack([x[i] for i in range(n)])


def last_column(x):
    return x.T[-1]


def diagonal(x):
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"{tuple(x.shape)}")
    return x.flatten(-2)[..., :: x.shape[-1] + 1]


def sliding_windows(x, size, step=1):
    if x.ndim == 0 or size < 1 or step < 1 or size > x.shape[0]:
        raise ValueError("no such windows")
    count = (x.shape[0] - size) // step + 1
    out = x.new_empty(count, size, *x.shape[1:])
    for w in range(count):
        out[w] = x[w * step : w * step + size]
    return out


def crop(image, top, left, height, width):
    if top < 0 or left < 0 or height <= 0 or width <= 0:
        raise ValueError("corner or size")
    bottom, right = top + height, left + width
    if bottom > image.shape[-2] or right > image.shape[-1]:
        raise ValueError("past an edge")
    return image[(..., slice(top, bottom), slice(left, right))]


def zero_border(image, width=1):
    if width < 0:
        raise ValueError(f"{width}")
    H, W = image.shape[-2:]
    out = image.clone()
    for r in range(H):
        for c in range(W):
            if min(r, c, H - 1 - r, W - 1 - c) < width:
                out[..., r, c] = 0
    return out


def pick_per_row(x, index):
    if index.is_floating_point() or index.dtype == torch.bool:
        raise TypeError(f"{index.dtype}")
    if index.shape != x.shape[:-1]:
        raise ValueError(f"{tuple(index.shape)}")
    index = index.to(torch.int64)
    if int(index.min()) < 0 or int(index.max()) > x.shape[-1] - 1:
        raise IndexError("outside")
    rows = torch.arange(index.numel(), device=x.device).reshape(index.shape)
    return x.take(rows * x.shape[-1] + index)


def last_valid(x, lengths):
    if lengths.shape != x.shape[:1]:
        raise ValueError(f"{tuple(lengths.shape)}")
    if not all(1 <= length <= x.shape[1] for length in lengths.tolist()):
        raise ValueError(f"{lengths.tolist()}")
    rows = torch.arange(x.shape[0], device=x.device) * x.shape[1] + lengths - 1
    return x.flatten(0, 1)[rows]
