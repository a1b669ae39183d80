"""The diagonal as a view, windows by `unfold` and `clone`, the inside copied into
zeros, elements picked by index tensors.
"""


def every_other_row(x, start=0):
    if start != 0 and start != 1:
        raise ValueError(f"{start}")
    if not x.shape:
        raise ValueError("0-dim")
    return x[start : x.shape[0] : 2, ...]


def diagonal(x):
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"{tuple(x.shape)}")
    return torch.einsum("...ii->...i", x)


def sliding_windows(x, size, step=1):
    if x.ndim == 0:
        raise ValueError("0-dim")
    if size < 1 or size > len(x):
        raise ValueError(f"size {size}")
    if step < 1:
        raise ValueError(f"step {step}")
    windows = x.unfold(0, size, step)
    return windows.permute(0, windows.ndim - 1, *range(1, windows.ndim - 1)).clone()


def crop(image, top, left, height, width):
    if min(top, left) < 0 or min(height, width) < 1:
        raise ValueError("corner or size")
    box = image[..., top : top + height, left : left + width]
    if box.shape[-2:] != (height, width):
        raise ValueError("past an edge")
    return box


def zero_border(image, width=1):
    if width < 0:
        raise ValueError(f"{width}")
    H, W = image.shape[-2:]
    out = torch.zeros_like(image)
    if 2 * width < min(H, W):
        out[..., width : H - width, width : W - width] = image[
            ..., width : H - width, width : W - width
        ]
    return out


def pick_per_row(x, index):
    if torch.is_floating_point(index) or index.dtype == torch.bool:
        raise TypeError(f"{index.dtype}")
    if index.shape != x.shape[:-1]:
        raise ValueError(f"{tuple(index.shape)}")
    if any(not 0 <= i < x.shape[-1] for i in index.flatten().tolist()):
        raise IndexError("outside")
    places = torch.meshgrid(
        *(torch.arange(n, device=x.device) for n in index.shape), indexing="ij"
    )
    return x[(*places, index.long())]


def last_valid(x, lengths):
    if lengths.shape != x.shape[:1]:
        raise ValueError(f"{tuple(lengths.shape)}")
    if (lengths < 1).any() or (lengths > x.shape[1]).any():
        raise ValueError(f"{lengths.tolist()}")
    return x[torch.arange(x.shape[1], device=x.device) == (lengths - 1).unsqueeze(1)]


def filter_rows(x, mask):
    if mask.dtype != torch.bool:
        raise TypeError(f"{mask.dtype}")
    if mask.shape != x.shape[:1]:
        raise ValueError(f"{tuple(mask.shape)}")
    return x[mask], torch.nonzero(mask, as_tuple=True)[0]
