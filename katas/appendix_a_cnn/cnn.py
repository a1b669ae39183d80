"""Convolutional networks for pictures: the two operations, a binary classifier, a
folder of pictures, training, a file.

Sizes: B pictures per batch, Cin and Cout channels, H × W pixels, kH × kW a kernel or
window. Pairs are (height, width).
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


def make_stripe_images(
    num_images: int,
    image_size: int = 16,
    noise: float = 0.5,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw pictures of coloured stripes under noise, the data that this kata trains
    on (given).

    Args:
        num_images: N.
        image_size: S, the height and the width.
        noise: the standard deviation of what is added to each value.
        generator: where the random numbers come from; None takes the global generator.
    Returns:
        Images (N, 3, S, S) float32 in [0, 1] and labels (N,) float32, 0, 1, 0, 1, …: 0
        for horizontal stripes, 1 for vertical ones. Colours, width and place of the
        stripes are drawn anew for each picture and do not depend on its label.
    """
    labels = torch.arange(num_images) % 2
    period = 4 + 2 * torch.rand(num_images, 1, generator=generator)
    offset = torch.rand(num_images, 1, generator=generator)
    # (N, 1, 1, S)
    profile = torch.sin(2 * math.pi * (torch.arange(image_size) / period + offset))[
        :, None, None, :
    ]
    vertical = profile.expand(-1, 3, image_size, -1)
    stripes = torch.where(labels[:, None, None, None] == 1, vertical, vertical.mT)
    middle, contrast = torch.rand(2, num_images, 3, 1, 1, generator=generator)
    colours = 0.35 + 0.3 * middle + (0.25 + 0.25 * contrast) * stripes
    images = colours + noise * torch.randn(
        num_images, 3, image_size, image_size, generator=generator
    )
    return images.clamp(0, 1), labels.float()


def conv_output_size(
    size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Count the places at which a kernel fits along one side of a picture.

    Args:
        size: pixels along that side.
        kernel_size: pixels of the kernel along the same side.
        stride: how far the kernel moves from one place to the next.
        padding: pixels added at each of the two ends.
        dilation: the distance between neighbouring elements of the kernel; 1
            means adjacent.
    Returns:
        ⌊(size + 2 · padding − dilation · (kernel_size − 1) − 1) / stride⌋ + 1, an int.
        For 7 pixels and a kernel of 3 there are 5 places; with stride 2 there are 3,
        and with padding 1 as well, 4.

    Edge cases ★
        A result below 1 is an error that names `size`. So is a kernel_size, stride or
        dilation below 1, and a negative padding.
    """
    raise NotImplementedError


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Take the same weighted sum at every place of a picture.

    Args:
        x: (B, Cin, H, W) pictures.
        weight: (Cout, Cin, kH, kW), one kernel over all input channels per
            output channel.
        bias: (Cout,), added to each output channel; None adds nothing.
        stride: the steps of the kernel, an int or a pair (height, width).
        padding: the zeros on each side, an int or a pair (height, width).
    Returns:
        (B, Cout, H', W'), with H' and W' by `conv_output_size`:

            y[b, o, i, j] = bias[o] + Σ padded[b, c, i · stride_h + u, j · stride_w + v]
            · weight[o, c, u, v]

        summed over c and the kernel's places (u, v).

    The kernel is not flipped: the row 1 2 4 under the kernel 10 1 gives 12 24.
    Gradients reach x, weight and bias.
    Use no convolution function or module; `F.pad`, `F.unfold`, `Tensor.unfold` and
    `einsum` are fine.

    Edge cases ★
        The arguments may be non-contiguous and are not written to; dtype and device are
        those of x. Errors: x and weight have different numbers of channels, or the
        padded picture is smaller than the kernel.
    """
    raise NotImplementedError


def max_pool2d(
    x: Tensor,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Keep the largest value of every window, separately in each channel.

    Args:
        x: (B, C, H, W).
        kernel_size: the window, an int or a pair (height, width).
        stride: the steps of the window, an int or a pair; None means `kernel_size`, so
            that windows tile the picture.
        padding: pixels added on both sides of each direction, an int or a pair.
    Returns:
        (B, C, H', W'), with H' and W' by the rule of `conv_output_size`. The rows 1 3 2
        8 5 and 4 0 6 7 9 under a window of 2 become 4 8: the incomplete window on the
        right is dropped.

    Padding never wins, not even over negative values. The gradient of a window goes to
    its maximum. Use no pooling function or module.

    Edge cases ★
        In a tie, the gradient goes to exactly one of the equal values. x may be
        non-contiguous and is not written to; dtype and device are those of x. Errors:
        padding is more than half of `kernel_size` in one direction, or no window fits.
    """
    raise NotImplementedError


class BinaryCNN(nn.Module):
    """A small convolutional network that answers one question about a picture with yes
    or no.

    It is built from PyTorch's layers.
    """

    def __init__(
        self,
        image_size: int = 16,
        in_channels: int = 3,
        channels: Sequence[int] = (8, 16, 32),
        hidden: int = 32,
        dropout: float = 0.5,
        batch_norm: bool = False,
    ):
        """Build the convolutional blocks and the classifier.

        Args:
            image_size: S, the height and the width of the pictures.
            in_channels: Cin, 3 for colour.
            channels: the output channels of each block.
            hidden: the width of the classifier's hidden layer.
            dropout: the probability of dropping a hidden value.
            batch_norm: whether each convolution is followed by a batch norm.
        Attributes:
            features: a flat `nn.Sequential`. Per entry of `channels` it has a 3×3
                `Conv2d` with padding 1, `BatchNorm2d` if asked for, `ReLU`, and
                `MaxPool2d` of 2, which halves height and width. Before a batch norm,
                the `Conv2d` has no bias: the norm would subtract it again.
            classifier: `nn.Sequential` of `Flatten`, `Linear` to `hidden`, `ReLU`,
                `Dropout`, `Linear` to 1.
            config: a dict of the six arguments under their names, `channels` as a list.

        Edge cases ★
            `config["channels"]` is not the caller's own list. An image_size that cannot
            be halved once per block without a remainder is an error that names it.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit per picture: positive where the network says 1. No sigmoid
        here; the loss takes logits.

        Args:
            x: (B, in_channels, S, S).
        Returns:
            (B,) logits, also for B = 1.

        Edge cases ★
            An x of another shape is an error.
        """
        raise NotImplementedError

    def predict_proba(self, x: Tensor) -> Tensor:
        """Return the probability of class 1 for each picture of x, (B,), without
        changing the mode of the model.
        """
        return torch.sigmoid(self(x))


class ImageFolderDataset(Dataset):
    """The pictures below a folder, labelled by the sub-folder that holds them.

    root/cat/a.png   root/cat/outdoors/b.jpg   root/dog/c.jpeg
    """

    def __init__(
        self, root: str | Path, transform: Callable[[Tensor], Tensor] | None = None
    ):
        """Find the pictures, without opening any of them. `len(dataset)` is the number
        of samples.

        Args:
            root: the folder, as a str or a Path.
            transform: called with each picture on access; its result replaces the
                picture. None changes nothing.
        Attributes:
            classes: the names of the folders in root, sorted.
            class_to_idx: name → label, the name's position in `classes`.
            samples: (path, label) of every picture, a path being a str or a Path.
                Classes come in order, and the files of one folder are sorted. The order
                among nested folders is free.

        A picture is a file whose name ends in .png, .jpg, .jpeg or .bmp. All other
        files are ignored, and so are files directly in root. Folders inside a class
        folder belong to that class.

        Edge cases ★
            Extensions count in any case (.JPG); a folder named like a picture is no
            picture. Errors that name the folder: root is not a folder or has no
            folders; a class folder has no picture.
        """
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        """Open one picture.

        Args:
            i: the position in `samples`.
        Returns:
            (picture, label): a float32 tensor (3, H, W) with values in [0, 1], where 1
            is a byte of 255, after `transform`; and an int. Grey and transparent
            pictures get three channels, too, by PIL's `convert("RGB")`.
        """
        raise NotImplementedError


def evaluate_binary(
    model: nn.Module, loader: DataLoader, threshold: float = 0.5
) -> dict[str, float]:
    """Measure a binary classifier on all samples of a loader.

    Args:
        model: takes images, returns (B,) logits.
        loader: batches (images, labels), the labels (B,) being 0 or 1 as floats
            or ints.
        threshold: a sample counts as positive if its probability is at least this.
    Returns:
        {"loss": …, "accuracy": …}, plain floats: the mean over all samples of the
        binary cross-entropy of the logits, and the share of right answers. Each sample
        counts the same, even in a smaller last batch.

    1. A logit of 120 for the label 0 costs 120: work with logits, not with the
       sigmoid's rounded result.
    2. The model runs in eval mode, without gradients. Its mode and its buffers are the
       same afterwards.

    Edge cases ★
        Every module gets its own training flag back: part of a model may be frozen in
        eval mode. A loader without samples is an error.
    """
    raise NotImplementedError


def train_classifier(
    model: nn.Module,
    train_loader: DataLoader,
    val_loader: DataLoader,
    *,
    epochs: int,
    lr: float = 1e-3,
    lr_step_size: int | None = None,
    lr_gamma: float = 0.1,
) -> list[dict[str, float]]:
    """Train a binary classifier with Adam, one update per batch on the binary
    cross-entropy of its logits.

    Args:
        model: takes images, returns (B,) logits.
        train_loader, val_loader: batches (images, labels) as in `evaluate_binary`;
            int64 labels are fine.
        epochs: how often to go through train_loader.
        lr: the learning rate at the start.
        lr_step_size: the rate is multiplied by `lr_gamma` after every lr_step_size
            epochs; None keeps the rate.
        lr_gamma: that factor. With lr 0.01, step size 2 and factor 0.5, five epochs
            have the rates 0.01, 0.01, 0.005, 0.005, 0.0025.
    Returns:
        Per epoch a dict of plain floats: "lr", the rate that the epoch was trained
        with; "train_loss", the mean over its samples, each batch's loss taken before
        its update; "val_loss" and "val_accuracy" from `evaluate_binary` after
        the epoch.

    Every epoch trains in training mode, whichever mode the model was in.

    Edge cases ★
        Gradients from before the call have no influence. A loader with drop_last gives
        fewer samples than its dataset has; "train_loss" is the mean over the samples
        that came.
    """
    raise NotImplementedError


def compare_batch_norm(
    train_loader: DataLoader,
    val_loader: DataLoader,
    *,
    epochs: int,
    lr: float = 1e-3,
    seed: int = 0,
    **model_kwargs,
) -> dict[str, list[dict[str, float]]]:
    """Train the same network without and with batch norm, from the same seed.

    Args:
        train_loader, val_loader, epochs, lr: for `train_classifier`, without
            a schedule.
        seed: for `torch.manual_seed`, set before each of the two networks is built
            and trained.
        model_kwargs: the other arguments of `BinaryCNN`.
    Returns:
        {"plain": history, "batch_norm": history}, in this order, as `train_classifier`
        returns them. A second call returns the same.

    Edge cases ★
        The state of the global random generator is the same after the call as before.
    """
    raise NotImplementedError


def save_model(path: str | Path, model: BinaryCNN) -> None:
    """Write a model to a file from which `load_model` can rebuild it.

    Args:
        path: of the file; an existing file is replaced.
        model: in training or eval mode, which it keeps.

    The file holds the model's arguments (no weight tells the dropout), its weights and
    its buffers, in a layout of your own. `torch.load(path, weights_only=True)` opens
    it, so it cannot hold the pickled model itself.
    """
    raise NotImplementedError


def load_model(path: str | Path, map_location: str | torch.device = "cpu") -> BinaryCNN:
    """Rebuild a model from a file that `save_model` wrote.

    Args:
        path: of the file.
        map_location: the device for the model. Pass it to `torch.load` too, so that a
            file from a GPU opens on a machine without one.
    Returns:
        A new `BinaryCNN` with the same config, weights and buffers, in eval mode.

    Edge cases ★
        Code hidden in the file is never run: open it with `weights_only=True`.
    """
    raise NotImplementedError
