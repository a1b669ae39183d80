"""Slices spelled out: stacks of slices for windows and diagonals, `narrow` for the
rectangle, the border set on a clone.
"""


def first_rows(x, n):
    return x.narrow(0, 0, n)


def last_column(x):
    return x.select(1, x.size(1) - 1)


def every_other_row(x, start=0):
    if x.dim() < 1 or start not in (0, 1):
        raise ValueError(f"start={start}, x of {x.dim()} dimensions")
    return x[slice(start, None, 2)]


def diagonal(x):
    if x.dim() < 2:
        raise ValueError("at least two dimensions, please")
    *_, rows, columns = x.shape
    if rows != columns:
        raise ValueError(f"{rows} rows, {columns} columns")
    if rows == 0:
        return x.new_empty(x.shape[:-1])
    return torch.stack([x[..., i, i] for i in range(rows)], dim=-1)


def sliding_windows(x, size, step=1):
    if x.dim() == 0 or not 1 <= size <= x.size(0) or step < 1:
        raise ValueError(f"size={size}, step={step}")
    count = (x.size(0) - size) // step + 1
    return torch.stack([x[w * step : w * step + size] for w in range(count)])


def crop(image, top, left, height, width):
    if not (
        0 <= top < top + height <= image.size(-2)
        and 0 <= left < left + width <= image.size(-1)
    ):
        raise ValueError("the rectangle leaves the image")
    return image.narrow(-2, top, height).narrow(-1, left, width)


def zero_border(image, width=1):
    if width < 0:
        raise ValueError(f"width={width}")
    out = image.clone()
    if width > 0:
        out[..., :width, :] = 0
        out[..., -width:, :] = 0
        out[..., :, :width] = 0
        out[..., :, -width:] = 0
    return out


def pick_per_row(x, index):
    if index.dtype.is_floating_point or index.dtype is torch.bool:
        raise TypeError(str(index.dtype))
    if tuple(index.shape) != tuple(x.shape)[:-1]:
        raise ValueError(str(index.shape))
    flat, columns = x.reshape(-1, x.shape[-1]), index.reshape(-1).to(torch.int64)
    if columns.min() < 0 or columns.max() >= x.shape[-1]:
        raise IndexError(f"{columns.min()} to {columns.max()}")
    return flat[torch.arange(len(flat), device=x.device), columns].reshape(index.shape)


def last_valid(x, lengths):
    if lengths.dim() != 1 or len(lengths) != len(x):
        raise ValueError(str(lengths.shape))
    if lengths.min() < 1 or lengths.max() > x.size(1):
        raise ValueError(str(lengths))
    return torch.stack(
        [
            sequence[length - 1]
            for sequence, length in zip(x, lengths.tolist(), strict=True)
        ]
    )


def filter_rows(x, mask):
    if mask.dtype is not torch.bool:
        raise TypeError("bool only")
    if mask.dim() != 1 or len(mask) != len(x):
        raise ValueError("one entry a row")
    (numbers,) = torch.where(mask)
    return x[numbers], numbers
