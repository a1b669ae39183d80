"""A first look: the share that is read right, one step of learning, a position drawn
at random.
"""

import torch
from torch import Tensor


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """Measure the share of pictures that are read right: the largest score is at
    the label.

    Args:
        scores: (N, C): a row per picture, in it a score per class.
        labels: (N,): the right class of each picture, a whole number from 0 to C − 1.
    Returns:
        A Python number from 0 to 1. In [[1, 7, 2], [5, 0, 3]] the largest scores are at
        1 and 0.
        The labels [1, 2] make that 0.5: one of two is right.
    """
    raise NotImplementedError


def gradient_step(weight: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
    """Move the weights a little against their gradient, so that the loss falls.

    Returns:
        weight − learning_rate · gradient, of the same shape.
        [3.0, 1.0] with gradient [2.0, −4.0] and learning rate 0.1 becomes [2.8, 1.4].

    Edge cases ★
        The numbers in `weight` and `gradient` themselves stay as they were: the result
        is a new tensor.
    """
    raise NotImplementedError


def draw(probabilities: Tensor) -> int:
    """Draw a position at random: position i with probability probabilities[i].

    Args:
        probabilities: (C,): none is negative, and their sum is 1.
    Returns:
        A Python int from 0 to C − 1. [0.0, 0.9, 0.1] gives 1 nine times in ten, 2 once,
        and never 0.
    """
    raise NotImplementedError
