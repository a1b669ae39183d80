"""Normal distributions of torch.distributions; batches from shuffled epochs; random
places by sorting noise; log2 C with lgamma; weights multiplied by 0 and 1.
"""


def kl_bits(mean, log_var, prior_std=0.3):
    posterior = torch.distributions.Normal(
        mean.double(), torch.exp(log_var.double() / 2)
    )
    nats = torch.distributions.kl_divergence(
        posterior, torch.distributions.Normal(0.0 * mean.double(), prior_std)
    )
    return (nats.sum() / np.log(2)).to(mean.dtype)


class NoisyLinear(nn.Linear):
    def __init__(self, in_features, out_features):
        super().__init__(in_features, out_features)
        self.register_parameter(
            "log_var", nn.Parameter(torch.zeros_like(self.weight) - 6)
        )

    def forward(self, x):
        if self.training:
            weight = torch.distributions.Normal(
                self.weight, torch.exp(0.5 * self.log_var)
            ).rsample()
        else:
            weight = self.weight
        return x @ weight.T + self.bias


def train_noisy(model, x, y, *, steps=400, lr=0.03, price=1.0, prior_std=0.3):
    model.train()
    optimizer = torch.optim.Adam(list(model.parameters()), lr=lr)
    lengths = []
    for _ in range(steps):
        optimizer.zero_grad()
        log2_chances = model(x).log_softmax(dim=-1) / math.log(2)
        weights = torch.zeros(())
        for module in model.modules():
            if hasattr(module, "log_var"):
                weights = weights + kl_bits(module.weight, module.log_var, prior_std)
        length = price * weights - log2_chances.gather(1, y[:, None]).sum()
        (length / len(x)).backward()  # the scale of a loss makes no difference to Adam
        optimizer.step()
        lengths.append(float(length))
    return lengths


class MaskedLinear(nn.Linear):
    def __init__(self, in_features, out_features):
        nn.Linear.__init__(self, in_features, out_features)
        self.register_buffer("mask", self.weight.detach() == self.weight.detach())

    def forward(self, x):
        return F.linear(x, self.weight * self.mask.to(self.weight.dtype), self.bias)


def rewind(model, init_state):
    for i, layer in enumerate(model.layers):
        layer.weight.data.copy_(init_state[f"layers.{i}.weight"])
        layer.bias.data.copy_(init_state[f"layers.{i}.bias"])


@torch.no_grad()
def randomize_masks(model, generator=None):
    for layer in model.layers:
        kept = int(layer.mask.sum())
        noise = torch.rand(layer.mask.numel(), generator=generator).to(
            layer.mask.device
        )
        chosen = noise.argsort()[:kept]
        layer.mask.zero_()
        layer.mask.view(-1)[chosen] = True


def train_classifier(model, x, y, *, steps=200, batch=64, lr=0.005, generator=None):
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr)
    criterion = nn.CrossEntropyLoss()
    optimizer.zero_grad(set_to_none=True)
    order, losses = torch.empty(0, dtype=torch.int64), []
    while len(losses) < steps:
        if len(order) < batch:
            order = torch.randperm(len(x), generator=generator)
        rows, order = order[:batch], order[batch:]
        loss = criterion(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss))
    return losses


def description_length(model, bits_per_weight=32):
    def log2_factorial(n):
        return math.lgamma(n + 1) / math.log(2)

    total = 0.0
    for layer in model.layers:
        n, kept = layer.mask.numel(), layer.mask.sum().item()
        total += log2_factorial(n) - log2_factorial(kept) - log2_factorial(n - kept)
        total += bits_per_weight * (kept + len(layer.bias))
    return total
