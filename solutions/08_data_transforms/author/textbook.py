"""Image transforms: what makes every image the same kind of tensor, and what shows it a
little differently each time.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


class Compose:
    """Several transforms as one."""

    def __init__(self, transforms: Sequence[Callable]):
        self.transforms = list(transforms)

    def __call__(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x

    def steps(self, x: Any) -> list[tuple[str, Any]]:
        """Every result on the way, with the name of the transform."""
        results = [("input", x)]
        for transform in self.transforms:
            x = transform(x)
            results.append((type(transform).__name__, x))
        return results


class Resize:
    """Bring a PIL image to a size: the shorter side, or both."""

    def __init__(self, size: int | tuple[int, int]):
        self.size = size

    def __call__(self, image: Image.Image) -> Image.Image:
        if isinstance(self.size, int):
            shorter = min(image.size)
            width, height = (int(self.size * side / shorter) for side in image.size)
        else:
            height, width = self.size
        return image.resize((width, height), Image.Resampling.BILINEAR)


class CenterCrop:
    """Cut the middle out of a PIL image."""

    def __init__(self, size: int | tuple[int, int]):
        self.size = (size, size) if isinstance(size, int) else size

    def __call__(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        top, left = (image.height - height) // 2, (image.width - width) // 2
        return image.crop((left, top, left + width, top + height))


class ToTensor:
    """A PIL image or a uint8 array to float32 (C, H, W) in [0, 1]."""

    def __call__(self, image: Image.Image | np.ndarray) -> Tensor:
        if isinstance(image, Image.Image) and image.mode not in ("L", "RGB"):
            image = image.convert("RGB")
        array = np.array(image)
        if array.ndim == 2:
            array = array[:, :, None]
        return torch.from_numpy(array).permute(2, 0, 1).float() / 255


class Normalize:
    """(x − mean) / std for every channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def inverse(self, x: Tensor) -> Tensor:
        """x · std + mean"""
        return x * self.std + self.mean


class RandomHorizontalFlip:
    """Mirror an image with probability p."""

    def __init__(self, p: float = 0.5, generator: torch.Generator | None = None):
        self.p = p
        self.generator = generator

    def __call__(self, image: Tensor) -> Tensor:
        if torch.rand(1, generator=self.generator).item() < self.p:
            return image.flip(-1)
        return image


class AddGaussianNoise:
    """x + std · N(0, 1), clamped to [0, 1]."""

    def __init__(self, std: float = 0.05, generator: torch.Generator | None = None):
        self.std = std
        self.generator = generator

    def __call__(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=self.generator)
        return (x + self.std * noise).clamp(0, 1)


def augmentation_gallery(image: Any, transform: Callable, n: int) -> Tensor:
    """n looks at one image."""
    return torch.stack([transform(image) for _ in range(n)])


def eval_transform(size: int, mean: Sequence[float], std: Sequence[float]) -> Compose:
    """The pipeline without chance."""
    return Compose([Resize(size), CenterCrop(size), ToTensor(), Normalize(mean, std)])


def affine(
    image: Tensor,
    angle: float = 0.0,
    translate: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
) -> Tensor:
    """For every pixel of the result, find the place that it came from, and
    interpolate there.
    """
    height, width = image.shape[-2:]
    y = torch.arange(height, device=image.device) - (height - 1) / 2 - translate[1]
    x = torch.arange(width, device=image.device) - (width - 1) / 2 - translate[0]
    y, x = torch.meshgrid(y, x, indexing="ij")
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    source_x = (cos * x - sin * y) / scale
    source_y = (sin * x + cos * y) / scale
    grid = torch.stack([2 * source_x / width, 2 * source_y / height], dim=-1)
    images = image if image.ndim == 4 else image[None]
    result = F.grid_sample(
        images, grid.expand(len(images), -1, -1, -1), align_corners=False
    )
    return result if image.ndim == 4 else result[0]


def uniform(low: float, high: float, generator: torch.Generator | None) -> float:
    """A random number between low and high."""
    return low + (high - low) * torch.rand(1, generator=generator).item()


class RandomAffine:
    """Rotate, shift and zoom by chance, within limits."""

    def __init__(
        self,
        degrees: float | tuple[float, float],
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        generator: torch.Generator | None = None,
    ):
        self.degrees = (
            (-degrees, degrees) if isinstance(degrees, (int, float)) else degrees
        )
        self.translate = translate
        self.scale = scale
        self.generator = generator

    def sample(
        self, height: int, width: int
    ) -> tuple[float, tuple[float, float], float]:
        """Draw (angle, (right, down), scale)."""
        angle = uniform(*self.degrees, self.generator)
        right = down = 0.0
        if self.translate is not None:
            a, b = self.translate
            right = uniform(-a * width, a * width, self.generator)
            down = uniform(-b * height, b * height, self.generator)
        scale = 1.0 if self.scale is None else uniform(*self.scale, self.generator)
        return angle, (right, down), scale

    def __call__(self, image: Tensor) -> Tensor:
        return affine(image, *self.sample(*image.shape[-2:]))


class RandomRotation(RandomAffine):
    """`RandomAffine` with the angle alone."""

    def __init__(
        self,
        degrees: float | tuple[float, float],
        generator: torch.Generator | None = None,
    ):
        super().__init__(degrees, generator=generator)


class RandomResizedCrop:
    """Cut out a box of random size, shape and place, and bring it to a fixed size."""

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        generator: torch.Generator | None = None,
    ):
        self.size = (size, size) if isinstance(size, int) else size
        self.scale = scale
        self.ratio = ratio
        self.generator = generator

    def sample(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Draw a box (top, left, h, w)."""
        low, high = self.ratio
        for _ in range(10):
            area = height * width * uniform(*self.scale, self.generator)
            ratio = math.exp(uniform(math.log(low), math.log(high), self.generator))
            h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 1 <= h <= height and 1 <= w <= width:
                top = torch.randint(
                    height - h + 1, (1,), generator=self.generator
                ).item()
                left = torch.randint(
                    width - w + 1, (1,), generator=self.generator
                ).item()
                return top, left, h, w
        return 0, 0, height, width

    def __call__(self, image: Tensor) -> Tensor:
        top, left, h, w = self.sample(*image.shape[-2:])
        box = image[:, top : top + h, left : left + w]
        return F.interpolate(
            box[None], self.size, mode="bilinear", align_corners=False
        )[0]


def train_transform(
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    generator: torch.Generator | None = None,
) -> Compose:
    """The pipeline with chance."""
    return Compose(
        [
            ToTensor(),
            RandomResizedCrop(size, generator=generator),
            RandomHorizontalFlip(generator=generator),
            RandomRotation(10, generator=generator),
            Normalize(mean, std),
        ]
    )
