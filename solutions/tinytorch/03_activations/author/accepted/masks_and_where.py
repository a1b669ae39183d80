"""Different: np.where and a mask with two separate branches; broadcasting folded over
pairs; normal equations.
"""

import functools


def relu(x):
    return record(Tensor(np.where(x.data < 0, 0, x.data)), "relu", (x,))


def sigmoid(x):
    z = np.asarray(x.data)
    result = np.full_like(z, np.nan)
    up, down = z >= 0, z < 0
    result[up] = 1 / (1 + np.exp(-z[up]))
    e = np.exp(z[down])
    result[down] = e / (1 + e)
    return record(Tensor(result), "sigmoid", (x,))


def tanh(x):
    e = np.exp(-2 * np.abs(x.data))
    return record(Tensor(np.copysign((1 - e) / (1 + e), x.data)), "tanh", (x,))


def _pair(a, b):
    if len(a) < len(b):
        a, b = b, a
    b = [1] * (len(a) - len(b)) + list(b)
    if any(p != q and 1 not in (p, q) for p, q in zip(a, b)):
        raise ValueError
    return tuple(q if p == 1 else p for p, q in zip(a, b))


def broadcast_shape(*shapes):
    try:
        return functools.reduce(_pair, shapes, ())
    except ValueError:
        raise ValueError(f"{shapes} do not fit together") from None


def broadcast_cost(*shapes, itemsize=4):
    shape = broadcast_shape(*shapes)
    before = itemsize * sum(np.prod(s) for s in shapes)
    after = itemsize * np.prod(shape)
    return dict(
        shape=shape, input_bytes=before, output_bytes=after, expansion=after / before
    )


def best_linear_fit(X, y):
    X, y = X.astype(float), np.ravel(y).astype(float)
    x_mean, y_mean = X.mean(0), y.mean()
    weight = np.linalg.pinv(X - x_mean) @ (y - y_mean)
    bias = y_mean - x_mean @ weight
    fitted = X @ weight + bias
    return dict(
        weight=weight, bias=bias, predictions=fitted, mse=np.square(fitted - y).mean()
    )
