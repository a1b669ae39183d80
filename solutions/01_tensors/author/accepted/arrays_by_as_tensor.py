# from_array and to_array by torch.as_tensor, torch.tensor, np.array and a clone.


def from_array(array, *, copy=False):
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_array takes a numpy array and got a {type(array)}")
    if copy:
        return torch.tensor(np.ascontiguousarray(array), requires_grad=False)
    if not array.flags["WRITEABLE"] or any(stride < 0 for stride in array.strides):
        raise ValueError("cannot share this array")
    return torch.as_tensor(array)


def to_array(x):
    with torch.no_grad():
        copy = x.clone().detach().cpu()
    return (copy.to(torch.float32) if copy.dtype is torch.bfloat16 else copy).numpy()
