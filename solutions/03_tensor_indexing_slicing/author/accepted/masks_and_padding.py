"""The diagonal by a bool mask, windows by repeated `index_select`, an inside padded
with zeros, rows unbound and stacked.
"""


def diagonal(x):
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"{tuple(x.shape)}")
    return x[..., torch.eye(x.shape[-1], dtype=torch.bool, device=x.device)]


def sliding_windows(x, size, step=1):
    if x.ndim == 0 or size < 1 or step < 1 or len(x) < size:
        raise ValueError("no such windows")
    rows = torch.tensor(
        [list(range(t, t + size)) for t in range(0, len(x) - size + 1, step)]
    )
    return x.index_select(0, rows.flatten().to(x.device)).unflatten(0, rows.shape)


def zero_border(image, width=1):
    if width < 0:
        raise ValueError(f"{width}")
    H, W = image.shape[-2:]
    if 2 * width >= min(H, W):
        return torch.zeros_like(image)
    inside = image[..., width : H - width, width : W - width].clone()
    return torch.nn.functional.pad(inside, (width, width, width, width))


def pick_per_row(x, index):
    if index.is_floating_point() or index.dtype == torch.bool:
        raise TypeError(f"{index.dtype}")
    if index.shape != x.shape[:-1]:
        raise ValueError(f"{tuple(index.shape)}")
    wide = index.to(torch.int64)
    if wide.lt(0).any() or wide.ge(x.size(-1)).any():
        raise IndexError("outside")
    return x[torch.arange(x.size(-1), device=x.device) == wide.unsqueeze(-1)].reshape(
        index.shape
    )


def filter_rows(x, mask):
    if mask.dtype != torch.bool:
        raise TypeError(f"{mask.dtype}")
    if mask.shape != x.shape[:1]:
        raise ValueError(f"{tuple(mask.shape)}")
    numbers = torch.tensor(
        [r for r, kept in enumerate(mask.tolist()) if kept],
        dtype=torch.int64,
        device=x.device,
    )
    kept = [row for row, keep in zip(x.unbind(0), mask.tolist(), strict=True) if keep]
    return (torch.stack(kept) if kept else x[:0].clone()), numbers
