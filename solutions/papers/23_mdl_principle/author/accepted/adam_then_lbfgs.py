"""Adam first, L-BFGS afterwards; powers by a running product; bits from log_prob and
np.log2 of each density.
"""


class PolynomialModel(nn.Module):
    def __init__(self, degree):
        super().__init__()
        if degree < 0:
            raise ValueError("degree")
        self.coefficients = nn.Parameter(
            torch.tensor([0.0] * (degree + 1), dtype=torch.float64)
        )

    def forward(self, x):
        power, value = torch.ones_like(x), torch.zeros_like(x)
        for coefficient in self.coefficients:
            value = value + coefficient * power
            power = power * x
        return value


def train_polynomial(model, x, y, *, steps=30):
    model.train().zero_grad()
    losses = []
    adam = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps // 3):
        loss = (model(x) - y).pow(2).mean()
        loss.backward()
        adam.step()
        adam.zero_grad()
        losses.append(float(loss))
    lbfgs = torch.optim.LBFGS(
        model.parameters(),
        max_iter=25,
        line_search_fn="strong_wolfe",
        tolerance_change=0,
    )

    def again():
        loss = (model(x) - y).pow(2).mean()
        (model.coefficients.grad,) = torch.autograd.grad(loss, [model.coefficients])
        return loss

    while len(losses) < steps:
        losses.append(float(lbfgs.step(again)))
    return losses


def gaussian_code_length(residuals, precision=0.01):
    scale = residuals.double().pow(2).mean().sqrt().clamp(min=precision)
    log_density = torch.distributions.Normal(torch.zeros_like(scale), scale).log_prob(
        residuals
    )
    return -float((log_density + math.log(precision)).sum()) / math.log(2)


def gaussian_code_length_numpy(residuals, precision=0.01):
    v = max(residuals @ residuals / residuals.size, precision**2)
    densities = np.exp(-(residuals**2) / (2 * v)) / np.sqrt(2 * np.pi * v)
    return -np.log2(precision * densities).sum().item()


def select_degree(x, y, max_degree, precision=0.01):
    best, table = 0, []
    for degree in range(max_degree + 1):
        table.append(two_part_code(x, y, degree, precision=precision))
        if table[degree]["total"] < table[best]["total"]:
            best = degree
    return best, table
