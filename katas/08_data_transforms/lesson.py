"""Kata 08 in code: a pipeline step by step, the order that it needs, a pixel on its
way, random crops, a gallery.
"""

import colorsys
import math

import torch
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor

from grader.course import downloads
from grader.lesson import code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
# ImageNet's mean and std of red, green and blue
SIZE, MEAN, STD = 64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def flower():
    """A landscape of 160 × 120 pixels: a flower on a lawn, the sun behind it at
    the left.
    """
    image = Image.new("RGB", (160, 120))
    draw = ImageDraw.Draw(image)
    for row in range(120):
        sky = (120 + row, 170 + row // 2, 250) if row < 85 else (60, 190 - row, 50)
        draw.line([(0, row), (159, row)], fill=sky)
    draw.ellipse([14, 10, 38, 34], fill=(255, 225, 90))
    draw.line([(88, 60), (82, 112)], fill=(30, 90, 30), width=5)
    draw.polygon([(85, 95), (112, 80), (100, 100)], fill=(40, 110, 40))
    for petal in range(7):
        turn = 2 * math.pi * petal / 7
        x, y = 88 + 20 * math.cos(turn), 52 + 20 * math.sin(turn)
        colour = colorsys.hsv_to_rgb(0.92 + 0.01 * petal, 0.75, 0.95)
        draw.ellipse(
            [x - 13, y - 13, x + 13, y + 13], fill=tuple(round(255 * c) for c in colour)
        )
    draw.ellipse([76, 40, 100, 64], fill=(250, 200, 40))
    return image


def photograph():
    """A photograph of a real flower if there is one; else the drawn one."""
    folder = downloads.find("oxford_flowers")
    if folder is None:
        print("   a drawn flower (`kata data oxford_flowers` fetches real ones)")
        return flower()
    path = sorted((folder / "jpg").glob("*.jpg"))[0]
    print(f"   {path.name} of the Oxford Flowers")
    return Image.open(path).convert("RGB")


def described(value):
    """Describe the result of a step: type, size and range of values."""
    if isinstance(value, Tensor):
        return (
            f"{'tensor':<8} {tuple(value.shape)!s:<13} {value.min():6.2f} … "
            f"{value.max():.2f}"
        )
    low, high = (
        f(pair[i] for pair in value.getextrema()) for i, f in enumerate((min, max))
    )
    return f"{'image':<8} {f'{value.width} × {value.height}':<13} {low:6} … {high}"


# 1. One image through the pipeline for evaluation. `steps` shows every result on
#    the way.
print("1. The eval pipeline, step by step")
image = photograph()
evaluation = kata.eval_transform(SIZE, MEAN, STD)
steps = evaluation.steps(image)
for name, value in steps:
    print(f"   {name:<12} {described(value)}")
plain, normal = steps[-2][1], steps[-1][1]
normalize = evaluation.transforms[-1]

# 2. The order. Normalize takes float tensors with C channels, and there are none
#    before ToTensor.
print("\n2. Why in this order")
try:
    kata.Normalize(MEAN, STD)(torch.randint(256, (3, 4, 4), dtype=torch.uint8))
except TypeError as error:
    print(f"   Normalize before the division by 255: TypeError: {error}")
noise = kata.AddGaussianNoise(0.05)
before = (normalize(noise(plain)) - normal).abs().mean()
print(f"   noise before Normalize moves the values by {before:.2f} on average,")
outside = ((normal < 0) | (normal > 1)).float().mean()
print(
    f"   after Normalize by {(noise(normal) - normal).abs().mean():.2f}: "
    f"{outside:.0%} of them are cut off at 0 or 1"
)
black = (0 - torch.tensor(MEAN)) / torch.tensor(STD)
print(
    "   0 is black before Normalize; after it black is "
    f"{[round(v, 2) for v in black.tolist()]} and 0 a medium grey"
)
deviation = (normalize.inverse(normal) - plain).abs().max()
print(
    "   Normalize can be undone: inverse(normalize(x)) differs from x by "
    f"{deviation:.1e} at most"
)

# 3. A generator of its own makes a random transform repeatable, and leaves the rest of
#    the program alone.
print("\n3. Generators")
first, again = (
    kata.AddGaussianNoise(0.1, torch.Generator().manual_seed(7)) for _ in range(2)
)
before = torch.get_rng_state()
same = [bool(torch.equal(first(plain), again(plain))) for _ in range(3)]
print(f"   two objects with equal seeds, call by call equal: {same}")
print(
    "   torch's global generator is where it was: "
    f"{torch.equal(torch.get_rng_state(), before)}"
)

# 4. One bright pixel, 2 right of the centre and 1 below, is zoomed, rotated and
#    shifted. affine computes the way back: for every pixel of the result, the place
#    that it came from.
print("\n4. One pixel on its way")
dark = torch.zeros(1, 15, 17)
dark[0, 8, 10] = 1


def brightest(picture):
    row, column = divmod(picture[0].argmax().item(), picture.shape[2])
    return f"{column - 8:+} right, {row - 7:+} down"


print(f"   {'at first':<34} {brightest(dark)}")
for what, options in {
    "zoomed by 2": {"scale": 2.0},
    "and rotated by 90 degrees": {"angle": 90.0, "scale": 2.0},
    "and shifted by (+1, −2)": {"angle": 90.0, "scale": 2.0, "translate": (1.0, -2.0)},
}.items():
    moved = stretch(kata.affine, dark, **options)
    if moved is None:
        break
    print(f"   {what:<34} {brightest(moved)}")

# 5. Random crops: boxes of 8 % to 100 % of the area. In a strip of 10 × 100 the large
#    ones do not fit.
print("\n5. Boxes (top, left, h, w) of RandomResizedCrop")
crop = stretch(kata.RandomResizedCrop, SIZE, generator=torch.Generator().manual_seed(1))
if crop is not None:
    for height, width in ((image.height, image.width), (10, 100)):
        found = [crop.sample(height, width) for _ in range(1000)]
        shares = torch.tensor([h * w / (height * width) for _, _, h, w in found])
        print(f"   in {height} × {width}: {found[0]}, {found[1]}, {found[2]} …")
        print(
            f"      areas of 1000: {shares.min():.0%} to {shares.max():.0%}, on "
            f"average {shares.mean():.0%}"
        )

# 6. A gallery: the training pipeline on one image, again and again.
print("\n6. Training and evaluation")
generator = torch.Generator().manual_seed(4)
training = stretch(kata.train_transform, SIZE, MEAN, STD, generator)
if training is None:  # the core alone has no random crop, flip or rotation
    training = kata.Compose(
        [*evaluation.transforms[:3], kata.AddGaussianNoise(0.1, generator), normalize]
    )
print(f"   {' → '.join(type(step).__name__ for step in training.transforms)}")
gallery = kata.augmentation_gallery(image, training, 12)
unchanging = kata.augmentation_gallery(image, evaluation, 12)
print(
    "   standard deviation of a pixel over 12 calls, on average: "
    f"{gallery.std(0).mean():.2f} in training, "
    f"{unchanging.std(0).mean():.2f} in evaluation"
)

# 7. The figure. Above: the image as it came and as evaluation sees it, always the same.
#    Below: twelve versions of it in training. `inverse` undoes Normalize for all of
#    them, or no colour would be right.
figure = Figure(figsize=(6.6, 5.1))
grid = figure.add_gridspec(3, 6, height_ratios=(1.25, 1, 1))


def show(cell, picture, title=""):
    axes = figure.add_subplot(cell)
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[], title=title)
    for spine in axes.spines.values():
        spine.set_visible(False)


def viewable(x):
    return normalize.inverse(x).clamp(0, 1).permute(1, 2, 0).numpy()


show(grid[0, 1:3], image, f"the image, {image.width} × {image.height}")
show(grid[0, 3:5], viewable(unchanging[0]), f"in evaluation, {SIZE} × {SIZE}, always")
for i, looked in enumerate(gallery):
    show(
        grid[1 + i // 6, i % 6], viewable(looked), f"{i + 1}" if i else "in training: 1"
    )
save_figure(figure, __file__)
