# dataframe_to_tensor lets pandas convert the whole frame to a NumPy dtype chosen from
# the one asked for; tensor_to_dataframe builds column by column.


def dataframe_to_tensor(df, *, dtype=torch.float32):
    for name in df:
        if not (
            pd.api.types.is_numeric_dtype(df[name])
            or pd.api.types.is_bool_dtype(df[name])
        ):
            raise TypeError(f"column {name} holds {df[name].dtype}")
    if dtype.is_floating_point:
        wide = "float64"
    else:
        wide = "int64"
    return torch.tensor(df.to_numpy(dtype=wide), dtype=dtype), [
        str(name) for name in df
    ]


def tensor_to_dataframe(x, columns, *, index=None):
    if len(x.shape) != 2:
        raise ValueError("two dimensions, please")
    rows, width = x.shape
    if len(columns) != width:
        raise ValueError(f"{width} columns, {len(columns)} names")
    x = x.detach().cpu()
    if x.dtype == torch.bfloat16:
        x = x.to(torch.float64)
    table = {name: x[:, number].clone().numpy() for number, name in enumerate(columns)}
    return pd.DataFrame(table, index=range(rows) if index is None else index)
