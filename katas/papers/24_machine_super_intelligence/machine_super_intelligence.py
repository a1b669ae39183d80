"""Universal intelligence: reward in every world, weighted by 2^-(description length of
the world).

After Legg & Hutter, "Universal Intelligence: A Definition of Machine Intelligence"
(2007). A world is a bit pattern of length n ≤ max_length, repeated for ever. At each
step a policy acts 0 or 1 and then sees the right bit; the reward is 1 if it acted the
right bit. A policy is a function from the list of right bits so far to the probability
of acting 1.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Policy = Callable[[list[int]], float]


def enumerate_patterns(max_length: int) -> list[tuple[int, ...]]:
    """List all bit patterns of length 1 to max_length: shorter ones first, then in
    binary order.
    """
    return [
        pattern
        for n in range(1, max_length + 1)
        for pattern in product((0, 1), repeat=n)
    ]


def description_length(pattern: tuple[int, ...]) -> int:
    """Count the bits that describe a pattern of length n: n in unary, then the n
    bits themselves.
    """
    return 2 * len(pattern)


def random_policy(history: list[int]) -> float:
    """Toss a coin."""
    return 0.5


def repeat_policy(history: list[int]) -> float:
    """Act the last bit; toss a coin at the start."""
    return float(history[-1]) if history else 0.5


def solomonoff_policy(max_length: int) -> Policy:
    """Make the policy that acts the more probable bit of the mixture, and tosses a coin
    on a tie.
    """

    def policy(history: list[int]) -> float:
        chance = mixture_probability(history, max_length)
        return 0.5 if chance == 0.5 else float(chance > 0.5)

    return policy


def sample_environments(
    num: int, max_length: int, horizon: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw worlds and play them: (num, horizon) int64. Length n has a probability
    proportional to 2^-n; the bits of the pattern are uniform.
    """
    lengths = 1 + torch.multinomial(
        0.5 ** torch.arange(1.0, max_length + 1), num, True, generator=generator
    )
    patterns = torch.randint(2, (num, max_length), generator=generator)
    return patterns.gather(1, torch.arange(horizon) % lengths[:, None])


def as_policy(model: nn.Module) -> Policy:
    """Make a policy of a network that maps bits (B, T) to logits (B, T)."""

    def policy(history: list[int]) -> float:
        # the last bit is not known yet: logit t depends on earlier bits only
        bits = torch.tensor([[*history, 0]])
        with torch.no_grad():
            return model(bits)[0, -1].sigmoid().item()

    return policy


def complexity_weighted_sum(values: Tensor, lengths: Tensor) -> Tensor:
    """Add up values, each weighted by 2^-(its description length): the sum that defines
    the measure (section 3.3).

    Args:
        values: (N,) floats.
        lengths: (N,) description lengths in bits, int64 or float.
    Returns:
        A tensor without dimensions: Σ values · 2^-lengths. Nothing is divided by the
        sum of the weights.

    With values [0.5, 1] and lengths [1, 2]: 0.25 + 0.25 = 0.5.

    - Gradients flow back to `values`.

    Edge cases ★
        The result has the dtype of `values`.
    """
    raise NotImplementedError


def complexity_weighted_sum_numpy(values: np.ndarray, lengths: np.ndarray) -> float:
    """Add up values, each weighted by 2^-(its description length), in NumPy.

    Args:
        values: (N,) float64.
        lengths: (N,) description lengths in bits, int or float.
    Returns:
        Σ values · 2^-lengths.

    With values [0.5, 1] and lengths [1, 2]: 0.25 + 0.25 = 0.5.

    Edge cases ★
        float64 precision.
    """
    raise NotImplementedError


def environment_value(policy: Policy, pattern: tuple[int, ...], horizon: int) -> float:
    """Compute the expected reward per step of a policy in the world that repeats
    a pattern.

    Args:
        policy: maps the list of right bits so far to the probability of acting 1.
        pattern: its bits. After the last one it starts again.
        horizon: the number of steps.
    Returns:
        The mean, over steps 0 to horizon − 1, of the probability that the policy gives
        to the right bit. It is exact: nothing is sampled.

    A policy that always returns 0.9, with pattern (1, 0) and horizon 3:
    (0.9 + 0.1 + 0.9) / 3.

    - At step t the policy sees the t earlier bits, oldest first.

    Edge cases ★
        The policy may alter the list that it gets.
    """
    raise NotImplementedError


def universal_intelligence(policy: Policy, max_length: int, horizon: int) -> float:
    """Compute the intelligence of a policy: its value in every world, weighted by
    complexity (section 3.3).

    Args:
        policy: as for `environment_value`.
        max_length: the worlds are those of all patterns up to this length.
        horizon: the number of steps in each world.
    Returns:
        Σ value · 2^-(description length) over all of `enumerate_patterns(max_length)`.

    A coin has 0.5 · (1 − 2^-max_length): its value is 0.5 everywhere, and the weights
    add up to 1 − 2^-max_length.

    Edge cases ★
        float64 precision.
    """
    raise NotImplementedError


def mixture_probability(history: list[int], max_length: int) -> float:
    """Predict the next bit by Solomonoff's mixture of all patterns that explain
    the past.

    Args:
        history: the right bits so far, possibly more than max_length.
        max_length: of the patterns in `enumerate_patterns`.
    Returns:
        The probability that the next bit is 1: among the patterns that fit, the share
        of those that go on with 1. Each counts with its weight,
        2^-(description length).

    - A pattern fits if the *whole* history is the start of its repetition.

    With history [1, 0] and max_length 3, (1, 0), (1, 0, 0) and (1, 0, 1) fit, with
    weights 4 : 1 : 1. They go on with 1, 0 and 1: the result is 5/6.

    Edge cases ★
        If no pattern fits, the result is 0.5.
    """
    raise NotImplementedError


class RecurrentPolicy(nn.Module):
    """A policy that is learned: a GRU reads the bits so far, and one logit says what to
    act next.

    Args:
        hidden_size: H, the size of the GRU's state.
    Attributes:
        gru: an `nn.GRU` with `batch_first`, from 2 to H.
        output: an `nn.Linear` from H to 1.

    `forward(bits)` takes the right bits (B, T) int64, and returns logits (B, T): logit
    t is for acting 1 at step t.

    - The GRU reads one-hot bits, shifted by one: zeros at step 0, bit t − 1 at step t.
      So logit t depends only on bits 0 to t − 1.

    Edge cases ★
        A float64 model computes in float64.
    """

    def __init__(self, hidden_size: int):
        raise NotImplementedError

    def forward(self, bits: Tensor) -> Tensor:
        raise NotImplementedError


def train_policy(
    model: nn.Module,
    *,
    steps: int,
    max_length: int,
    horizon: int,
    batch_size: int = 64,
    lr: float = 1e-2,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train a network to collect reward, in worlds that come as often as their
    weights say.

    Args:
        model: maps bits (B, T) to logits (B, T) for acting 1.
        steps: updates by Adam with learning rate `lr` on all parameters.
        max_length, horizon, batch_size, generator: for `sample_environments`. Each step
            draws fresh worlds.
    Returns:
        One float per step, the mean expected *reward* before its update: the
        probability of the right bit, averaged over all worlds and steps of the batch.

    - The loss is minus that mean.
    - Gradients are cleared before each step, and their norm is clipped at 1.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    raise NotImplementedError
