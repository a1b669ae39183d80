"""Residual units whose shortcut is clean or not, nets of a hundred layers, and the
gradient at each of their states.

After He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks" (2016).
Sizes: B samples in a batch, D features (the width), L units in a net. The state x_l is
the input of unit l; x_L is the output of the last unit.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def shortcut_gain_numpy(scales: np.ndarray) -> np.ndarray:
    """Find the factor of the direct path, the one through shortcuts only: the product
    in equation (8) of the paper.

    Args:
        scales: (L,), the factors on the shortcuts of units 0 … L − 1.
    Returns:
        (L,): entry l is the product of scales[l:], from the input of unit l to the
        output of the last one.
        [2, 3, 5] gives [30, 15, 5].

    Edge cases ★
        float64 precision.
    """
    raise NotImplementedError


def residual_sum_numpy(x: np.ndarray, branches: list[np.ndarray]) -> list[np.ndarray]:
    """Find all states of a net of identity shortcuts: equation (4).

    Args:
        x: (B, D), the state x_0.
        branches: L arrays (B, D), the outputs of the branches of units 0 … L − 1.
    Returns:
        L + 1 arrays: x_0 is x, and x_{l+1} = x_l + branches[l].
        From x = 1, the branches 10 and 100 give 1, 11, 111.

    Edge cases ★
        float64 precision. x and the branches are not written to.
    """
    raise NotImplementedError


class ResidualUnit(nn.Module):
    """A shortcut and a branch of two linear layers, added (section 4 of the paper).

    `order` says where norm and relu are. "pre": before each layer of the branch.
    "post": after each layer, as in the first residual nets, and the last relu comes
    after the sum.
    """

    def __init__(
        self,
        width: int,
        order: str = "pre",
        shortcut: str = "identity",
        scale: float = 0.5,
        p: float = 0.5,
    ):
        """Create the layers.

        Args:
            width: D, of all layers.
            order: "pre" or "post".
            shortcut: "identity", "scale", "dropout" or "gate".
            scale: the factor of a "scale" shortcut.
            p: the share that a "dropout" shortcut drops.
        Attributes:
            norm1, norm2: `BatchNorm1d`.
            fc1, fc2: linear layers without bias, D to D.
            gate: with "gate" a linear layer D to D, weight 0 and bias −1. With the
                other shortcuts None.
            order, shortcut, scale, p: as given.

        Edge cases ★
            Another `order` or `shortcut` is an error that names it.
        """
        raise NotImplementedError

    def branch(self, x: Tensor) -> Tensor:
        """Compute the branch, F(x) in the paper.

        Args:
            x: (B, D).
        Returns:
            (B, D).

            - "pre": norm1, relu, fc1, norm2, relu, fc2.
            - "post": fc1, norm1, relu, fc2, norm2.
            - x itself stays as it is: the shortcut needs it.
        """
        raise NotImplementedError

    def skip(self, x: Tensor) -> Tensor:
        """Compute the shortcut, h(x) in the paper (section 3.1).

        Args:
            x: (B, D).
        Returns:
            (B, D).

            - "identity": x. "scale": `scale` · x.
            - "dropout": in train mode each element is 0 with probability p, and else
              x / (1 − p). In eval mode x.
            - "gate": (1 − sigmoid(gate(x))) · x: the paper's shortcut-only gating.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Add shortcut and branch.

        Args:
            x: (B, D).
        Returns:
            (B, D): skip(x) + branch(x). With order "post" this sum goes through a relu,
            with "pre" nothing follows.

        Edge cases ★
            x is not written to. A float64 unit computes in float64.
        """
        raise NotImplementedError


class DeepNet(nn.Module):
    """A classifier of `depth` residual units, two layers each.

    Args:
        depth: L, the number of units.
        width: D.
        order, shortcut: handed on to every unit.
        in_features: the features of a sample, after flattening.
        num_classes: the logits per sample.
    Attributes:
        stem: linear, in_features to D.
        units: `nn.ModuleList` of L `ResidualUnit`s.
        final: with "pre" `nn.Sequential` of a `BatchNorm1d` and a `ReLU`: no unit does
            this for x_L. With "post" `nn.Identity()`.
        head: linear, D to num_classes.

    `forward(x, return_states=False)` takes (B, …), flattened from dim 1, and returns
    logits (B, num_classes): stem, units, final, head. With return_states=True it
    returns (logits, [x_0 … x_L]): x_0 is the stem's output, x_L the last unit's, before
    `final`. The states are part of the graph. Keep PyTorch's own initialisation.
    """

    def __init__(
        self,
        depth: int,
        width: int = 32,
        order: str = "pre",
        shortcut: str = "identity",
        in_features: int = 64,
        num_classes: int = 10,
    ):
        raise NotImplementedError

    def forward(
        self, x: Tensor, return_states: bool = False
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        raise NotImplementedError


def gradient_profile(model: DeepNet, x: Tensor, y: Tensor) -> Tensor:
    """Measure how large a gradient reaches each state.

    Args:
        model: `model(x, return_states=True)` returns logits and L + 1 states.
        x, y: a batch of samples, and their labels (B,) int64.
    Returns:
        (L + 1,): entry l is the Euclidean norm of the gradient of the mean
        cross-entropy with respect to the state x_l, over all its B · D elements. The
        pass runs in the mode that the model is in.

    Edge cases ★
        Every `.grad` is as before. The result needs no gradient.
    """
    raise NotImplementedError


def train_deep(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 100,
    batch: int = 64,
    lr: float = 0.02,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train a classifier by SGD with momentum 0.9.

    Args:
        model: returns logits (rows, classes).
        x, y: all samples, and their labels (int64).
        steps: the number of updates, each on `batch` rows drawn at random.
        generator: the source of the draws. None means the global generator.
    Returns:
        One float per step: the mean cross-entropy of its batch before the update.

    - The optimizer takes all parameters of the model.
    - Gradients are cleared before each step.

    Edge cases ★
        The model is put in train mode and stays in it. Gradients that it holds at the
        start have no effect.
    """
    raise NotImplementedError
