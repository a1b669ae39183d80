"""Universal intelligence in worlds of repeated bits: reward in every world, weighted by
2^-(description length).
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
    """Sum values · 2^-lengths."""
    return (values * 2.0**-lengths).sum()


def complexity_weighted_sum_numpy(values: np.ndarray, lengths: np.ndarray) -> float:
    """The same on arrays."""
    return float((values * 2.0**-lengths).sum())


def environment_value(policy: Policy, pattern: tuple[int, ...], horizon: int) -> float:
    """The mean probability of the right bit."""
    total = 0.0
    history = []
    for t in range(horizon):
        bit = pattern[t % len(pattern)]
        chance = policy(history)
        total += chance if bit == 1 else 1 - chance
        history.append(bit)
    return total / horizon


def universal_intelligence(policy: Policy, max_length: int, horizon: int) -> float:
    """Value in every world, weighted."""
    patterns = enumerate_patterns(max_length)
    values = torch.tensor(
        [environment_value(policy, pattern, horizon) for pattern in patterns]
    )
    lengths = torch.tensor([description_length(pattern) for pattern in patterns])
    return complexity_weighted_sum(values, lengths).item()


def mixture_probability(history: list[int], max_length: int) -> float:
    """The weight of the patterns that fit and go on with 1, as a share of all
    that fit.
    """
    total = ones = 0.0
    for pattern in enumerate_patterns(max_length):
        n = len(pattern)
        if all(pattern[t % n] == bit for t, bit in enumerate(history)):
            weight = 2.0 ** -description_length(pattern)
            total += weight
            ones += weight * pattern[len(history) % n]
    return ones / total


class RecurrentPolicy(nn.Module):
    """A GRU over the bits so far."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.gru = nn.GRU(2, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size, 1)

    def forward(self, bits: Tensor) -> Tensor:
        x = F.one_hot(bits, 2).float()
        x = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
        states, _ = self.gru(x)
        return self.output(states).squeeze(-1)


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
    """Adam on minus the expected reward."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    rewards = []
    for _ in range(steps):
        bits = sample_environments(batch_size, max_length, horizon, generator)
        chance = torch.sigmoid(model(bits))
        reward = torch.where(bits == 1, chance, 1 - chance).mean()
        optimizer.zero_grad()
        (-reward).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rewards.append(reward.item())
    return rewards
