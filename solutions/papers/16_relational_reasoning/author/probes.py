"""Questions on scenes of objects, and on sums over their pairs."""

import itertools
from unittest import mock

import torch
import torch.nn.functional as F

from grader.lock.probes import fill, judge, probe


def scenes(rng, count, n=5):
    """Objects of all colours in drawn order, with drawn shapes and places."""
    colours = torch.rand(count, n, generator=rng).argsort(-1)
    shape = 2 * torch.randint(2, (count, n, 1), generator=rng) - 1.0
    places = 2 * torch.rand(count, n, 2, generator=rng) - 1
    return torch.cat([F.one_hot(colours, n).float(), shape, places], dim=-1)


@probe("make_questions")
def _(kata, rng):
    objects, seed = scenes(rng, 300), int(torch.randint(999, (), generator=rng))
    drawn = [
        kata.make_questions(objects, kind, torch.Generator().manual_seed(one))
        for kind in (True, False)
        for one in (seed, seed, seed + 1)
    ]
    return [objects, drawn, torch.rand(3)]


@judge("make_questions")
def _(values, expected):
    """Which colour is asked about is the code's own draw; the answer follows."""
    objects, (_, drawn, left_alone) = expected[0], values
    told = [left_alone]
    for questions, answers in drawn:
        colour = questions[:, :5].argmax(1)
        row = (objects[..., :5].argmax(2) == colour[:, None]).double().argmax(1)
        own = objects[torch.arange(300), row]
        near = (objects[..., 6] - own[:, None, 6]).abs() < 0.5
        counts = torch.where(
            questions[:, 5] > 0, near.sum(1) - 1, (own[:, 5] > 0).long()
        )
        told += [answers - counts, questions[:, 5], questions[:, :5].sum(1)]
        told += [questions[:, :5].sum(0) > 30, questions[:, :5].amax(1)]
    told += [drawn[i][0] - drawn[i + 1][0] for i in (0, 3)]
    return [*told, bool((drawn[0][0] != drawn[2][0]).any())]


@probe("relation_sum")
def _(kata, rng):
    weight = torch.randn(4, 7, generator=rng)
    objects, question = (
        torch.randn(3, 4, 2, generator=rng),
        torch.randn(3, 3, generator=rng),
    )
    return kata.relation_sum(lambda z: (z @ weight.T).tanh(), objects, question)


@probe("relation_sum_numpy")
def _(kata, rng):
    shapes = (3, 4, 2), (3, 3), (4, 7), (4,)
    given = [torch.randn(shape, generator=rng).double().numpy() for shape in shapes]
    return kata.relation_sum_numpy(*given)


@probe("RelationNetwork")
def _(kata, rng):
    model = kata.RelationNetwork(2, 3, 4, 5)
    fill(model, rng)
    names = sorted((name, tuple(p.shape)) for name, p in model.named_parameters())
    found = []
    for n in (3, 4):
        objects = torch.randn(3, n, 2, generator=rng)
        found.append(model(objects, torch.randn(3, 3, generator=rng)).detach())
    return [names, found]


@probe("train_model")
def _(kata, rng):
    """On scenes and questions that are drawn here; what each asks for is noted."""
    model, asked = kata.RelationNetwork(8, 6, 4, 5), []
    fill(model, rng)
    rows = iter(scenes(rng, 18))

    def make(count, *given, **options):
        return torch.stack(list(itertools.islice(rows, count)))

    def ask(part, kind, generator=None):
        asked.append(len(part) + 10 * bool(kind))
        return part[:, 0, :6] + kind, (part[:, 1, 7] > 0).long() + kind

    stand_ins = {
        "make_scenes": make,
        "make_questions": ask,
    }
    with mock.patch.multiple(kata, **stand_ins):
        losses = kata.train_model(model, steps=3, num_objects=5, batch_size=6, lr=0.02)
    return [losses, sorted(asked), model.f[2].weight.detach()]
