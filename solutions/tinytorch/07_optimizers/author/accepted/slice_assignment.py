# Different: checks by assertion while the list is built, the update written by slice
# assignment, loss values by Tensor operations, one pass per gradient for both series.


class Optimizer:
    def __init__(self, params, lr):
        self.params = []
        for p in params:
            assert isinstance(p, Tensor), "not a Tensor"
            assert all(p is not other for other in self.params), "twice"
            self.params.append(p)
        assert self.params and lr > 0
        self.lr = lr

    def step(self):
        raise NotImplementedError

    def zero_grad(self):
        [setattr(p, "grad", None) for p in self.params]


class SGD(Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr)

    def step(self):
        for p in self.params:
            if p.grad is None:
                continue
            p.data[...] = p.data - self.lr * p.grad


def descend_quadratic(curvatures, start, lr, steps):
    x = Parameter(np.asarray(start).astype(np.float64))
    half = Tensor(np.asarray(curvatures, dtype=np.float64) / 2)
    optimizer = SGD([x], lr)
    points, losses = np.empty((steps + 1, len(start))), np.empty(steps + 1)
    for k in range(steps + 1):
        loss = (half * x**2).sum()
        points[k], losses[k] = x.data, loss.data
        if k < steps:
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return {"losses": losses, "points": points}


def accumulation_report(param, loss_fn, steps):
    def series(clear):
        param.grad, found = None, []
        for _ in range(steps):
            loss_fn().backward()
            found.append(np.array(param.grad))
            if clear:
                param.grad = None
        return found

    report = {"accumulated": series(False), "zeroed": series(True)}
    param.grad = None
    return report
