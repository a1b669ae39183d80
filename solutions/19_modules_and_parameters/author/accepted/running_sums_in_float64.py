"""Statistics by way of running sums in float64, assigned to the buffers anew; a matrix
product in forward.
"""


class StandardizedLinear(nn.Module):
    def __init__(self, in_features, out_features, bias=True, eps=1e-5, generator=None):
        super().__init__()
        self.in_features, self.out_features, self.eps = in_features, out_features, eps
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(in_features))
        self.register_buffer("var", torch.ones(in_features))
        limit = in_features**-0.5
        draws = (
            torch.rand(out_features, in_features + 1, generator=generator) * 2 * limit
            - limit
        )
        self.bias = nn.Parameter(draws[:, -1].clone()) if bias else None
        self.weight = nn.Parameter(draws[:, :-1].clone())

    def forward(self, x):
        if x.size(-1) != self.in_features:
            raise ValueError(f"expected {self.in_features} features, got {x.size(-1)}")
        if self.training:
            with torch.no_grad():
                rows = (
                    x.flatten(0, -2).double() if x.ndim > 1 else x.double().unsqueeze(0)
                )
                count = self.count + rows.shape[0]
                if count > 0:
                    sums = self.mean.double() * self.count + rows.sum(dim=0)
                    squares = (
                        self.var.double() + self.mean.double() ** 2
                    ) * self.count + (rows**2).sum(dim=0)
                    mean = sums / count
                    if rows.shape[0]:
                        self.var = (
                            (squares / count - mean**2).clamp(min=0).to(self.var.dtype)
                        )
                        self.mean = mean.to(self.mean.dtype)
                self.count = count
        out = ((x - self.mean) * (self.var + self.eps).rsqrt()) @ self.weight.T
        return out if self.bias is None else out + self.bias
