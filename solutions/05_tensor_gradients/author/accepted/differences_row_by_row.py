# Steps as the rows of eps times the identity matrix; values collected in a list.


def finite_difference_gradient(f, x, eps=1e-6):
    here = torch.tensor(x.tolist(), dtype=torch.float64)
    steps = eps * torch.eye(here.numel(), dtype=torch.float64)
    slopes = []
    for step in steps:
        up, down = (f(here + sign * step.view(here.shape)) for sign in (1, -1))
        if up.numel() != 1 or down.numel() != 1:
            raise ValueError(f"{up.numel()} elements")
        slopes.append(float(up - down) / eps / 2)
    return torch.tensor(slopes, dtype=torch.float64).reshape(x.shape)
