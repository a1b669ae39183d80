# Frames by way of Python lists: slow, but every number survives.


def dataframe_to_tensor(df, *, dtype=torch.float32):
    names = df.columns.tolist()
    for name in names:
        if df[name].dtype.kind not in "biuf":
            raise TypeError(f"not numeric: {name}")
    columns = [torch.tensor(df[name].tolist(), dtype=dtype) for name in names]
    return torch.stack(columns, dim=-1), names


def tensor_to_dataframe(x, columns, *, index=None):
    if x.dim() != 2 or x.size(1) != len(columns):
        raise ValueError(f"{tuple(x.shape)} does not fit {len(columns)} names")
    return pd.DataFrame(x.tolist(), columns=columns, index=index)
