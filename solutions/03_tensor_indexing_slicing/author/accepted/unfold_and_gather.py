"""`unfold` put in order, `take_along_dim`, `gather` for the last step, a frame mask and
`masked_fill`, rows by `index_select`.
"""


def first_rows(x, n):
    return x[torch.arange(n)]


def last_column(x):
    return x[..., -1]


def diagonal(x):
    if x.ndim < 2 or x.size(-1) != x.size(-2):
        raise ValueError(f"{tuple(x.shape)}")
    i = torch.arange(x.size(-1), device=x.device).unsqueeze(-1)
    return x.gather(-1, i.expand(*x.shape[:-1], 1)).squeeze(-1)


def sliding_windows(x, size, step=1):
    if x.ndim == 0 or min(size, step) < 1 or size > x.shape[0]:
        raise ValueError("no such windows")
    return x.unfold(0, size, step).movedim(-1, 1).contiguous()


def zero_border(image, width=1):
    if width < 0:
        raise ValueError(f"a border of {width}")
    H, W = image.shape[-2:]
    r = torch.arange(H, device=image.device).unsqueeze(1)
    c = torch.arange(W, device=image.device)
    frame = (r < width) | (r >= H - width) | (c < width) | (c >= W - width)
    return image.masked_fill(frame, 0)


def pick_per_row(x, index):
    if index.dtype not in (
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.uint8,
    ):
        raise TypeError(f"{index.dtype}")
    if index.shape != x.shape[:-1]:
        raise ValueError(f"{index.shape} for {x.shape}")
    picked = index.to(torch.long).unsqueeze(-1)
    if not ((picked >= 0) & (picked < x.shape[-1])).all():
        raise IndexError("outside")
    return torch.take_along_dim(x, picked, dim=-1).squeeze(-1)


def last_valid(x, lengths):
    if lengths.shape != (x.shape[0],):
        raise ValueError(f"{lengths.shape}")
    if not ((lengths >= 1) & (lengths <= x.shape[1])).all():
        raise ValueError(f"{lengths}")
    steps = (lengths - 1).reshape(-1, *[1] * (x.ndim - 1)).expand(-1, 1, *x.shape[2:])
    return x.gather(1, steps).squeeze(1)


def filter_rows(x, mask):
    if mask.dtype != torch.bool:
        raise TypeError(f"{mask.dtype}")
    if mask.shape != (x.shape[0],):
        raise ValueError(f"{mask.shape}")
    numbers = torch.arange(len(mask), device=mask.device)[mask]
    return x.index_select(0, numbers), numbers
