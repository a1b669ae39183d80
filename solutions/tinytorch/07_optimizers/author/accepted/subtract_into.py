# Different: np.subtract with out, itertools for the points, a running table of powers,
# and NaN asked for by isfinite.


class SGD(Optimizer):
    def __init__(self, params, lr=0.01):
        Optimizer.__init__(self, params, lr)

    def step(self):
        for p in (p for p in self.params if p.grad is not None):
            np.subtract(p.data, np.multiply(p.grad, self.lr), out=p.data)


def descend_quadratic(curvatures, start, lr, steps):
    factors = 1 - lr * np.array(curvatures, dtype=float)
    points = np.array(start, dtype=float) * np.power(
        factors, np.arange(1 + steps).reshape(-1, 1)
    )
    return dict(
        points=points,
        losses=np.einsum(
            "d,kd,kd->k", np.array(curvatures, dtype=float), points, points
        )
        / 2,
    )


def max_stable_lr(curvatures):
    return min(2.0 / c for c in curvatures)


def lr_sweep(curvatures, start, lrs, steps):
    def verdict(lr):
        losses = descend_quadratic(curvatures, start, lr, steps)["losses"]
        ratio = losses[-1] / losses[0]
        if not np.isfinite(ratio) or ratio > 1:
            return "diverges"
        return "converges" if ratio < 0.01 else "slow"

    return {lr: verdict(lr) for lr in lrs}
