"""Everything made in creation_patterns: counted by broadcasting, filled in place, the
random tensors first and in the other order.
"""


def creation_patterns(rows, cols, *, dtype=torch.float32, device="cpu", generator=None):
    if dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise TypeError(dtype)
    if min(rows, cols) <= 0:
        raise ValueError((rows, cols))
    r = torch.arange(rows, dtype=dtype, device=device)
    c = torch.arange(cols, dtype=dtype, device=device)
    normal = torch.empty(rows, cols, dtype=dtype, device=device).normal_(
        generator=generator
    )
    uniform = torch.empty(rows, cols, dtype=dtype, device=device).uniform_(
        generator=generator
    )
    matrix = r[:, None] * cols + c
    return {
        "normal": normal,
        "uniform": uniform,
        "scalar": torch.full((), 7.0, dtype=dtype, device=device),
        "vector": 2 * c,
        "matrix": matrix,
        "cube": torch.stack([matrix, matrix + rows * cols]),
        "zeros": matrix * 0,
        "ones": torch.ones_like(matrix),
        "eye": (r[:, None] == r).to(dtype),
        "linspace": c / max(cols - 1, 1),
        "indices": c.long(),
    }


def counting_patterns(rows, cols, dtype=torch.float32, device="cpu"):
    patterns = creation_patterns(rows, cols, dtype=dtype, device=device)
    return {
        key: patterns[key]
        for key in ("vector", "matrix", "cube", "linspace", "indices")
    }


def random_patterns(rows, cols, dtype=torch.float32, device="cpu", generator=None):
    patterns = creation_patterns(
        rows, cols, dtype=dtype, device=device, generator=generator
    )
    return {key: patterns[key] for key in ("uniform", "normal")}
