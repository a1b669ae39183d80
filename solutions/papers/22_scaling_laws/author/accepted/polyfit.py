"""NumPy for the line, a schedule of PyTorch's own, the test drawn first, and the
normal equations.
"""


def fit_power_law(sizes, losses):
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    assert x.size > 1 and np.all(x > 0) and np.all(y > 0)
    slope, intercept = np.polyfit(np.log10(x), np.log10(y), deg=1)
    return 10**intercept, -slope


def fit_power_law_numpy(sizes, losses):
    design = np.column_stack([np.ones(len(sizes)), -np.log(sizes)])
    (log_a, alpha), *_ = np.linalg.lstsq(design, np.log(losses), rcond=None)
    return math.e**log_a, alpha


def fit_saturating(sizes, losses, num_grid=2000):
    floors = np.linspace(0, min(losses), num_grid, endpoint=False)
    fits = [fit_power_law(sizes, np.array(losses) - c) for c in floors]
    a, alpha = np.array(fits).T[:, :, None]
    errors = (
        np.log(losses)
        - np.log(a * np.array(sizes, dtype=float) ** -alpha + floors[:, None])
    ) ** 2
    best = errors.sum(axis=1).argmin()
    return float(fits[best][0]), float(fits[best][1]), float(floors[best])


class FeatureModel(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        self.linear = nn.Linear(in_features=num_features, out_features=1, bias=False)

    def forward(self, x):
        return torch.einsum(
            "bi,i->b", x[:, : self.linear.weight.shape[1]], self.linear.weight[0]
        )


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
    draw = {"num_features": num_features, "exponent": exponent, "generator": generator}
    test_x, test_y = make_power_law_data(4000, **draw)
    model = FeatureModel(size)
    with torch.no_grad():
        model.linear.weight.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LinearLR(
        optimizer, start_factor=1.0, end_factor=0.0, total_iters=steps
    )
    criterion = nn.MSELoss()
    for _ in range(steps):
        model.zero_grad()
        x, y = make_power_law_data(batch_size, **draw)
        criterion(model(x), y).backward()
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.inference_mode():
        return criterion(model(test_x), test_y).item()


def compute_optimal(compute, a, alpha, b, beta):
    budget = torch.tensor(compute / 6, dtype=torch.float64)
    n = (alpha * a / (beta * b) * budget**beta) ** (1 / (alpha + beta))
    return n.item(), (budget / n).item()


def data_limited_loss(
    num_samples, size=8, *, exponent=0.8, num_features=256, repeats=8, generator=None
):
    if size > num_samples:
        raise ValueError("too few samples")
    found = np.zeros(repeats)
    for i in range(repeats):
        x, y = make_power_law_data(num_samples, num_features, exponent, generator)
        x = x[:, :size]
        weights = torch.linalg.solve(x.T @ x, x.T @ y)
        x, y = make_power_law_data(4000, num_features, exponent, generator)
        found[i] = F.mse_loss(torch.mv(x[:, :size], weights), y)
    return float(found.mean())
