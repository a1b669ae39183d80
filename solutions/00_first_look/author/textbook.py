"""A first look: the share that is read right, one step of learning, a position drawn
at random.
"""

import torch
from torch import Tensor


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """The share of rows whose largest score is at the label."""
    return (scores.argmax(dim=1) == labels).float().mean().item()


def gradient_step(weight: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
    """One step against the gradient."""
    return weight - learning_rate * gradient


def draw(probabilities: Tensor) -> int:
    """A position, drawn with these probabilities."""
    return torch.multinomial(probabilities, 1).item()
