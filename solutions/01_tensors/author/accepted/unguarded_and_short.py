"""Code that many write first: NumPy for the product, the whole frame through one float
array, no check at all.
"""
# leaves open: test_the_shape_without_dimensions_is_one_element,
# test_a_negative_size_is_refused, test_shape_is_a_plain_tuple,
# test_int64_keeps_every_digit, test_float64_keeps_every_digit,
# test_a_column_that_is_not_numeric_is_named, test_only_two_dimensions_are_a_table,
# test_bfloat16_is_converted, test_neither_writes_into_the_other,
# test_a_namedtuple_keeps_its_class


def memory_by_dtype(shape, dtypes):
    return {dtype: np.prod(shape) * dtype.itemsize for dtype in dtypes}


def describe(x):
    return {
        "ndim": x.dim(),
        "shape": x.shape,
        "numel": x.numel(),
        "dtype": x.dtype,
        "device": x.device,
        "element_size": x.dtype.itemsize,
        "nbytes": x.nbytes,
        "storage_nbytes": x.untyped_storage().nbytes(),
        "is_contiguous": x.is_contiguous(),
        "value": x.item() if x.numel() == 1 else None,
    }


def dataframe_to_tensor(df, *, dtype=torch.float32):
    return torch.tensor(df.to_numpy(dtype="float32"), dtype=dtype), df.columns.tolist()


def tensor_to_dataframe(x, columns, *, index=None):
    return pd.DataFrame(x.detach().numpy(), columns=columns, index=index)


def to_device(batch, device=None):
    if device is None:
        device = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    if torch.is_tensor(batch):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list):
        return [to_device(value, device) for value in batch]
    if isinstance(batch, tuple):
        return tuple(to_device(value, device) for value in batch)
    return batch
