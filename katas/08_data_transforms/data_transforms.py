"""Image transforms: what makes every image the same kind of tensor, and what shows it a
little differently each time.

A transform is called with an image and returns one: PIL images, whose sizes are (width,
height), or float tensors (C, H, W). A transform with a `generator` draws its random
numbers from it alone, anew at every call; None is torch's global generator. Equally
seeded generators give equal sequences of results, in whatever order the numbers
are drawn.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class Compose:
    """Several transforms as one: each gets the result of the one before.

    Args:
        transforms: the transforms, in order. The attribute `transforms` keeps them as
            a list.

    `compose(x)` returns the result of the last transform.
    """

    def __init__(self, transforms: Sequence[Callable]):
        raise NotImplementedError

    def __call__(self, x: Any) -> Any:
        raise NotImplementedError

    def steps(self, x: Any) -> list[tuple[str, Any]]:
        """Apply the transforms and keep every result on the way.

        Returns:
            ("input", x), then the class name and the result of each transform, such as
            [("input", image), ("Resize", smaller), ("ToTensor", tensor)].

        Call each transform once, on the result of the one before.

        Edge cases ★
            Without any transform, the call returns x. A `Compose` among the transforms
            is one step.
        """
        raise NotImplementedError


class Resize:
    """Bring a PIL image to a size: PIL image in, PIL image of the same mode out.

    Args:
        size: an int is the new length of the shorter side, and the longer one becomes
            int(size · longer / shorter): an image 40 wide and 30 high becomes 8 wide
            and 6 high for 6. A pair is (height, width).

    Small images grow. The pixels are those of PIL's filter `Image.Resampling.BILINEAR`.

    Edge cases ★
        Modes with transparency are kept, too. For 6, an image of 11 × 55 becomes
        6 × 30: multiply first. The image given is not changed. A size below 1 is an
        error when the transform is made.
    """

    def __init__(self, size: int | tuple[int, int]):
        raise NotImplementedError

    def __call__(self, image: Image.Image) -> Image.Image:
        raise NotImplementedError


class CenterCrop:
    """Cut the middle out of a PIL image: PIL image in, PIL image of the same mode out.

    Args:
        size: (height, width), or an int for a square.

    In an image of height H and width W, a box of height h and width w begins at row
    (H − h) // 2 and column (W − w) // 2. Its pixels are unchanged.

    Edge cases ★
        A box as large as the image gives the whole image. A larger box is an error, and
        so is a size below 1 when the transform is made.
    """

    def __init__(self, size: int | tuple[int, int]):
        raise NotImplementedError

    def __call__(self, image: Image.Image) -> Image.Image:
        raise NotImplementedError


class ToTensor:
    """Turn a PIL image or a uint8 array into a float tensor.

    `to_tensor(image)` returns float32 (C, H, W) in [0, 1]: every value divided by 255,
    however dark the image is.

    - PIL: mode "L" gives one channel, "RGB" three.
    - A NumPy array of dtype uint8, (H, W) or (H, W, C): (H, W) gives one channel.

    Edge cases ★
        A PIL image of any other mode is converted to RGB first. An array may be
        read-only, or a view with any strides. The tensor shares no memory with it. An
        array of another dtype, or anything else, is an error.
    """

    def __call__(self, image: Image.Image | np.ndarray) -> Tensor:
        raise NotImplementedError


class Normalize:
    """Move and scale every channel by its own two numbers.

    Args:
        mean: a number per channel, usually its mean over the training images.
        std: a number per channel, usually its standard deviation.

    `normalize(x)` takes floats (..., C, H, W), one image or a batch, and returns
    (x − mean) / std.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def inverse(self, x: Tensor) -> Tensor:
        """Undo it: x · std + mean, for looking at a normalised image.

        Edge cases ★
            Both calls keep dtype and device, and leave x unchanged. They raise an error
            for integers, and for another number of channels than there are means: one
            channel is not repeated. Different lengths of mean and std, or a std that is
            not above 0, are an error when the transform is made.
        """
        raise NotImplementedError


class RandomHorizontalFlip:
    """Mirror an image with probability p: left becomes right.

    Args:
        p: the probability. 0 never flips, 1 always does.
        generator: see the top of this file.

    `flip(image)` takes (C, H, W) and returns it as it is, or with its last dim, the
    width, reversed.

    Edge cases ★
        The image given is not changed. A p outside [0, 1] is an error when the
        transform is made.
    """

    def __init__(self, p: float = 0.5, generator: torch.Generator | None = None):
        raise NotImplementedError

    def __call__(self, image: Tensor) -> Tensor:
        raise NotImplementedError


class AddGaussianNoise:
    """Add grain, like that of a camera in the dark: a transform of your own.

    Args:
        std: the standard deviation of the noise.
        generator: see the top of this file.

    `noise(x)` takes floats of any shape in [0, 1] and returns x + std · N(0, 1),
    clamped to [0, 1]. Every element of every call gets a number of its own.

    Edge cases ★
        Dtype and device stay those of x, and x is not changed. std = 0 adds nothing; a
        negative std is an error when the transform is made.
    """

    def __init__(self, std: float = 0.05, generator: torch.Generator | None = None):
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def augmentation_gallery(image: Any, transform: Callable, n: int) -> Tensor:
    """Put one image through a random transform n times, to see what a model would see.

    Args:
        image: the input of the transform, whatever its type.
        transform: returns a tensor (C, H, W).
        n: the number of calls.
    Returns:
        (n, C, H, W): the results of n calls on the image, in order.

    Edge cases ★
        n below 1 is an error.
    """
    raise NotImplementedError


def eval_transform(size: int, mean: Sequence[float], std: Sequence[float]) -> Compose:
    """The pipeline for validation, test and use: it always makes the same tensor of
    an image.

    Args:
        size: the height and the width of the result.
        mean, std: per channel, for `Normalize`.
    Returns:
        A `Compose` of `Resize`, `CenterCrop`, `ToTensor` and `Normalize`: a PIL image
        of mode RGB becomes (3, size, size). The shorter side becomes size, and the
        middle of the longer side is cut out.

    It draws no random number.
    """
    raise NotImplementedError


def affine(
    image: Tensor,
    angle: float = 0.0,
    translate: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
) -> Tensor:
    """Rotate, zoom and shift an image in one resampling.

    Args:
        image: (C, H, W), or a batch (B, C, H, W) of images that are all treated alike.
        angle: degrees, counter-clockwise as you look at the image (row 0 is at
            the top).
        translate: (right, down) in pixels.
        scale: 2.0 makes everything in the image twice as large.
    Returns:
        The same shape: rotated and zoomed about the centre of the image, then shifted.
        A pixel of the result is interpolated bilinearly at the place that it came from,
        and is 0 if that place lies outside the image.

    Measure in pixels, so that an image that is not square is not distorted. 90 degrees
    of a square image is `torch.rot90(image, 1, (-2, -1))`; a shift by whole pixels is
    exact. Gradients flow to the image.

    Edge cases ★
        Dtype and device stay. Compute places in float32 at least: bfloat16 has no
        number 301. The image given is not changed. A scale that is not above 0 is
        an error.
    """
    raise NotImplementedError


class RandomAffine:
    """Rotate, shift and zoom at random, within limits.

    Args:
        degrees: the limits (low, high) of the angle; one number d means (−d, d).
        translate: (a, b): the shift is at most a · width to either side and b · height
            up or down. None: no shift.
        scale: the limits (low, high) of the zoom. None: no zoom.
        generator: see the top of this file.

    `random_affine(image)` returns `affine(image, angle, translate, scale)` with the
    result of one call of `self.sample(height, width)`. A subclass may
    override `sample`.
    """

    def __init__(
        self,
        degrees: float | tuple[float, float],
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        generator: torch.Generator | None = None,
    ):
        raise NotImplementedError

    def sample(
        self, height: int, width: int
    ) -> tuple[float, tuple[float, float], float]:
        """Draw (angle, (right, down), scale) for an image of this size, as
        plain floats.

        Each is drawn independently and uniformly, shifts in pixels and not rounded.
        Without translate the shift is (0.0, 0.0), and without scale the scale is 1.0.

        Edge cases ★
            low = high is allowed. Errors when the transform is made: low > high, a or b
            outside [0, 1], a scale without 0 < low.
        """
        raise NotImplementedError

    def __call__(self, image: Tensor) -> Tensor:
        raise NotImplementedError


class RandomRotation:
    """`RandomAffine` with the angle alone.

    Args:
        degrees: the limits (low, high) of the angle; one number d means (−d, d).
        generator: see the top of this file.

    `rotation(image)` returns `affine(image, angle, translate, scale)` with the result
    of one call of `self.sample(height, width)`. A subclass may override `sample`.
    """

    def __init__(
        self,
        degrees: float | tuple[float, float],
        generator: torch.Generator | None = None,
    ):
        raise NotImplementedError

    def sample(
        self, height: int, width: int
    ) -> tuple[float, tuple[float, float], float]:
        """Draw (angle, (0.0, 0.0), 1.0), the angle uniform between the limits, as a
        plain float.

        Edge cases ★
            low = high is allowed; low > high is an error when the transform is made.
        """
        raise NotImplementedError

    def __call__(self, image: Tensor) -> Tensor:
        raise NotImplementedError


class RandomResizedCrop:
    """Cut out a box of random size, shape and place, and bring it to a fixed size.

    Args:
        size: (height, width) of the result, or an int for a square.
        scale: the limits (low, high) of the box's area, as a share of the image's area.
        ratio: the limits (low, high) of the box's width / height.
        generator: see the top of this file.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        generator: torch.Generator | None = None,
    ):
        self.size = _pair(size)
        self.scale, self.ratio, self.generator = scale, ratio, generator
        _require_limits("scale", scale, highest=1)
        _require_limits("ratio", ratio)

    def sample(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Draw a box (top, left, h, w) in an image of this size, as plain ints.

        - The area is uniform between scale[0] · height · width and
          scale[1] · height · width. The logarithm of w / h is uniform between
          log(ratio[0]) and log(ratio[1]), so that 1/2 is as likely as 2. Round
          both sides.
        - If h is not in 1 … height or w not in 1 … width, draw area and ratio again, up
          to ten tries in all.
        - The corner is uniform over all places: top in 0 … height − h, left in 0
          … width − w.

        Edge cases ★
            If no try fits, take the largest box whose w / h is the image's own, clipped
            to ratio. Round its sides, none below 1, and centre it as in `CenterCrop`:
            (0, 43, 10, 13) in an image of 10 × 100 with the default ratio.
        """
        raise NotImplementedError

    def __call__(self, image: Tensor) -> Tensor:
        """Resize the box that one call of `self.sample(height, width)` gives: (C, H, W)
        becomes (C, h, w).

        Resize bilinearly. A box that already has this size comes out unchanged, and
        equal values stay equal. A subclass may override `sample`.

        Edge cases ★
            The image given is not changed.
        """
        raise NotImplementedError


def train_transform(
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    generator: torch.Generator | None = None,
) -> Compose:
    """The pipeline for training: it makes a slightly different tensor of an image
    each time.

    Args:
        size: the height and the width of the result.
        mean, std: per channel, for `Normalize`.
        generator: the source of all random numbers; see the top of this file.
    Returns:
        A `Compose` of `ToTensor`, `RandomResizedCrop`, `RandomHorizontalFlip`,
        `RandomRotation` by up to 10 degrees either way, and `Normalize`, otherwise with
        their defaults: a PIL image of mode RGB becomes (3, size, size).
    """
    raise NotImplementedError


# Helpers of the classes above.
def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width), both at least 1."""
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"a size should be at least 1, not {size}")
    return height, width


def _require_limits(
    name: str, limits: tuple[float, float], highest: float = math.inf
) -> None:
    low, high = limits
    if not 0 < low <= high <= highest:
        raise ValueError(
            f"{name} should have 0 < low <= high <= {highest}, not {limits}"
        )
