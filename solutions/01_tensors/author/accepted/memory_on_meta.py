# memory_by_dtype asks a tensor on the "meta" device, which has a shape and a dtype but
# no memory.


def memory_by_dtype(shape, dtypes):
    if len(shape) and min(shape) < 0:
        raise ValueError(f"{shape} has a negative size")
    return {
        dtype: torch.empty(tuple(shape), dtype=dtype, device="meta").nbytes
        for dtype in dtypes
    }


def describe(x):
    number = None
    if x.numel() == 1:
        number = x.detach().flatten().tolist()[0]
    size = x.dtype.itemsize
    return dict(
        value=number,
        storage_nbytes=x.untyped_storage().size(),
        is_contiguous=x.is_contiguous(),
        nbytes=math.prod(x.size()) * size,
        element_size=size,
        device=x.device,
        dtype=x.dtype,
        numel=math.prod(x.size()),
        shape=tuple(int(n) for n in x.size()),
        ndim=x.dim(),
    )
