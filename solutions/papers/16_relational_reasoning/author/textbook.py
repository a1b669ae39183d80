"""Relation networks: one small network for every pair of objects, and a sum over
all pairs.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_scenes(
    num_scenes: int, num_objects: int = 5, generator: torch.Generator | None = None
) -> Tensor:
    """Draw scenes: (num_scenes, N, N + 3), with one row per object, and
    N = num_objects.

    A row holds a one-hot colour (N numbers), a shape (-1 or +1), and x and y, uniform
    in [-1, 1]. Each colour occurs once per scene. The order of the rows is random.
    """
    colours = torch.rand(num_scenes, num_objects, generator=generator).argsort(dim=1)
    shapes = (
        2.0 * torch.randint(2, (num_scenes, num_objects, 1), generator=generator) - 1
    )
    places = 2 * torch.rand(num_scenes, num_objects, 2, generator=generator) - 1
    return torch.cat([F.one_hot(colours, num_objects), shapes, places], dim=2)


class FlatMLP(nn.Module):
    """The baseline: the flattened scene and the question go through two hidden layers.
    It is called as a `RelationNetwork` is.
    """

    def __init__(
        self,
        num_objects: int,
        object_size: int,
        question_size: int,
        hidden_size: int,
        num_answers: int,
    ):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_objects * object_size + question_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, num_answers),
        )

    def forward(self, objects: Tensor, question: Tensor) -> Tensor:
        return self.layers(torch.cat([objects.flatten(1), question], dim=1))


def answer_accuracy(
    model: nn.Module,
    relational: bool,
    *,
    num_scenes: int = 1000,
    num_objects: int = 5,
    generator: torch.Generator | None = None,
) -> float:
    """Measure the share of right answers about fresh scenes, to questions of
    one kind.
    """
    objects = make_scenes(num_scenes, num_objects, generator)
    questions, answers = make_questions(objects, relational, generator)
    training = model.training
    model.eval()
    with torch.no_grad():
        right = model(objects, questions).argmax(dim=1) == answers
    model.train(training)
    return right.float().mean().item()


def make_questions(
    objects: Tensor, relational: bool, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Ask about the object of a random colour: its shape, or how many others
    are close.
    """
    num_scenes, num_objects, _ = objects.shape
    asked = F.one_hot(
        torch.randint(num_objects, (num_scenes,), generator=generator), num_objects
    )
    flag = torch.full((num_scenes, 1), 1.0 if relational else -1.0)

    colours, shapes, x = (
        objects[:, :, :num_objects],
        objects[:, :, num_objects],
        objects[:, :, num_objects + 1],
    )
    row = (colours * asked[:, None]).sum(dim=2).argmax(dim=1)
    scene = torch.arange(num_scenes)
    shape = shapes[scene, row]
    if relational:
        distance = (x - x[scene, row][:, None]).abs()
        answers = (distance < 0.5).sum(dim=1) - 1
    else:
        answers = (shape > 0).long()
    return torch.cat([asked, flag], dim=1), answers


def relation_sum(
    g: Callable[[Tensor], Tensor], objects: Tensor, question: Tensor
) -> Tensor:
    """Sum g(o_i, o_j, q) over all pairs."""
    n = objects.shape[1]
    first = objects[:, :, None].expand(-1, -1, n, -1)
    second = objects[:, None, :].expand(-1, n, -1, -1)
    asked = question[:, None, None].expand(-1, n, n, -1)
    return g(torch.cat([first, second, asked], dim=-1)).sum(dim=(1, 2))


def relation_sum_numpy(
    objects: np.ndarray, question: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """The same with a g of one layer."""
    total = 0
    n = objects.shape[1]
    for i in range(n):
        for j in range(n):
            pair = np.concatenate([objects[:, i], objects[:, j], question], axis=1)
            total = total + np.maximum(pair @ weight.T + bias, 0)
    return total


class RelationNetwork(nn.Module):
    """f of the sum of g over all pairs."""

    def __init__(
        self, object_size: int, question_size: int, hidden_size: int, num_answers: int
    ):
        super().__init__()
        self.g = nn.Sequential(
            nn.Linear(2 * object_size + question_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
        )
        self.f = nn.Sequential(
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, num_answers),
        )

    def forward(self, objects: Tensor, question: Tensor) -> Tensor:
        return self.f(relation_sum(self.g, objects, question))


def train_model(
    model: nn.Module,
    *,
    steps: int,
    num_objects: int = 5,
    batch_size: int = 64,
    lr: float = 5e-3,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Fresh scenes per step, half of the questions relational."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    half = batch_size // 2
    losses = []
    for _ in range(steps):
        objects = make_scenes(batch_size, num_objects, generator)
        asked_first, first_answers = make_questions(objects[:half], True, generator)
        asked_then, other_answers = make_questions(objects[half:], False, generator)
        logits = model(objects, torch.cat([asked_first, asked_then]))
        loss = F.cross_entropy(logits, torch.cat([first_answers, other_answers]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
