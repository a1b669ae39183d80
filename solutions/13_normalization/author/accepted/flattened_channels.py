"""Batch norm on a (C, M) matrix with `torch.var_mean`; scale and shift in one
multiply-add; buffers replaced.
"""


class _Flattened(nn.Module):
    dims: tuple[int, ...] = ()

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
    ):
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.register_parameter(
            "weight", nn.Parameter(torch.ones(num_features)) if affine else None
        )
        self.register_parameter(
            "bias", nn.Parameter(torch.zeros(num_features)) if affine else None
        )
        start = (
            torch.zeros(num_features),
            torch.ones(num_features),
            torch.zeros((), dtype=torch.long),
        )
        for name, value in zip(
            ("running_mean", "running_var", "num_batches_tracked"), start
        ):
            self.register_buffer(name, value if track_running_stats else None)

    def forward(self, x):
        if x.dim() not in self.dims or x.size(1) != self.num_features:
            raise ValueError(f"cannot normalise {list(x.shape)}")
        if self.training or self.running_mean is None:
            flat = x.transpose(0, 1).flatten(1)
            n = flat.size(1)
            if n <= 1:
                raise ValueError(
                    "expected more than one value per channel, got input size "
                    f"{x.shape}"
                )
            var, mean = torch.var_mean(flat, dim=1, unbiased=False)
            if self.running_mean is not None:
                with torch.no_grad():
                    self.num_batches_tracked = self.num_batches_tracked + 1
                    m = (
                        self.momentum
                        if self.momentum is not None
                        else 1.0 / float(self.num_batches_tracked)
                    )
                    self.running_mean = (1 - m) * self.running_mean + m * mean
                    self.running_var = (1 - m) * self.running_var + m * var * n / (
                        n - 1
                    )
        else:
            mean, var = self.running_mean, self.running_var
        scale = (var + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        shape = [1, -1] + [1] * (x.dim() - 2)
        return x * scale.reshape(shape) + shift.reshape(shape)


class BatchNorm1d(_Flattened):
    dims = (2, 3)


class BatchNorm2d(_Flattened):
    dims = (4,)
