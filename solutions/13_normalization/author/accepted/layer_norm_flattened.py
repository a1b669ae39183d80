"""Layer norm on rows of one flattened dim, under float32 for half precision only; group
ids by counting.
"""


class LayerNorm(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True):
        super().__init__()
        self.normalized_shape = (
            tuple(normalized_shape)
            if hasattr(normalized_shape, "__len__")
            else (normalized_shape,)
        )
        self.eps = eps
        if elementwise_affine:
            self.weight = nn.Parameter(torch.ones(*self.normalized_shape))
        else:
            self.register_parameter("weight", None)
        if elementwise_affine and bias:
            self.bias = nn.Parameter(torch.zeros(*self.normalized_shape))
        else:
            self.register_parameter("bias", None)

    def forward(self, x):
        k = len(self.normalized_shape)
        if x.dim() < k or tuple(x.shape[x.dim() - k :]) != self.normalized_shape:
            raise ValueError(
                f"{tuple(x.shape)} does not end in {self.normalized_shape}"
            )
        rows = x.flatten(-k)
        if x.dtype in (torch.float16, torch.bfloat16):
            rows = rows.float()
        rows = rows - rows.mean(-1, keepdim=True)
        rows = rows / (rows.square().mean(-1, keepdim=True) + self.eps).sqrt()
        y = rows.reshape(x.shape).to(x.dtype)
        if self.weight is not None:
            y = y * self.weight.to(x.dtype)
        return y if self.bias is None else y + self.bias.to(x.dtype)


def normalization_groups(shape, kind, normalized_dims=1):
    shape, ndim = list(shape), len(shape)
    if kind not in ("batch", "layer", "instance"):
        raise ValueError(kind)
    if kind != "layer" and ndim < {"batch": 2, "instance": 3}[kind]:
        raise ValueError(f"{shape} has too few dims")
    if kind == "layer" and (normalized_dims < 1 or normalized_dims > ndim):
        raise ValueError(f"normalized_dims={normalized_dims}")
    key = {
        "batch": lambda i: i[1],
        "layer": lambda i: i[: ndim - normalized_dims],
        "instance": lambda i: i[:2],
    }[kind]
    ids, seen = torch.empty(shape, dtype=torch.long), {}
    for index in (
        torch.cartesian_prod(*map(torch.arange, shape)).reshape(-1, ndim).tolist()
    ):
        index = tuple(index)
        ids[index] = seen.setdefault(key(index), len(seen))
    return ids
