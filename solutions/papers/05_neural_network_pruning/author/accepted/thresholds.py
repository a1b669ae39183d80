"""Weights priced one by one, drawn with torch.normal of zeros; thresholds by kthvalue
and topk; a net in nn.Sequential's manner; the state loaded with the masks put in.
"""


def kl_bits(mean, log_var, prior_std=0.3):
    ratio = log_var - 2 * math.log(prior_std)  # the log of the variances' ratio
    bits = (
        (torch.exp(ratio) - 1 - ratio + (mean / prior_std) ** 2)
        * 0.5
        * math.log2(math.e)
    )
    return torch.sum(bits)


class NoisyLinear(nn.Linear):
    def __init__(self, in_features, out_features):
        super().__init__(in_features, out_features)
        self.log_var = nn.Parameter(torch.ones(out_features, in_features) * -6.0)

    def forward(self, x):
        std = (
            torch.exp(self.log_var / 2)
            if self.training
            else torch.zeros_like(self.weight)
        )
        noise = torch.normal(torch.zeros_like(self.weight), 1.0)
        return F.linear(x, self.weight + std * noise, self.bias)


def magnitude_mask(weight, sparsity):
    if sparsity < 0 or sparsity > 1:
        raise ValueError("sparsity must be between 0 and 1")
    flat = weight.detach().abs().reshape(-1)
    k = round(sparsity * flat.numel())
    if k == 0:
        return torch.ones_like(weight, dtype=torch.bool)
    threshold = flat.kthvalue(k).values
    keep = flat > threshold
    ties = (flat == threshold).nonzero().flatten()
    keep[ties[k - int((flat < threshold).sum()) :]] = True
    return keep.view(weight.shape)


def prune_mask_numpy(weight, sparsity):
    order = sorted(range(weight.size), key=lambda place: abs(weight.reshape(-1)[place]))
    keep = np.isin(
        np.arange(weight.size), order[: round(sparsity * weight.size)], invert=True
    )
    return keep.reshape(weight.shape)


class MaskedLinear(nn.Linear):
    mask: Tensor

    def __init__(self, in_features, out_features):
        super().__init__(in_features, out_features)
        self.register_buffer("mask", torch.full((out_features, in_features), True))

    def forward(self, x):
        return x @ self.weight.masked_fill(~self.mask, 0.0).T + self.bias


class MaskedMLP(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.layers = nn.ModuleList()
        for i in range(1, len(sizes)):
            self.layers.append(MaskedLinear(sizes[i - 1], sizes[i]))

    def forward(self, x):
        x = torch.flatten(x, start_dim=1)
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i < len(self.layers) - 1:
                x = x.clamp(min=0)
        return x


def global_prune(model, sparsity):
    masked = [module for module in model.modules() if isinstance(module, MaskedLinear)]
    flat = torch.cat([m.weight.detach().abs().flatten() for m in masked])
    alive = torch.cat([m.mask.flatten() for m in masked])
    if not 0 <= sparsity <= 1:
        raise ValueError(f"no sparsity: {sparsity}")
    more = round(sparsity * len(flat)) - int((~alive).sum())
    if more > 0:
        flat = torch.where(alive, flat, torch.inf)
        alive[torch.topk(flat, more, largest=False).indices] = False
    for m in masked:
        m.mask, alive = (
            alive[: m.mask.numel()].reshape(m.mask.shape).clone(),
            alive[m.mask.numel() :],
        )
    return float(sum(m.mask.logical_not().sum() for m in masked)) / len(flat)


def rewind(model, init_state):
    model.load_state_dict({**init_state, **dict(model.named_buffers())})
