# matmul_shape by asking torch about tensors without memory; cosine with squares bounded
# under the root.


def matmul_shape(a_shape, b_shape):
    a, b = (torch.empty(tuple(shape), device="meta") for shape in (a_shape, b_shape))
    try:
        return torch.matmul(a, b).shape
    except RuntimeError as error:
        raise ValueError(f"{tuple(a_shape)} x {tuple(b_shape)}: {error}") from error


def cosine_similarity(a, b, dim=-1, eps=1e-8):
    a, b = torch.broadcast_tensors(a, b)
    norms = []
    for v in (a, b):
        squares = (v * v).sum(dim)
        norms.append(
            torch.where(
                squares > eps**2, squares, torch.full_like(squares, eps**2)
            ).sqrt()
        )
    return (a / norms[0].unsqueeze(dim) * b).sum(dim) / norms[1]
