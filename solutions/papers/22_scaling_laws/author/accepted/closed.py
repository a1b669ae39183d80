"""Sums instead of a solver, a floor refined beyond the grid, rates by hand, all batches
drawn at once, and pinv.
"""


def fit_power_law(sizes, losses):
    if len(sizes) < 2 or min(*sizes, *losses) <= 0:
        raise ValueError("two positive points are needed")
    pairs = [(math.log(n), math.log(loss)) for n, loss in zip(sizes, losses)]
    count = len(pairs)
    sx, sy = (sum(column) for column in zip(*pairs))
    sxx, sxy = sum(x * x for x, _ in pairs), sum(x * y for x, y in pairs)
    slope = (count * sxy - sx * sy) / (count * sxx - sx * sx)
    return math.exp((sy - slope * sx) / count), -slope


def fit_power_law_numpy(sizes, losses):
    x, y = np.log(sizes), np.log(losses)
    slope = np.cov(x, y, bias=True)[0, 1] / np.var(x)
    return np.exp(y.mean() - slope * x.mean()), -slope


def fit_saturating(sizes, losses, num_grid=2000):
    def tried(c):
        a, alpha = fit_power_law(sizes, [loss - c for loss in losses])
        gaps = [
            math.log(loss) - math.log(a * n ** (-alpha) + c)
            for n, loss in zip(sizes, losses)
        ]
        return sum(gap * gap for gap in gaps), a, alpha, c

    step = min(losses) / num_grid
    best = min(tried(k * step) for k in range(num_grid))
    low, high = max(best[3] - step, 0.0), min(best[3] + step, min(losses) * (1 - 1e-9))
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if tried(left)[0] < tried(right)[0]:
            high = right
        else:
            low = left
    return min(best, tried((low + high) / 2))[1:]


class FeatureModel(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        self.n = num_features
        self.linear = nn.Linear(self.n, 1, bias=False)

    def forward(self, x):
        return (x.narrow(1, 0, self.n) * self.linear.weight).sum(dim=1)


def train_size(
    size,
    *,
    steps=300,
    batch_size=128,
    lr=0.1,
    exponent=0.8,
    num_features=256,
    generator=None,
):
    model = FeatureModel(size)
    weight = model.linear.weight
    torch.nn.init.constant_(weight, 0.0)
    x, y = make_power_law_data(steps * batch_size, num_features, exponent, generator)
    test = make_power_law_data(4000, num_features, exponent, generator)
    for k, (rows, targets) in enumerate(zip(x.split(batch_size), y.split(batch_size))):
        (gradient,) = torch.autograd.grad((model(rows) - targets).pow(2).mean(), weight)
        with torch.no_grad():
            weight -= lr * (steps - k) / steps * gradient
    return float((model(test[0]) - test[1]).square().mean())


def compute_optimal(compute, a, alpha, b, beta):
    balance = (b * beta) / (a * alpha)
    log_d = (math.log(balance) + alpha * math.log(compute / 6)) / (alpha + beta)
    return compute / 6 / math.exp(log_d), math.exp(log_d)


def data_limited_loss(
    num_samples, size=8, *, exponent=0.8, num_features=256, repeats=8, generator=None
):
    assert num_samples >= size
    draws = [
        make_power_law_data(num_samples, num_features, exponent, generator)
        for _ in range(repeats)
    ]
    losses = []
    for x, y in draws:
        weights = torch.linalg.pinv(x[:, :size]) @ y
        other, targets = make_power_law_data(4000, num_features, exponent, generator)
        losses.append((other[:, :size] @ weights - targets).square().mean())
    return torch.stack(losses).mean().item()
