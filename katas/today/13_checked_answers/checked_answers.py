"""Checked answers: one sentence on what this kata is about."""

from torch import Tensor


def halve(x: Tensor) -> Tensor:
    """Divide every number by two.

    Args:
        x: floating-point numbers, of any shape.
    Returns:
        A new tensor of x's shape: [2, 5] becomes [1, 2.5].

    Edge cases ★
        An `x` that is no tensor is an error that names its type.
    """
    raise NotImplementedError
