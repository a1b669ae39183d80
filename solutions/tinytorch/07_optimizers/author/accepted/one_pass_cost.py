# Different: the cost is added up in one pass, step_scaling measures through a lambda,
# and accumulated gradients are the running sum of what each pass adds.


def accumulation_report(param, loss_fn, steps):
    param.grad = None
    report = {"zeroed": [], "accumulated": []}
    for kind in report:
        for k in range(steps):
            if kind == "zeroed" or k == 0:
                param.grad = None
            loss_fn().backward()
            report[kind] += [param.grad + 0]
    param.grad = None
    return report


def update_cost(params):
    elements = size = 0
    for p in params:
        elements += int(np.prod(p.data.shape))
        size += p.data.nbytes
    return {
        "parameters": elements,
        "multiply_adds": elements,
        "gradient_bytes": size,
        "state_bytes": 0,
    }


def step_scaling(sizes):
    def build(n):
        optimizer = SGD([Parameter(np.linspace(0.0, 1.0, n))])
        optimizer.params[0].grad = np.zeros(n)
        return lambda: optimizer.step()

    return measure_scaling(build, list(sizes), kind="peak_bytes")
