"""Questions on activations, broadcasting and XOR."""

from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe


def of_both_dtypes(kata, function, rng):
    """What a function makes of float32 and float64 numbers, which stay as they are."""
    given = [kata.Tensor(12 * normal(rng, 3, 5).astype(f"f{n}")) for n in (4, 8)]
    return [[function(x).data, x.data] for x in given]


def dtypes(found):
    return [str(result.dtype) for result, _ in found]


@probe("relu")
def _(kata, rng):
    return of_both_dtypes(kata, kata.relu, rng)


@probe("sigmoid")
def _(kata, rng):
    found = of_both_dtypes(kata, kata.sigmoid, rng)
    return [found, dtypes(found)]


@probe("tanh")
def _(kata, rng):
    found = of_both_dtypes(kata, kata.tanh, rng)
    return [found, dtypes(found)]


@probe("broadcast_shape")
def _(kata, rng):
    """Some of the shapes do not fit: then it says so, and how is not asked."""
    found = []
    for ones in integers(rng, 30, 0, 64):
        sizes = integers(rng, 6, 2, 4)
        a, b, c, d, e, f = (1 if ones >> i & 1 else n for i, n in enumerate(sizes))
        try:
            found.append(kata.broadcast_shape((a, b, c), (d, e), (f,)))
        except ValueError:
            found.append("error")
    return found


@probe("broadcast_cost")
def _(kata, rng):
    rows, columns, itemsize = *integers(rng, 2, 2, 20), 2 ** integers(rng, 1, 1, 4)[0]
    shapes = (rows, 1), (columns,), (1, 1, columns)
    return kata.broadcast_cost(*shapes, itemsize=itemsize)


@probe("best_linear_fit")
def _(kata, rng):
    return kata.best_linear_fit(normal(rng, 9, 3), normal(rng, 9, 1))


@probe("xor_contradiction")
def _(kata, rng):
    return [kata.xor_contradiction(*integers(rng, 3, -3, 4)) for _ in range(9)]


@probe("collapse_linear")
def _(kata, rng):
    shapes = (4, 4), (4,), (4, 4), (4,)
    return kata.collapse_linear(*(normal(rng, *shape) for shape in shapes))


@probe("xor_by_hand")
def _(kata, rng):
    """Units that are not there are as if they had zeros."""
    W1, b1, W2, b2 = kata.xor_by_hand()
    missing = 4 - len(b1)
    return [
        np.pad(W1, ((0, missing), (0, 0))),
        np.pad(b1, (0, missing)),
        np.pad(W2, ((0, 0), (0, missing))),
        b2,
    ]


@judge("xor_by_hand")
def _(values, expected):
    W1, b1, W2, b2 = values
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    return W2 @ np.maximum(W1 @ points.T + b1[:, None], 0) + b2


@probe("predict_activation_bytes")
def _(kata, rng):
    *shape, layers = integers(rng, 3, 1, 20)
    itemsize = 2 ** integers(rng, 1, 1, 4)[0]
    return kata.predict_activation_bytes(shape, itemsize, hidden_layers=layers)


@probe("broadcast_scaling")
def _(kata, rng):
    """A sum takes so much memory as is drawn for its size, if it is broadcast."""
    units = dict(zip([50, *integers(rng, 2, 51, 99)], integers(rng, 3, 2, 30)))

    def add(a, b):
        sizes = kata.broadcast_shape(a.shape, b.shape)
        return np.zeros(units[sizes[0]] * UNIT * sizes[1] // sizes[0], np.int8)

    with mock.patch.object(kata.Tensor, "__add__", add):
        return kata.broadcast_scaling(list(units))


@judge("broadcast_scaling")
def _(found, expected):
    return growth(found, expected["sizes"])
