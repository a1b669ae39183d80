# count_to, filled, to_float and column_to_tensor from a range, from ones, by other
# conversions, and from the Series itself.


def count_to(n):
    return torch.tensor(range(n))


def filled(rows, cols, value):
    return torch.ones(rows, cols) * value


def to_float(x):
    return x.to(dtype=torch.float32)


def column_to_tensor(df, name):
    return torch.tensor(df[name], dtype=torch.float32)
