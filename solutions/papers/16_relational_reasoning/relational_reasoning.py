"""Relation networks: one small network applied to every pair of objects, and a sum over
all pairs.

After Santoro et al., "A simple neural network module for relational reasoning" (2017).
Sizes: B scenes, N objects per scene, D numbers per object, Q numbers per question, H
hidden units. A scene has N colours, so D = N + 3 and Q = N + 1.
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
    """Ask one question per scene, about the object of a colour that is drawn uniformly.

    Args:
        objects: (B, N, N + 3), from `make_scenes`.
        relational: the kind of all questions.
        generator: the source of the draws.
    Returns:
        questions (B, N + 1): the colour one-hot, then +1 if relational, else −1.
        answers (B,) int64. Relational: how many *other* objects are close to the
        object, |x − its x| < 0.5. Not relational: its own shape, 0 for −1 and 1 for +1.

    Rows of colours [2, 0, 1], shapes [+1, −1, −1] and x [0.9, 0.1, 0.3], asked about
    colour 0 (row 1): relational 1, since row 2 is close and row 0 is not, else 0.

    Edge cases ★
        The questions have the dtype of `objects`.
    """
    num_scenes, num_objects, _ = objects.shape
    asked = torch.randint(num_objects, (num_scenes, 1), generator=generator)
    flag = objects.new_full((num_scenes, 1), 1.0 if relational else -1.0)
    questions = torch.cat(
        [F.one_hot(asked[:, 0], num_objects).to(objects), flag], dim=1
    )

    # one row per scene has the colour
    asked_row = objects[..., :num_objects].argmax(dim=2) == asked
    if relational:
        x = objects[..., num_objects + 1]
        return questions, ((x - x[asked_row][:, None]).abs() < 0.5).sum(dim=1) - 1
    return questions, (objects[..., num_objects][asked_row] > 0).long()


def relation_sum(
    g: Callable[[Tensor], Tensor], objects: Tensor, question: Tensor
) -> Tensor:
    """Add up what g says about every pair of objects: the inner sum of equation (1).

    Args:
        g: maps (..., 2D + Q) to (..., H). You may call it once on all pairs, or pair
            by pair.
        objects: (B, N, D).
        question: (B, Q), one per scene.
    Returns:
        (B, H): the sum of g([o_i, o_j, question]) over all N · N ordered pairs (i, j),
        those with i = j included.

    With objects [[[1], [2]]], question [[5]] and a g that multiplies its inputs:
    [[5 + 10 + 10 + 20]] = [[45]].

    Edge cases ★
        `objects` may be non-contiguous. Neither input is written to. A float64 g
        computes in float64.
    """
    n = objects.shape[1]
    first = objects[:, :, None].expand(-1, -1, n, -1)  # (B, N, N, D): o_i
    second = objects[:, None].expand(-1, n, -1, -1)  # (B, N, N, D): o_j
    asked = question[:, None, None].expand(-1, n, n, -1)
    return g(torch.cat([first, second, asked], dim=-1)).sum(dim=(1, 2))


def relation_sum_numpy(
    objects: np.ndarray, question: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Add up g over every pair of objects in NumPy, where g is one layer:
    g(z) = relu(z @ weight.T + bias).

    Args:
        objects: (B, N, D) float64.
        question: (B, Q).
        weight, bias: (H, 2D + Q) and (H,).
    Returns:
        (B, H): the sum over all N · N ordered pairs, as in `relation_sum`.

    With objects [[[1], [2]]], question [[0]], weight [[1, 1, 1]] and bias [−3], the
    result is [[0 + 0 + 0 + 1]].

    Edge cases ★
        float64 precision.
    """
    of_first, of_second, of_question = np.split(
        weight, [objects.shape[2], 2 * objects.shape[2]], axis=1
    )
    rows, columns = objects @ of_first.T, objects @ of_second.T  # (B, N, H)
    asked = question @ of_question.T + bias  # (B, H)
    pairs = rows[:, :, None] + columns[:, None] + asked[:, None, None]
    return np.maximum(pairs, 0).sum(axis=(1, 2))


class RelationNetwork(nn.Module):
    """A relation network: f of the sum of g over all pairs of objects (equation 1).

    Args:
        object_size, question_size, hidden_size, num_answers: D, Q, H and the number
            of logits.
    Attributes:
        g: an `nn.Sequential` of Linear (2D + Q to H), ReLU, Linear (H to H), ReLU.
        f: an `nn.Sequential` of Linear (H to H), ReLU, Linear (H to num_answers). There
            is no activation at its end, and there are no parameters beside those of g
            and f.

    `forward(objects, question)` takes objects (B, N, D) and questions (B, Q), and
    returns logits (B, num_answers).

    - One model works for any N.

    Edge cases ★
        A float64 model computes in float64.
    """

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
    """Train a model to answer both kinds of questions, on scenes that it sees
    only once.

    Args:
        model: called as model(objects, questions); returns logits.
        steps: updates by Adam with learning rate `lr` on all parameters of the model.
        num_objects: N of the scenes.
        batch_size: fresh scenes per step, an even number. The first half is asked
            relational questions, the second half the others.
        generator: the source of scenes and questions.
    Returns:
        One float per step, the loss before its update: the mean cross-entropy over the
        whole batch.

    Gradients are cleared before each step.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        objects = make_scenes(batch_size, num_objects, generator)
        halves = [
            make_questions(part, kind, generator)
            for part, kind in zip(objects.tensor_split(2), (True, False), strict=True)
        ]
        questions, answers = (torch.cat(parts) for parts in zip(*halves, strict=True))
        loss = F.cross_entropy(model(objects, questions), answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
