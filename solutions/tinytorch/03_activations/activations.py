"""Activations: what stands between linear layers, and broadcasting, which saves code
but no memory.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytorch.recorder import record  # stub: keep
from tinytorch.setup import measure_scaling  # stub: keep
from tinytorch.tensor import Tensor

# The four points of XOR in the order 00, 01, 10, 11, and what XOR says about each.
XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
XOR_Y = np.array([[0], [1], [1], [0]], dtype=np.float32)


def relu(x: Tensor) -> Tensor:
    """Replace negative elements by zero.

    Args:
        x: of any shape, floating-point. It is not written to.
    Returns:
        max(x, 0) for every element, in the shape and dtype of x. [-2, 0, 3] becomes
        [0, 0, 3]. The result announces itself as "relu" with the input x, or is made of
        Tensor operations.

    Edge cases ★
        -0.0 and -inf become 0, inf stays inf, and NaN stays NaN.
    """
    return record(Tensor(np.maximum(x.data, 0)), "relu", (x,))


def sigmoid(x: Tensor) -> Tensor:
    """Squash every element into the range from 0 to 1.

    Args:
        x: of any shape, floating-point. It is not written to.
    Returns:
        1 / (1 + e⁻ˣ) for every element, in the shape and dtype of x. 0 becomes 0.5, and
        log 3 becomes 0.75. Computed in x's own dtype: float64 is right to 1e-15,
        float32 to 2e-7. The result announces itself as "sigmoid" with the input x, or
        is made of Tensor operations.

    Edge cases ★
        No floating-point warning for any input. -1000 and -inf give 0, 1000 and inf
        give 1, and NaN stays NaN.
    """
    e = np.exp(-np.abs(x.data))  # at most 1, so nothing overflows
    return record(
        Tensor(np.where(x.data >= 0, 1 / (1 + e), e / (1 + e))), "sigmoid", (x,)
    )


def tanh(x: Tensor) -> Tensor:
    """Squash every element into the range from -1 to 1.

    Args:
        x: of any shape, floating-point. It is not written to.
    Returns:
        (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ) for every element, in the shape and dtype of x. 0 stays
        0, and log 2 becomes 0.6. NumPy has this function. The result announces itself
        as "tanh" with the input x, or is made of Tensor operations.

    Edge cases ★
        No floating-point warning for any input. -1000 and -inf give -1, 1000 and inf
        give 1, and NaN stays NaN.
    """
    return record(Tensor(np.tanh(x.data)), "tanh", (x,))


class ReLU:
    """relu as a layer."""

    def __call__(self, x: Tensor) -> Tensor:
        return relu(x)


class Sigmoid:
    """sigmoid as a layer."""

    def __call__(self, x: Tensor) -> Tensor:
        return sigmoid(x)


class Tanh:
    """tanh as a layer."""

    def __call__(self, x: Tensor) -> Tensor:
        return tanh(x)


def broadcast_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Find the shape that arrays of these shapes broadcast to, by NumPy's rule
    written out.

    Align the shapes at the right end; a missing size counts as 1. In every column the
    sizes are equal or 1.

    Args:
        shapes: any number of shapes, such as (4, 1) and (3,).
    Returns:
        The common shape. (4, 1) and (3,) give (4, 3).

    - Sizes that differ, none of them 1, are a ValueError: (2, 3) and (2,).
    - Write it without np.broadcast_shapes and its relatives.

    Edge cases ★
        A size of 0 beside 1 gives 0. No shapes at all give (). The error names
        every shape.
    """
    ndim = max(map(len, shapes), default=0)
    padded = [(1,) * (ndim - len(shape)) + tuple(shape) for shape in shapes]
    result = []
    for sizes in zip(*padded):
        different = set(sizes) - {1}
        if len(different) > 1:
            raise ValueError(
                "these shapes do not broadcast: "
                f"{', '.join(str(tuple(shape)) for shape in shapes)}"
            )
        result.append(different.pop() if different else 1)
    return tuple(result)


def broadcast_cost(*shapes: Sequence[int], itemsize: int = 4) -> dict[str, Any]:
    """Say how much larger the result of broadcasting is than its inputs.

    Args:
        shapes: those of the inputs.
        itemsize: bytes per element.
    Returns:
        - "shape": the common shape.
        - "input_bytes": the sum over all inputs, each in its own shape.
        - "output_bytes": of a result in the common shape.
        - "expansion": output_bytes / input_bytes.

        (4, 1) and (3,) are 28 bytes, their sum is 48.
    """
    shape = broadcast_shape(*shapes)
    inputs = sum(int(np.prod(s)) for s in shapes) * itemsize
    output = int(np.prod(shape)) * itemsize
    return {
        "shape": shape,
        "input_bytes": inputs,
        "output_bytes": output,
        "expansion": output / inputs,
    }


def best_linear_fit(X: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Fit y = X w + b, with the w and b that make the mean squared error smallest.

    Args:
        X: (n, d) points.
        y: (n,) or (n, 1) targets.
    Returns:
        - "weight": w, a float64 array (d,).
        - "bias": b, a float.
        - "predictions": X w + b, a float64 array (n,).
        - "mse": the mean squared error, a float.

        The points 0, 1, 2 with targets 1, 3, 5 have weight [2], bias 1 and mse 0. An X
        with a column of ones beside it makes b one more weight.
    """
    X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64).reshape(-1)
    with_ones = np.hstack([X, np.ones((len(X), 1))])
    solution, *_ = np.linalg.lstsq(with_ones, y, rcond=None)
    predictions = with_ones @ solution
    mse = float(((predictions - y) ** 2).mean())
    return {
        "weight": solution[:-1],
        "bias": float(solution[-1]),
        "predictions": predictions,
        "mse": mse,
    }


def xor_contradiction(w1: float, w2: float, b: float) -> dict[str, Any]:
    """Show on which points the linear score w1·i + w2·j + b fails at XOR.

    Returns:
        - "scores": the point (i, j) to its score, for (0, 0), (0, 1), (1, 0)
          and (1, 1).
        - "same_sum": the scores of (0, 0) and (1, 1), added.
        - "different_sum": the scores of (0, 1) and (1, 0), added. It always
          equals same_sum.
        - "wrong": the list of points, in the order above, where "score > 0" is not what
          XOR says.

        w1 = w2 = 1 and b = -0.5 are wrong at [(1, 1)] alone. No choice is
        right everywhere.
    """
    scores = {(i, j): w1 * i + w2 * j + b for i in (0, 1) for j in (0, 1)}
    return {
        "scores": scores,
        "same_sum": scores[0, 0] + scores[1, 1],
        "different_sum": scores[0, 1] + scores[1, 0],
        "wrong": [
            point
            for point, score in scores.items()
            if (score > 0) != (point[0] != point[1])
        ],
    }


def collapse_linear(
    W1: np.ndarray, b1: np.ndarray, W2: np.ndarray, b2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Make one linear layer that equals two: W @ x + b = W2 @ (W1 @ x + b1) + b2 for
    every x.

    Args:
        W1: (hidden, in).
        b1: (hidden,).
        W2: (out, hidden).
        b2: (out,).
    Returns:
        (W, b): (out, in) and (out,). x ↦ 2x + 1 followed by x ↦ 3x + 5 is x ↦ 6x + 8.
    """
    return W2 @ W1, W2 @ b1 + b2


def xor_by_hand() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Choose weights with which W2 @ relu(W1 @ x + b1) + b2 is exactly XOR on the
    four points.

    Returns:
        (W1, b1, W2, b2): float32 arrays of shapes (H, 2), (H,), (1, H) and (1,), with H
        hidden units, 2 ≤ H ≤ 4 as you like. (0, 0) and (1, 1) give 0, (0, 1) and (1, 0)
        give 1.
    """
    W1 = np.array([[1, 1], [1, 1]], dtype=np.float32)  # both units add the inputs
    b1 = np.array([0, -1], dtype=np.float32)
    W2 = np.array([[1, -2]], dtype=np.float32)
    b2 = np.array([0], dtype=np.float32)
    return W1, b1, W2, b2


def predict_activation_bytes(
    shape: Sequence[int], itemsize: int = 4, *, hidden_layers: int = 1
) -> int:
    """Predict the bytes of activation outputs, when every layer's is kept for
    the gradient.

    Args:
        shape: of one layer's output, such as (batch, features).
        itemsize: bytes per element.
        hidden_layers: how many layers have an output of this shape.
    Returns:
        The bytes of all outputs. Three float32 layers of shape (10, 5) keep 600.
    """
    return int(np.prod(shape)) * itemsize * hidden_layers


def broadcast_scaling(sizes: Sequence[int]) -> dict[str, Any]:
    """Measure the peak memory of (n, 1) + (n,), as float32 Tensors, over n.

    Args:
        sizes: the values of n.
    Returns:
        What module 01's measure_scaling returns: "sizes", "values" (the peak bytes of
        the addition for each n) and "exponent", near 2. Make the operands outside of
        the measured call.
    """

    def build(n: int) -> Callable[[], Tensor]:
        column, row = (
            Tensor(np.ones((n, 1), dtype=np.float32)),
            Tensor(np.ones(n, dtype=np.float32)),
        )
        return lambda: column + row

    return measure_scaling(build, sizes)
