"""Few bits in the weights: noisy weights and their price, then pruning, lottery
tickets, and the bits of what is left.

After Hinton & van Camp, "Keeping the Neural Networks Simple by Minimizing the
Description Length of the Weights" (1993), Han et al. (2015) and Frankle & Carbin
(2018). Sizes: N images, B of them in a batch, n weights of a layer, of which `kept` are
not pruned. Sparsity is the share of weights that are removed.
"""

import math  # stub: keep

import numpy as np
import torch
import torch.nn.functional as F  # stub: keep
from torch import Tensor, nn


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Measure the share of images that the model gets right."""
    with torch.no_grad():
        return (model(x).argmax(dim=1) == y).float().mean().item()


def noisy_net(sizes: list[int]) -> nn.Sequential:
    """Stack noisy layers with ReLU between them, after images are flattened.
    [64, 32, 10] makes two layers.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for n, m in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [NoisyLinear(n, m), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def kl_bits(mean: Tensor, log_var: Tensor, prior_std: float = 0.3) -> Tensor:
    """Price noisy weights in bits: the divergence between prior and posterior
    (equation 9).

    Args:
        mean: of any shape. Weight i has the posterior Q, normal with mean[i] and the
            variance exp(log_var[i]).
        log_var: the natural logarithm of each variance, in mean's shape.
        prior_std: the standard deviation of the prior P of every weight, which is
            normal with mean 0.
    Returns:
        The sum over all weights, a tensor of shape () with a graph, in bits, not nats.
        One weight costs

            log2(prior_std / std) + ((std² + mean²) / prior_std² − 1) / (2 · ln 2),
            std² = exp(log_var)

    - A weight whose posterior is the prior costs nothing. Half the noise of a precise
      weight costs one bit more.
    - It is the mean of log2 Q(w) − log2 P(w) over draws w from Q: the bits to send w,
      less those that the receiver gets back (section 5.2).

    Edge cases ★
        float64 in, float64 out. A log_var of −200, whose variance is 0 in float32,
        still has a finite price.
    """
    variance = log_var.exp()
    nats = (
        math.log(prior_std)
        - log_var / 2
        + ((variance + mean.square()) / prior_std**2 - 1) / 2
    )
    return nats.sum() / math.log(2)


class NoisyLinear(nn.Linear):
    """Compute a linear layer whose weights are uncertain: one mean and one variance per
    weight (section 5).

    Args:
        in_features, out_features: as in `nn.Linear`, which sets up `weight` (out, in)
            and `bias` (out,).
    Attributes:
        weight: the means of the weights. The biases have no noise.
        log_var: (out, in) parameter, the log of each weight's variance. It starts at
            −6: a standard deviation of 0.05.

    `forward(x)` takes x (…, in) to (…, out). In training mode it draws the weights,
    mean + std · noise with standard normal noise; in eval mode it uses the means.

    - All rows of x meet the same draw. The next call makes a new one.
    - Gradients reach `weight` and `log_var` through the draw, the noise being
      a constant.

    Edge cases ★
        A float64 layer computes in float64.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features)
        self.log_var = nn.Parameter(torch.full_like(self.weight, -6.0))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if self.training:
            weight = weight + (self.log_var / 2).exp() * torch.randn_like(weight)
        return F.linear(x, weight, self.bias)


def train_noisy(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 400,
    lr: float = 0.03,
    price: float = 1.0,
    prior_std: float = 0.3,
) -> list[float]:
    """Find the weights with the shortest message: the bits of the errors plus the bits
    of the weights.

    Args:
        model: from images to logits, trained in place. Some of its modules
            are `NoisyLinear`.
        x, y: N images, and their N labels (int64). Every step reads all of them.
        steps, lr: of a new Adam on all parameters.
        price: a factor before the bits of the weights. With 0 they are free.
        prior_std: of the weights' prior.
    Returns:
        What each step minimizes, before its update, as floats:

            Σ −log2 p(label) over the N images + price · Σ `kl_bits` over the
            noisy layers

    - A sum over images, not a mean: weights are sent once, and they are to save bits
      for all labels together.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect.
    """
    layers = [module for module in model.modules() if isinstance(module, NoisyLinear)]
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        errors = F.cross_entropy(model(x), y, reduction="sum") / math.log(2)
        bits = errors + price * sum(
            kl_bits(layer.weight, layer.log_var, prior_std) for layer in layers
        )
        optimizer.zero_grad()
        bits.backward()
        optimizer.step()
        losses.append(bits.item())
    return losses


def prune_mask_numpy(weight: np.ndarray, sparsity: float) -> np.ndarray:
    """Mark the largest weights as kept, in NumPy.

    Args:
        weight: float64, of any shape.
        sparsity: the share to remove, 0 … 1.
    Returns:
        A bool array of weight's shape, True = kept. The round(sparsity · size) weights
        of smallest |w| are False.
        With sparsity 0.5, [0.1, −3, −0.2, 2] becomes [False, True, False, True].

    Edge cases ★
        Of equal |w|, the ones that come first in the flattened array are removed first.
        `weight` may be non-contiguous and is not written to.
    """
    mask = np.ones(weight.size, dtype=bool)
    mask[
        np.argsort(np.abs(weight), axis=None, kind="stable")[
            : round(sparsity * weight.size)
        ]
    ] = False
    return mask.reshape(weight.shape)


def magnitude_mask(weight: Tensor, sparsity: float) -> Tensor:
    """Mark the largest weights as kept: the criterion of Han et al. (2015).

    Args:
        weight: of any shape.
        sparsity: the share to remove, 0 … 1.
    Returns:
        A bool tensor of weight's shape, True = kept. The round(sparsity · n) of the n
        weights with the smallest |w| are False. With sparsity 0.5, [0.1, −3, −0.2, 2]
        becomes [False, True, False, True].

    Edge cases ★
        Of equal |w|, the ones that come first in the flattened tensor are removed
        first. The mask is on the device of `weight`, which may be non-contiguous and is
        not written to. A sparsity below 0 or above 1 is an error.
    """
    return _largest(weight.abs(), sparsity)


def _largest(scores: Tensor, sparsity: float) -> Tensor:
    """True where a score is not among the round(sparsity · n) smallest ones."""
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity is {sparsity}, it must be from 0 to 1")
    mask = torch.ones(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[
        scores.detach().flatten().argsort(stable=True)[: round(sparsity * len(mask))]
    ] = False
    return mask.reshape(scores.shape)


class MaskedLinear(nn.Linear):
    """Compute a linear layer that sees only some of its weights.

    Args:
        in_features, out_features: as in `nn.Linear`, which sets up `weight` (out, in)
            and `bias` (out,).
    Attributes:
        mask: (out, in) bool buffer, part of the state_dict and no parameter. All True
            at the start.

    `forward(x)` takes x (…, in) to (…, out), with the product weight · mask in place of
    the weight.

    - Where mask is False a weight has no effect, and its gradient is 0.
    - The stored weight keeps its values. The mask is applied anew in every call: it may
      have changed.

    Edge cases ★
        A float64 layer computes in float64. A deep copy has a mask of its own. `mask`
        can be written to in place.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features)
        self.register_buffer("mask", torch.ones_like(self.weight, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class MaskedMLP(nn.Module):
    """Stack masked linear layers with ReLU between them.

    Args:
        sizes: the features before, between and after the layers. [64, 32, 10] makes
            two layers.
    Attributes:
        layers: `nn.ModuleList` of `MaskedLinear`, the only parameters.

    `forward(x)` flattens x (B, …) from dimension 1 on and returns logits (B,
    sizes[−1]). No ReLU follows the last layer.

    Edge cases ★
        Two sizes make a single layer.
    """

    def __init__(self, sizes: list[int]):
        super().__init__()
        self.layers = nn.ModuleList(
            MaskedLinear(*pair) for pair in zip(sizes[:-1], sizes[1:], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers[0](x.flatten(1))
        for layer in self.layers[1:]:
            x = layer(F.relu(x))
        return x


def global_prune(model: MaskedMLP, sparsity: float) -> float:
    """Remove the smallest weights of a whole net, with one threshold for all layers.

    Args:
        model: its masks change. Weights and biases keep their values.
        sparsity: the share of all weights to remove. It includes those pruned before:
            0.5 and then 0.8 gives 0.8.
    Returns:
        The share of weights that are pruned now, a float. Biases are neither ranked
        nor counted.

    - |weights| of all layers compete together, so some layers lose more than others.
    - What is pruned stays pruned, however large its stored value.

    Edge cases ★
        Kept weights that are exactly 0 go next, and the count stays exact. A sparsity
        below the one reached changes nothing.
        One outside 0 … 1 is an error.
    """
    scores = [
        layer.weight.abs().masked_fill(~layer.mask, -1.0) for layer in model.layers
    ]
    keep = _largest(torch.cat([score.flatten() for score in scores]), sparsity)
    for layer, part in zip(
        model.layers, keep.split([score.numel() for score in scores]), strict=True
    ):
        layer.mask &= part.view_as(layer.mask)
    return sum((~layer.mask).sum().item() for layer in model.layers) / len(keep)


def rewind(model: MaskedMLP, init_state: dict[str, Tensor]) -> None:
    """Put the start values back and keep the wiring: this makes the lottery ticket of
    Frankle & Carbin (2018).

    Args:
        model: its parameters, weights and biases, get the values in `init_state`. Its
            masks stay as they are.
        init_state: a deep copy of the `state_dict()` of the fresh model, with masks
            that are all True. Training the model afterwards does not change it.

    Edge cases ★
        The parameters stay the same objects, so that an optimizer still holds them.
        `init_state` may lack the masks.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(init_state[name])


def randomize_masks(model: MaskedMLP, generator: torch.Generator | None = None) -> None:
    """Wire each layer at random, with as many weights kept as before: what a ticket is
    compared with.

    Args:
        model: its masks change. Parameters stay as they are.
        generator: the source of the draws. None means the global generator.

    - Each layer keeps its own count, and all places are equally likely.

    Edge cases ★
        Masks stay on their device. Masks that are all True or all False stay so.
    """
    for layer in model.layers:
        order = torch.randperm(layer.mask.numel(), generator=generator).to(
            layer.mask.device
        )
        layer.mask.copy_(layer.mask.flatten()[order].view_as(layer.mask))


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
        model: from images to logits, trained in place. All of its parameters
            are trained.
        x, y: N images, and their N labels (int64).
        steps: the number of updates.
        batch: the images per update, drawn at random.
        lr: the learning rate of a new Adam.
        generator: the source of the draws. None means the global generator.
    Returns:
        The mean loss of each step's batch before its update, as floats.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def description_length(model: MaskedMLP, bits_per_weight: int = 32) -> float:
    """Count the bits that describe a masked net to someone who knows its layer sizes.

    Args:
        model: the values of its weights do not matter, its masks do.
        bits_per_weight: the bits per number that is sent.
    Returns:
        The sum over layers, a float. With n weights, `kept` of them not pruned, a
        layer costs

            (kept + biases) · bits_per_weight + log2 C(n, kept)

        The last term says which weights are kept: there are C(n, kept) ways to choose
        them. A layer (2, 3) with 4 kept, at 16 bits, costs
        (4 + 2) · 16 + log2 15 = 99.9.

    Edge cases ★
        A layer without any kept weight costs its biases only.
    """
    bits = 0.0
    for layer in model.layers:
        n, kept = layer.mask.numel(), int(layer.mask.sum())
        bits += (kept + layer.bias.numel()) * bits_per_weight + math.log2(
            math.comb(n, kept)
        )
    return bits
