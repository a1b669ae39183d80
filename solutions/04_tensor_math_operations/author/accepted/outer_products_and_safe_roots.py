# matmul as a sum of outer products; roots made safe with torch.where; cosine of vectors
# brought to length 1 first.


def matmul(a, b):
    if [a.dim(), b.dim()] != [2, 2] or a.shape[-1] != b.shape[-2]:
        raise ValueError("inner sizes")
    result = torch.zeros(a.shape[0], b.shape[1], dtype=a.dtype, device=a.device)
    for column, row in zip(a.T, b, strict=True):
        result = result + column[:, None] * row
    return result


def safe_root(squares):
    zero = squares == 0
    return torch.where(
        zero,
        torch.zeros_like(squares),
        torch.where(zero, torch.ones_like(squares), squares).sqrt(),
    )


def pairwise_distances(a, b):
    if a.ndim != 2 or b.ndim != 2 or a.shape[-1] != b.shape[-1]:
        raise ValueError(f"{a.shape} and {b.shape}")
    return safe_root(
        sum(
            (
                torch.zeros(len(a), len(b), dtype=a.dtype),
                *(
                    (p[:, None] - q) ** 2
                    for p, q in zip(a.unbind(1), b.unbind(1), strict=True)
                ),
            )
        )
    )


def cosine_similarity(a, b, dim=-1, eps=1e-8):
    shape = torch.broadcast_shapes(a.shape, b.shape)
    a, b = a.expand(shape), b.expand(shape)
    a, b = (
        v / safe_root((v * v).sum(dim, keepdim=True)).clamp_min(eps) for v in (a, b)
    )
    return torch.sum(a * b, dim=dim)
