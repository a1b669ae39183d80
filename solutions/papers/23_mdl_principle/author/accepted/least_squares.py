"""Least squares by lstsq inside two_part_code; Vandermonde matrix; bits of a
coefficient as the log of a root.
"""


class PolynomialModel(nn.Module):
    def __init__(self, degree):
        super().__init__()
        assert degree >= 0, degree
        self.degree = degree
        self.coefficients = nn.Parameter(torch.zeros(degree + 1).double())

    def forward(self, x):
        return torch.vander(x, self.degree + 1, increasing=True) @ self.coefficients


def gaussian_code_length(residuals, precision=0.01):
    r = residuals.detach().numpy()
    return gaussian_code_length_numpy(r, precision)


def gaussian_code_length_numpy(residuals, precision=0.01):
    n, v = (
        residuals.shape[0],
        max((residuals * residuals).mean(), precision * precision),
    )
    return float(
        (n * np.log(2 * np.pi * v) + np.sum(np.square(residuals)) / v) / np.log(4)
        + n * np.log2(1 / precision)
    )


def model_code_length(degree, num_points):
    return sum(
        [math.log2(num_points**0.5)] * (degree + 1), integer_code_length(degree + 1)
    )


def two_part_code(x, y, degree, precision=0.01):
    model = PolynomialModel(degree)
    with torch.no_grad():
        powers = x[:, None] ** torch.arange(degree + 1)
        model.coefficients.copy_(torch.linalg.lstsq(powers, y[:, None]).solution[:, 0])
    code = {"total": 0.0}
    code["model"] = model_code_length(degree, num_points=x.numel())
    code["data"] = gaussian_code_length((y - model(x)).detach(), precision=precision)
    code["total"] = sum(code.values())
    return code


def select_degree(x, y, max_degree, precision=0.01):
    table = [
        two_part_code(x, y, degree, precision) for degree in range(0, max_degree + 1)
    ]
    return int(np.argmin([code["total"] for code in table])), table


def information_criteria(residuals, num_parameters):
    assert num_parameters >= 0
    n = len(residuals)
    fit = n * torch.log(torch.mean(residuals**2))
    return {
        name: float(fit + num_parameters * cost)
        for name, cost in (("aic", 2.0), ("bic", math.log(n)))
    }
