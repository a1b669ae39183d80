# memory_by_dtype counts with a loop and asks an empty tensor for the bytes of one element.


def memory_by_dtype(shape, dtypes):
    count = 1
    for size in shape:
        if size < 0:
            raise ValueError("negative size")
        count *= size
    result = {}
    for dtype in dtypes:
        result[dtype] = count * torch.empty(0, dtype=dtype).element_size()
    return result
