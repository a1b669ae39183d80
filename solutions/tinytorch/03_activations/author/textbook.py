"""Activations: the functions between linear layers, what XOR needs them for, and what
broadcasting costs.
"""

import math

import numpy as np

from tinytorch.recorder import record
from tinytorch.setup import measure_scaling
from tinytorch.tensor import Tensor

XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
XOR_Y = np.array([[0], [1], [1], [0]], dtype=np.float32)


def relu(x):
    """max(x, 0)."""
    return record(Tensor(np.maximum(x.data, 0)), "relu", (x,))


def sigmoid(x):
    """1 / (1 + e⁻ˣ)."""
    return record(Tensor(1 / (1 + np.exp(-x.data))), "sigmoid", (x,))


def tanh(x):
    """The hyperbolic tangent."""
    return record(Tensor(np.tanh(x.data)), "tanh", (x,))


class ReLU:
    """relu as a layer."""

    def __call__(self, x):
        return relu(x)


class Sigmoid:
    """sigmoid as a layer."""

    def __call__(self, x):
        return sigmoid(x)


class Tanh:
    """tanh as a layer."""

    def __call__(self, x):
        return tanh(x)


def broadcast_shape(*shapes):
    """Align right; every column has equal sizes or ones."""
    ndim = max(len(shape) for shape in shapes)
    padded = [(1,) * (ndim - len(shape)) + tuple(shape) for shape in shapes]
    result = []
    for sizes in zip(*padded):
        size = max(sizes)
        if any(s not in (1, size) for s in sizes):
            raise ValueError("the shapes do not broadcast")
        result.append(size)
    return tuple(result)


def broadcast_cost(*shapes, itemsize=4):
    """Bytes in and out."""
    shape = broadcast_shape(*shapes)
    input_bytes = sum(math.prod(s) * itemsize for s in shapes)
    output_bytes = math.prod(shape) * itemsize
    return {
        "shape": shape,
        "input_bytes": input_bytes,
        "output_bytes": output_bytes,
        "expansion": output_bytes / input_bytes,
    }


def best_linear_fit(X, y):
    """Least squares with an intercept."""
    A = np.column_stack([X, np.ones(len(X))])
    y = y.ravel()
    solution = np.linalg.lstsq(A, y)[0]
    predictions = A @ solution
    return {
        "weight": solution[:-1],
        "bias": solution[-1],
        "predictions": predictions,
        "mse": np.mean((predictions - y) ** 2),
    }


def xor_contradiction(w1, w2, b):
    """The four scores, their two sums, and the points on the wrong side."""
    scores = {}
    wrong = []
    for i in (0, 1):
        for j in (0, 1):
            score = w1 * i + w2 * j + b
            scores[i, j] = score
            if (score > 0) != (i != j):
                wrong.append((i, j))
    return {
        "scores": scores,
        "same_sum": scores[0, 0] + scores[1, 1],
        "different_sum": scores[0, 1] + scores[1, 0],
        "wrong": wrong,
    }


def collapse_linear(W1, b1, W2, b2):
    """Multiply the second layer out."""
    return W2 @ W1, W2 @ b1 + b2


def xor_by_hand():
    """XOR is (a + b) without twice the "and"."""
    W1 = np.array([[1, 1], [1, 1]], dtype=np.float32)
    b1 = np.array([0, -1], dtype=np.float32)
    W2 = np.array([[1, -2]], dtype=np.float32)
    b2 = np.zeros(1, dtype=np.float32)
    return W1, b1, W2, b2


def predict_activation_bytes(shape, itemsize=4, *, hidden_layers=1):
    """Elements times bytes times layers."""
    return math.prod(shape) * itemsize * hidden_layers


def broadcast_scaling(sizes):
    """Measure column plus row."""

    def build(n):
        column = Tensor(np.ones((n, 1), dtype=np.float32))
        row = Tensor(np.ones(n, dtype=np.float32))
        return lambda: column + row

    return measure_scaling(build, sizes)
