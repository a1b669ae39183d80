"""Questions that the specs of 08 ask only about inputs that are known, or cannot ask
from another process.

What a transform draws by itself is compared where limits lie next to each other, or
where its class has a `sample` of ours; else the judge looks at how it is spread.
"""

import numpy as np
import torch
from PIL import Image

from grader.lock.probes import integers, judge, probe


def numbers(count, rng):
    return (torch.rand(count, generator=rng) + 0.3).tolist()


def picture(rng):
    return torch.rand(2, *integers(rng, 2, 9, 20), generator=rng)


def next_to(number):
    return number, number * (1 + 1e-7)


def spread(x):
    """Are numbers spread evenly from 0 to 1, and does none tell the next?"""
    even = torch.linspace(0, 1, len(x), dtype=x.dtype)
    far = (x.sort().values - even).abs().max()
    return [bool(far < 0.17), bool(abs((x[1:] - 0.5) @ (x[:-1] - 0.5)) < 0.03 * len(x))]


def sampling(kind, start, answer):
    """A transform of this class whose `sample` gives `answer`, with the size that it is
    asked about.
    """

    class Fixed(kind):
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
    x, number = integers(rng, 2)
    grow = Grow(number)
    compose = kata.Compose((grow, Double(), grow))
    return [compose(x), compose.steps(x), len(compose.transforms)]


@probe("AddGaussianNoise")
def _(kata, rng):
    """Noise on gray and on black and white, by two calls and by an equal generator."""
    x, found = 0.4 + 0.2 * torch.rand(30, 40, generator=rng, dtype=torch.float64), []
    [std], [seed] = numbers(1, rng), integers(rng, 1)
    for _ in range(2):
        generator = torch.Generator().manual_seed(seed)
        noise = kata.AddGaussianNoise(std / 50, generator)
        found += [noise(x), noise(x), noise((x > 0.5).double())]
    return [x, std, found]


@judge("AddGaussianNoise")
def _(values, expected):
    (x, std, _), found = expected, values[2]
    told = [[torch.equal(y, other) for other in found] for y in found]
    for y in found:
        inside = (y > 0) & (y < 1)
        told.append([bool(y.min() >= 0), bool(y.max() <= 1), bool(inside.sum() > 400)])
        start = x if inside.all() else (x > 0.5).double()
        even = torch.special.ndtr((y - start)[inside] * 50 / std)
        told.append(spread(even if inside.all() else (2 * even - 1).abs()))
    return told


@probe("RandomAffine")
def _(kata, rng):
    turn, shift, zoom = numbers(3, rng)
    angle, (right, down), scale = kata.RandomAffine(
        next_to(40 * turn), (1e-7, 1e-7), next_to(zoom)
    ).sample(9, 8)
    fixed = sampling(
        kata.RandomAffine,
        (10,),
        lambda height, width: (turn * height, (shift, -shift * width / 9), zoom),
    )
    return [fixed(picture(rng)), torch.tensor([angle, right, down, scale])]


@probe("RandomRotation")
def _(kata, rng):
    [turn], image = numbers(1, rng), picture(rng)
    rotation = kata.RandomRotation(next_to(40 * turn))
    fixed = sampling(
        kata.RandomRotation,
        (10,),
        lambda height, width: (turn * height, (turn, turn * width / 9), turn),
    )
    return [fixed(image), rotation(image), rotation.sample(9, 8)[0]]


@probe("RandomResizedCrop.sample")
def _(kata, rng):
    found = []
    for _ in range(4):
        (height, width), (h, w) = integers(rng, 2, 60, 90), integers(rng, 2, 9, 20)
        crop = kata.RandomResizedCrop(
            8, next_to(h * w / (height * width)), next_to(w / h)
        )
        found.append([height, width, [crop.sample(height, width) for _ in range(400)]])
    return found


@judge("RandomResizedCrop.sample")
def _(values, expected):
    found = []
    for (height, width, _), (*_, boxes) in zip(expected, values, strict=True):
        top, left, h, w = torch.tensor(boxes).double().T
        places = (top + 0.5) / (height - h + 1), (left + 0.5) / (width - w + 1)
        found += [h, w, *map(spread, places), spread((places[0] + places[1]) % 1)]
    return found


@probe("RandomResizedCrop.__call__")
def _(kata, rng):
    (h, w), (top, left) = integers(rng, 2, 9, 20), integers(rng, 2, 1, 9)
    crop = sampling(kata.RandomResizedCrop, ((h, w),), lambda *size: (top, left, h, w))
    return crop(torch.rand(3, h + 11, w + 12, generator=rng))


@probe("train_transform")
def _(kata, rng):
    size, *sides = integers(rng, 3, 9, 20)
    colour = torch.randint(256, (3,), generator=rng, dtype=torch.uint8).numpy()
    image = Image.fromarray(np.broadcast_to(colour, (*sides, 3)).copy())
    got = kata.train_transform(size, numbers(3, rng), numbers(3, rng))(image)
    return [got.shape, got[:, size // 2, size // 2]]


def sizes(count, rng, low=9, high=20):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def pixels_of(image):
    return np.asarray(image)


def photo(rng, *shape, mode="RGB"):
    pixels = torch.randint(256, shape, generator=rng).byte().numpy()
    return Image.fromarray(pixels, mode)


@probe("Resize")
def _(kata, rng):
    high, wide = photo(rng, 33, 20, 3), photo(rng, 16, 40, 3)
    return [
        pixels_of(kata.Resize(size)(image))
        for size in (7, (5, 9))
        for image in (high, wide)
    ]


@judge("Resize")
def _(values, expected):
    """Rounding may differ by one."""
    return [
        np.abs(got.astype(int) - right) <= 1 for got, right in zip(values, expected)
    ]


@probe("CenterCrop")
def _(kata, rng):
    image, found = photo(rng, 13, 20, 3), []
    for size in (6, (5, 9), sizes(2, rng, 3, 12)):
        found.append(pixels_of(kata.CenterCrop(size)(image)))
    return found


@probe("ToTensor")
def _(kata, rng):
    images = photo(rng, 5, 4, 3), photo(rng, 5, 4, mode="L")
    arrays = [pixels_of(image) // 2 for image in images]
    return [kata.ToTensor()(image) for image in (*images, *arrays)]


@probe("Normalize")
def _(kata, rng):
    normalize, x = kata.Normalize(numbers(3, rng), numbers(3, rng)), None
    x = torch.rand(2, 3, 4, 3, generator=rng)
    return [normalize(x), normalize(x[0]), normalize.inverse(x)]


@probe("RandomHorizontalFlip")
def _(kata, rng):
    image, [p] = torch.rand(2, 3, 4, generator=rng), numbers(1, rng)
    sources = [torch.Generator().manual_seed(int(1000 * p)) for _ in range(2)]
    flips = [kata.RandomHorizontalFlip(p / 2, source) for source in sources]
    drawn = [torch.stack([flip(image) for _ in range(200)]) for flip in flips]
    sure = [kata.RandomHorizontalFlip(one)(image) for one in (0, 1)]
    return [image, p / 2, sure, drawn, torch.rand(3)]


@judge("RandomHorizontalFlip")
def _(values, expected):
    (image, p, *_), (_, _, sure, (drawn, again), left_alone) = expected, values
    kept, flipped = (
        (drawn == one).flatten(1).all(1) for one in (image, image.flip(-1))
    )
    return [
        [sure, left_alone, drawn - again],
        bool((kept | flipped).all()),
        abs(flipped.double().mean() - p) < 0.15,
    ]


@probe("augmentation_gallery")
def _(kata, rng):
    image, shifts = torch.rand(2, 3, 4, generator=rng), iter(numbers(5, rng))
    return kata.augmentation_gallery(image, lambda x: x + next(shifts), 4)


@probe("eval_transform")
def _(kata, rng):
    [size], (mean, std) = sizes(1, rng), (numbers(3, rng), numbers(3, rng))
    transform = kata.eval_transform(size, mean, std)
    return [transform(photo(rng, *shape, 3)) for shape in ((21, 30), (40, 25))]


@judge("eval_transform")
def _(values, expected):
    """Rounding may differ by 1 of 255, over the smallest deviation of 0.3."""
    return [(got - right).abs() < 0.02 for got, right in zip(values, expected)]


@probe("affine")
def _(kata, rng):
    image = torch.rand(2, 9, 7, generator=rng)
    turn, right, down, scale = numbers(4, rng)
    return [
        kata.affine(image, 50 * turn),
        kata.affine(image, translate=(2, -1)),
        kata.affine(image, scale=scale),
        kata.affine(image[None], 90 * turn, (right, down), scale),
    ]
