"""Image transforms: what makes every image the same kind of tensor, and what shows it a little differently each time.

A transform is anything that can be called with an image and returns one. There are two stages: PIL images, whose sizes
are (width, height), then float tensors (C, H, W). No transform changes the image it is given.

The random transforms share three rules. Each keeps the `torch.Generator` it is given and takes all its random numbers
from it, anew at every call; torch's global generator is not touched then. With `generator=None` they come from torch's
global one. So equally seeded generators give equal sequences of results, in whatever order the numbers are drawn.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class Compose:
    """Several transforms as one: each gets what the one before it returned.

    Args:
        transforms: the transforms, in order; one of them may be a `Compose` itself.
    Attributes:
        transforms: the same as a list.

    `compose(x)` returns what the last transform returns. Without any transform that is x.
    """

    def __init__(self, transforms: Sequence[Callable]):
        raise NotImplementedError

    def __call__(self, x: Any) -> Any:
        raise NotImplementedError

    def steps(self, x: Any) -> list[tuple[str, Any]]:
        """The same, and every result on the way: what to look at when a pipeline does not do what it should.

        Returns:
            `("input", x)`, and then for each transform the name of its class and its result:
            `[("input", image), ("Resize", smaller), ("ToTensor", tensor)]`.

        Each transform is called once, on the result of the one before. A `Compose` among them is one step.
        """
        raise NotImplementedError


class Resize:
    """Bring a PIL image to a size: PIL image in, PIL image of the same mode out.

    Args:
        size: an int is the new length of the shorter side; the longer one becomes int(size · longer / shorter), so the
            image keeps its proportions. An image 40 wide and 30 high becomes 8 wide and 6 high for 6. A pair is
            (height, width), whatever the proportions.
    Raises:
        ValueError: when it is made with a size below 1.

    The pixels are those of PIL's bilinear filter, `Image.Resampling.BILINEAR`: weighted averages of the pixels around,
    of all that fall together where the image shrinks. An image may also grow.
    """

    def __init__(self, size: int | tuple[int, int]):
        raise NotImplementedError

    def __call__(self, image: Image.Image) -> Image.Image:
        raise NotImplementedError


class CenterCrop:
    """Cut the middle out of a PIL image: PIL image in, PIL image of the same mode out.

    Args:
        size: (height, width), or an int for a square.
    Raises:
        ValueError: when it is made with a size below 1; when it is called with an image that is smaller than that.

    For an image of height H and width W the box of height h and width w begins at row (H − h) // 2 and column
    (W − w) // 2. Its pixels are those of the image, unchanged.
    """

    def __init__(self, size: int | tuple[int, int]):
        raise NotImplementedError

    def __call__(self, image: Image.Image) -> Image.Image:
        raise NotImplementedError


class ToTensor:
    """Turn a PIL image or a uint8 array into a float tensor.

    `to_tensor(image)` returns float32 (C, H, W) in [0, 1]: every value divided by 255, however dark or bright the image
    is. It shares no memory with the image.

    - PIL: mode "L" gives one channel, "RGB" three. An image of any other mode is converted to RGB first.
    - A NumPy array of dtype uint8, (H, W) or (H, W, C): (H, W) gives one channel. It may be read-only, and a view with
      any strides.

    Raises:
        TypeError: the image is an array of another dtype, or anything else.
    """

    def __call__(self, image: Image.Image | np.ndarray) -> Tensor:
        raise NotImplementedError


class Normalize:
    """Move and scale every channel by its own two numbers, so that all of them vary about 0 by about 1.

    Args:
        mean: a number for each channel, usually the mean of that channel over the training images.
        std: likewise the standard deviation.
    Raises:
        ValueError: when it is made, mean and std have different lengths, or an std is not above 0. When `normalize` or
            `inverse` is called, x has another number of channels than there are means: an image of one channel is
            refused, not repeated.
        TypeError: when either is called with integers; (x − mean) / std is no integer.

    `normalize(x)` takes floats (..., C, H, W), that is one image or a batch, and returns (x − mean) / std of the same
    shape and dtype, on the same device.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def inverse(self, x: Tensor) -> Tensor:
        """Undo it: x · std + mean, for looking at a normalised image. Same shapes, dtypes and errors."""
        raise NotImplementedError


class RandomHorizontalFlip:
    """Mirror an image now and then: left becomes right.

    Args:
        p: the probability. 0 never flips, 1 always does.
        generator: where the random numbers come from (see the top of this file).
    Raises:
        ValueError: when it is made with a p outside [0, 1].

    `flip(image)` takes (C, H, W) and returns it as it is, or with its last dim, the width, reversed.
    """

    def __init__(self, p: float = 0.5, generator: torch.Generator | None = None):
        raise NotImplementedError

    def __call__(self, image: Tensor) -> Tensor:
        raise NotImplementedError


class AddGaussianNoise:
    """Grain, as of a camera in the dark: the transform of one's own.

    Args:
        std: how strong the noise is.
        generator: where the random numbers come from (see the top of this file).
    Raises:
        ValueError: when it is made with a negative std.

    `noise(x)` takes floats of any shape, with values in [0, 1], and returns x + std · N(0, 1), clamped to [0, 1]. Dtype
    and device stay those of x. Every element of every call gets a number of its own.
    """

    def __init__(self, std: float = 0.05, generator: torch.Generator | None = None):
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def augmentation_gallery(image: Any, transform: Callable, n: int) -> Tensor:
    """Put one image through a random transform n times, to see what a model would be shown.

    Args:
        image: whatever the transform takes.
        transform: returns a tensor (C, H, W).
        n: how many times.
    Returns:
        (n, C, H, W): the results of n calls on the image, in order.
    Raises:
        ValueError: n is below 1.
    """
    raise NotImplementedError


def eval_transform(size: int, mean: Sequence[float], std: Sequence[float]) -> Compose:
    """The pipeline for validation, test and use: it makes a tensor of an image, and always the same one.

    Args:
        size: the height and the width of the result.
        mean, std: of the channels, for `Normalize`.
    Returns:
        A `Compose` of `Resize`, `CenterCrop`, `ToTensor` and `Normalize`: a PIL image of mode RGB becomes
        (3, size, size). The image's shorter side becomes size; what its longer side has too much is cut off.

    It draws no random number.
    """
    raise NotImplementedError


def affine(
    image: Tensor,
    angle: float = 0.0,
    translate: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
) -> Tensor:
    """Rotate, zoom and shift an image, all in one resampling.

    Args:
        image: (C, H, W), or a batch (B, C, H, W) whose images are all treated alike.
        angle: degrees, counter-clockwise as one looks at the image (row 0 is at the top).
        translate: (right, down) in pixels.
        scale: 2.0 makes everything in the image twice as large.
    Returns:
        The same shape, dtype and device. The content is rotated and zoomed about the centre of the image, and after
        that shifted. A pixel of the result is interpolated bilinearly between the four pixels around the place that it
        came from; it is 0 where that place lies outside the image.
    Raises:
        ValueError: scale is not above 0.

    All is measured in pixels, so an image that is not square is not distorted. 90 degrees of a square image is
    `torch.rot90(image, 1, (-2, -1))`; a shift by whole pixels moves the pixels as they are, also in float16 or bfloat16
    and a wide image. Gradients flow to the image.
    """
    raise NotImplementedError


class RandomAffine:
    """Rotate, shift and zoom by chance, within limits.

    Args:
        degrees: the limits (low, high) of the angle; one number d stands for (−d, d).
        translate: (a, b): the shift is at most a · width to either side and b · height up or down. None: no shift.
        scale: the limits (low, high) of the zoom. None: no zoom.
        generator: where the random numbers come from (see the top of this file).
    Raises:
        ValueError: when it is made with low > high for the angle, with an a or b outside [0, 1], or unless
            0 < low ≤ high for the scale.

    `random_affine(image)` returns `affine(image, angle, translate, scale)` with what one call of
    `self.sample(height, width)` gives for the image's height and width. A subclass may override `sample`.
    """

    def __init__(
        self,
        degrees: float | tuple[float, float],
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        generator: torch.Generator | None = None,
    ):
        raise NotImplementedError

    def sample(self, height: int, width: int) -> tuple[float, tuple[float, float], float]:
        """Draw (angle, (right, down), scale) for an image of this size, as plain floats.

        Each is drawn by itself, and uniformly: the angle and the scale between their limits, right between
        ±translate[0] · width and down between ±translate[1] · height, not rounded. No translate gives (0.0, 0.0), and
        no scale gives 1.0.
        """
        raise NotImplementedError

    def __call__(self, image: Tensor) -> Tensor:
        raise NotImplementedError


class RandomRotation:
    """`RandomAffine` with the angle alone.

    Args:
        degrees: the limits (low, high) of the angle; one number d stands for (−d, d).
        generator: where the random numbers come from (see the top of this file).
    Raises:
        ValueError: when it is made with low > high.

    `rotation(image)` returns `affine(image, angle, translate, scale)` with what one call of
    `self.sample(height, width)` gives. A subclass may override `sample`.
    """

    def __init__(self, degrees: float | tuple[float, float], generator: torch.Generator | None = None):
        raise NotImplementedError

    def sample(self, height: int, width: int) -> tuple[float, tuple[float, float], float]:
        """(angle, (0.0, 0.0), 1.0) with an angle drawn uniformly between the limits, as a plain float."""
        raise NotImplementedError

    def __call__(self, image: Tensor) -> Tensor:
        raise NotImplementedError


class RandomResizedCrop:
    """Cut out a box of random size, shape and place, and bring it to a fixed size.

    Args:
        size: (height, width) of the result, or an int for a square.
        scale: the limits (low, high) of the box's area, as a share of the image's area.
        ratio: the limits (low, high) of the box's width / height.
        generator: where the random numbers come from (see the top of this file).
    Raises:
        ValueError: when it is made with a size below 1, unless 0 < low ≤ high ≤ 1 for the scale, or unless
            0 < low ≤ high for the ratio.

    `crop(image)` takes (C, H, W) and returns (C, h, w): the box that one call of `self.sample(height, width)` gives,
    resized bilinearly. A box that has the size already comes out unchanged; equal values stay equal. A subclass may
    override `sample`.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        generator: torch.Generator | None = None,
    ):
        raise NotImplementedError

    def sample(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Draw a box (top, left, h, w) in an image of this size, as plain ints.

        - The area is uniform between scale[0] · height · width and scale[1] · height · width; the logarithm of w / h is
          uniform between log(ratio[0]) and log(ratio[1]), so that 1/2 is as likely as 2. Both sides follow and are
          rounded to whole numbers.
        - If h is not in 1 … height or w not in 1 … width, area and ratio are drawn again, up to ten tries in all.
        - The corner is uniform over all places that there are: top in 0 … height − h, left in 0 … width − w.
        - If no try fits: the largest box whose w / h is the image's own, clipped to ratio; rounded, no side below 1,
          and in the centre as in `CenterCrop`. With the default ratio that is (0, 43, 10, 13) in an image of 10 × 100.
        """
        raise NotImplementedError

    def __call__(self, image: Tensor) -> Tensor:
        raise NotImplementedError


def train_transform(
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    generator: torch.Generator | None = None,
) -> Compose:
    """The pipeline for training: it makes a tensor of an image, and a slightly different one each time.

    Args:
        size: the height and the width of the result.
        mean, std: of the channels, for `Normalize`.
        generator: where all random numbers come from (see the top of this file).
    Returns:
        A `Compose` of `ToTensor`, `RandomResizedCrop`, `RandomHorizontalFlip`, `RandomRotation` by up to 10 degrees
        either way, and `Normalize`: a PIL image of mode RGB becomes (3, size, size). What is not named here is as the
        classes have it by default.
    """
    raise NotImplementedError
