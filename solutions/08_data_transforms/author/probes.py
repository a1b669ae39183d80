"""Questions that the specs of 08 ask only about inputs that are known, or cannot ask
from another process.

What a transform draws by itself is not compared: limits lie next to each other, or its
class has a `sample` of ours.
"""

import numpy as np
import torch
from PIL import Image

from grader.lock.probes import judge, probe


def sizes(count, rng, low=9, high=20):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def numbers(count, rng):
    return (torch.rand(count, generator=rng) + 0.3).tolist()


def next_to(number):
    return number, number * (1 + 1e-7)


def sampling(kata, name, start, answer):
    """A transform of the class of this name whose `sample` gives `answer`, with the
    size that it is asked about.
    """

    class Fixed(getattr(kata, name)):
        def sample(self, height, width):
            return answer(height, width)

    return Fixed(*start)


class Grow:
    def __init__(self, number):
        self.number, self.calls = number, 0

    def __call__(self, x):
        self.calls += 1
        return x + self.number * self.calls


class Double:
    def __call__(self, x):
        return 2 * x


@probe("Compose")
def _(kata, rng):
    x, number = sizes(2, rng)
    grow = Grow(number)
    compose = kata.Compose((grow, Double(), grow))
    return [compose(x), compose.steps(x), len(compose.transforms)]


@probe("AddGaussianNoise")
def _(kata, rng):
    return kata.AddGaussianNoise(1e-7)(torch.rand(2, *sizes(2, rng), generator=rng))


@probe("RandomAffine")
def _(kata, rng):
    turn, shift, zoom = numbers(3, rng)
    answer = lambda height, width, turn=turn, shift=shift, zoom=zoom: (
        turn * height,
        (shift, -shift * width / 9),
        zoom,
    )
    image = torch.rand(2, *sizes(2, rng), generator=rng)
    angle, (right, down), scale = kata.RandomAffine(
        next_to(40 * turn), (1e-7, 1e-7), next_to(zoom)
    ).sample(9, 8)
    fixed = sampling(kata, "RandomAffine", (10,), answer)
    return [fixed(image), torch.tensor([angle, right, down, scale])]


@probe("RandomRotation")
def _(kata, rng):
    [turn], [height, width] = numbers(1, rng), sizes(2, rng)
    answer = lambda height, width, turn=turn: (
        turn * height,
        (turn, turn * width / 9),
        turn,
    )
    image = torch.rand(2, height, width, generator=rng)
    fixed = [kata.RandomRotation(next_to(40 * one)) for one in numbers(6, rng)]
    drawn = [rotation.sample(9, 8) for rotation in fixed]
    return [
        sampling(kata, "RandomRotation", (10,), answer)(image),
        torch.tensor([angle for angle, _, _ in drawn]),
        torch.tensor([*drawn[0][1], drawn[0][2]]),
    ]


@probe("RandomResizedCrop.sample")
def _(kata, rng):
    found = []
    for _ in range(4):
        (height, width), (h, w) = sizes(2, rng, 20, 40), sizes(2, rng)
        crop = kata.RandomResizedCrop(
            8, next_to(h * w / (height * width)), next_to(w / h)
        )
        drawn = [crop.sample(height, width) for _ in range(40)]
        found.append([height - h, width - w, torch.tensor(drawn)])
    return found


@judge("RandomResizedCrop.sample")
def _(values, expected):
    """The boxes, and whether their places are everywhere inside."""
    told = []
    for (_, _, drawn), (height, width, _) in zip(values, expected):
        room = torch.tensor([height, width])
        shares = drawn[:, :2] / room
        told.append([drawn[:, 2:], shares.amin(0) < 0.2, shares.amax(0) > 0.8])
        told.append([drawn[:, :2].amin() >= 0, drawn[:, :2] <= room])
    return told


@probe("RandomResizedCrop.__call__")
def _(kata, rng):
    (h, w), (top, left) = sizes(2, rng), sizes(2, rng, 1, 9)
    answer = lambda height, width, box=(top, left, h, w): box
    crop = sampling(kata, "RandomResizedCrop", ((h, w),), answer)
    return crop(torch.rand(3, h + 11, w + 12, generator=rng))


@probe("train_transform")
def _(kata, rng):
    [size], colour = (
        sizes(1, rng),
        torch.randint(256, (3,), generator=rng, dtype=torch.uint8).numpy(),
    )
    image = Image.fromarray(np.broadcast_to(colour, (*sizes(2, rng), 3)).copy())
    got = kata.train_transform(size, numbers(3, rng), numbers(3, rng))(image)
    return [got.shape, got[:, size // 2, size // 2]]
