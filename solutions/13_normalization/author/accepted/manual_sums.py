"""Sums and counts written out, `keepdim` statistics, buffers updated in place by hand;
images seen as sequences.
"""


class BatchNorm1d(nn.Module):
    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
    ):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = nn.Parameter(torch.ones(num_features))
            self.bias = nn.Parameter(torch.zeros(num_features))
        else:
            self.weight = self.bias = None
        if track_running_stats:
            self.register_buffer("running_mean", torch.zeros(num_features))
            self.register_buffer("running_var", torch.ones(num_features))
            self.register_buffer(
                "num_batches_tracked", torch.tensor(0, dtype=torch.int64)
            )
        else:
            self.running_mean = self.running_var = self.num_batches_tracked = None

    def forward(self, x):
        if x.dim() not in (2, 3) or x.shape[1] != self.num_features:
            raise ValueError(f"x has shape {x.shape}")
        return self.normalise(x.unsqueeze(-1) if x.dim() == 2 else x).reshape(x.shape)

    def normalise(self, x):
        N, C, L = x.shape
        if self.training or not self.track_running_stats:
            n = N * L
            if n < 2:
                raise ValueError(
                    f"too few values in x: {(N, C) if L == 1 else (N, C, L)} "
                    f"{(N, C, L)}"
                )
            mean = x.sum(dim=(0, 2), keepdim=True) / n
            var = ((x - mean) ** 2).sum(dim=(0, 2), keepdim=True) / n
            if self.training and self.track_running_stats:
                self.num_batches_tracked.add_(1)
                m = (
                    1 / self.num_batches_tracked
                    if self.momentum is None
                    else self.momentum
                )
                self.running_mean.mul_(1 - m).add_(m * mean.detach().flatten())
                self.running_var.mul_(1 - m).add_(
                    m * (var * n / (n - 1)).detach().flatten()
                )
        else:
            mean = self.running_mean[None, :, None]
            var = self.running_var[None, :, None]
        y = (x - mean) * (var + self.eps) ** -0.5
        return y * self.weight[:, None] + self.bias[:, None] if self.affine else y


class BatchNorm2d(BatchNorm1d):
    def forward(self, x):
        if x.dim() != 4 or x.shape[1] != self.num_features:
            raise ValueError(f"x has shape {x.shape}")
        if (self.training or not self.track_running_stats) and x.numel() == x.shape[1]:
            raise ValueError(f"one value a channel in {x.shape}")
        return self.normalise(x.flatten(2)).reshape(x.shape)
