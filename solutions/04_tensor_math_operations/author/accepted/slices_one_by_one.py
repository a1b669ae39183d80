# standardize by a loop over the slices, in float64 inside; matmul and distances
# by rows.


def standardize(x, dim=None):
    wanted = x.dtype if x.is_floating_point() else torch.float32
    dims = range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    dims = sorted(d % x.ndim for d in dims)
    kept = [d for d in range(x.ndim) if d not in dims]
    lines = x.double().permute(*kept, *dims)
    inner = lines.shape[len(kept) :]
    rows = []
    for row in lines.reshape(-1, inner.numel()):
        if (row == row[0]).all():
            rows.append(row * 0.0)
        else:
            rows.append((row - row.mean()) / row.std(correction=0))
    back = torch.stack(rows).reshape(lines.shape)
    order = [(*kept, *dims).index(d) for d in range(x.ndim)]
    return back.permute(order).to(wanted)


def matmul(a, b):
    if not (a.dim() == b.dim() == 2) or a.size(1) != b.size(0):
        raise ValueError(f"{a.shape} {b.shape}")
    return torch.stack(
        [torch.stack([torch.dot(row, column) for column in b.unbind(1)]) for row in a]
    )


def pairwise_distances(a, b):
    if a.dim() != 2 or b.dim() != 2 or a.size(1) != b.size(1):
        raise ValueError("not two sets of points")
    rows = [torch.norm(point - b, dim=1) for point in a]
    return torch.stack(rows)
