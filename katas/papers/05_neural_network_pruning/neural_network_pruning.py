"""Neural network pruning: masks by magnitude, one threshold for a net, lottery tickets, and the bits of what is left.

After Hinton & van Camp, "Keeping the Neural Networks Simple by Minimizing the Description Length of the Weights"
(1993), Han et al. (2015) and Frankle & Carbin (2019). Sizes: B images in a batch, n weights of a layer, of which `kept`
are not pruned. Sparsity is the share of weights that are removed.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Measure the share of images that the model gets right."""
    with torch.no_grad():
        return (model(x).argmax(dim=1) == y).float().mean().item()


def prune_mask_numpy(weight: np.ndarray, sparsity: float) -> np.ndarray:
    """Mark the largest weights as kept, in NumPy.

    Args:
        weight: float64, of any shape.
        sparsity: the share to remove, 0 … 1.
    Returns:
        A bool array of weight's shape, True = kept. The round(sparsity · size) weights of smallest |w| are False.
        With sparsity 0.5, [0.1, −3, −0.2, 2] becomes [False, True, False, True].

    Edge cases ★
        Of equal |w|, the ones that come first in the flattened array are removed first. `weight` may be
        non-contiguous and is not written to.
    """
    raise NotImplementedError


def magnitude_mask(weight: Tensor, sparsity: float) -> Tensor:
    """Mark the largest weights as kept: the criterion of Han et al. (2015).

    Args:
        weight: of any shape.
        sparsity: the share to remove, 0 … 1.
    Returns:
        A bool tensor of weight's shape, True = kept. The round(sparsity · n) of the n weights with the smallest |w| are
        False. With sparsity 0.5, [0.1, −3, −0.2, 2] becomes [False, True, False, True].

    Edge cases ★
        Of equal |w|, the ones that come first in the flattened tensor are removed first. The mask is on the device of
        `weight`, which may be non-contiguous and is not written to. A sparsity below 0 or above 1 is an error.
    """
    raise NotImplementedError


class MaskedLinear(nn.Linear):
    """Compute a linear layer that sees only some of its weights.

    Args:
        in_features, out_features: as in `nn.Linear`, which sets up `weight` (out, in) and `bias` (out,).
    Attributes:
        mask: (out, in) bool buffer, part of the state_dict and no parameter. All True at the start.

    `forward(x)` takes x (…, in) to (…, out), with the product weight · mask in place of the weight.

    - Where mask is False a weight has no effect, and its gradient is 0.
    - The stored weight keeps its values. The mask is applied anew in every call: it may have changed.

    Edge cases ★
        A float64 layer computes in float64. A deep copy has a mask of its own. `mask` can be written to in place.
    """

    def __init__(self, in_features: int, out_features: int):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class MaskedMLP(nn.Module):
    """Stack masked linear layers with ReLU between them.

    Args:
        sizes: the features before, between and after the layers. [64, 32, 10] makes two layers.
    Attributes:
        layers: `nn.ModuleList` of `MaskedLinear`, the only parameters.

    `forward(x)` flattens x (B, …) from dimension 1 on and returns logits (B, sizes[−1]). No ReLU follows the
    last layer.

    Edge cases ★
        Two sizes make a single layer.
    """

    def __init__(self, sizes: list[int]):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def global_prune(model: MaskedMLP, sparsity: float) -> float:
    """Remove the smallest weights of a whole net, with one threshold for all layers.

    Args:
        model: its masks change. Weights and biases keep their values.
        sparsity: the share of all weights to remove. It includes those pruned before: 0.5 and then 0.8 gives 0.8.
    Returns:
        The share of weights that are pruned now, a float. Biases are neither ranked nor counted.

    - |weights| of all layers compete together, so some layers lose more than others.
    - What is pruned stays pruned, however large its stored value.

    Edge cases ★
        Kept weights that are exactly 0 go next, and the count stays exact. A sparsity below the one
        reached changes nothing.
        One outside 0 … 1 is an error.
    """
    raise NotImplementedError


def rewind(model: MaskedMLP, init_state: dict[str, Tensor]) -> None:
    """Put the start values back and keep the wiring: this makes the lottery ticket of Frankle & Carbin (2019).

    Args:
        model: its parameters, weights and biases, get the values in `init_state`. Its masks stay as they are.
        init_state: a deep copy of the `state_dict()` of the fresh model, with masks that are all True. Training the
            model afterwards does not change it.

    Edge cases ★
        The parameters stay the same objects, so that an optimizer still holds them. `init_state` may lack the masks.
    """
    raise NotImplementedError


def randomize_masks(model: MaskedMLP, generator: torch.Generator | None = None) -> None:
    """Wire each layer at random, with as many weights kept as before: what a ticket is compared with.

    Args:
        model: its masks change. Parameters stay as they are.
        generator: the source of the draws. None means the global generator.

    - Each layer keeps its own count, and all places are equally likely.

    Edge cases ★
        Masks stay on their device. Masks that are all True or all False stay so.
    """
    raise NotImplementedError


def train_classifier(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 200,
    batch: int = 64,
    lr: float = 0.005,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Teach a model to classify images, with Adam and cross-entropy.

    Args:
        model: from images to logits, trained in place. All of its parameters are trained.
        x, y: N images, and their N labels (int64).
        steps: the number of updates.
        batch: the images per update, drawn at random.
        lr: the learning rate of a new Adam.
        generator: the source of the draws. None means the global generator.
    Returns:
        The mean loss of each step's batch before its update, as floats.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first step have no effect.
    """
    raise NotImplementedError


def description_length(model: MaskedMLP, bits_per_weight: int = 32) -> float:
    """Count the bits that describe a masked net to someone who knows its layer sizes.

    Args:
        model: the values of its weights do not matter, its masks do.
        bits_per_weight: the bits per number that is sent.
    Returns:
        The sum over layers, a float. With n weights, `kept` of them not pruned, a layer costs

            (kept + biases) · bits_per_weight + log2 C(n, kept)

        The last term says which weights are kept: there are C(n, kept) ways to choose them. A layer (2, 3) with 4
        kept, at 16 bits, costs (4 + 2) · 16 + log2 15 = 99.9.

    Edge cases ★
        A layer without any kept weight costs its biases only.
    """
    raise NotImplementedError
