"""Policies on eight actions, whose best is known: DPO on 4,000 preferences, GRPO on 200 steps of 128 samples."""

import torch
from torch import nn

ACTIONS = 8
REWARD = torch.linspace(0, 1, ACTIONS)
REF = torch.linspace(1.5, -1.5, ACTIONS).log_softmax(0)
LIMITS = {
    "DPO, beta 1: most reward for its KL − reward": "< 0.03",
    "DPO, beta 0.3: most reward for its KL − reward": "< 0.05",
    "GRPO, beta 0: reward": "> 0.95",
    "GRPO, beta 0: KL − that of beta 1, nats": "> 2",
    "GRPO, beta 1: most reward for its KL − reward": "< 0.1",
    "GRPO, beta 3: most reward for its KL − reward": "< 0.03",
    "rewards from pairs: largest error of a difference": "< 0.3",
}


def tilted(beta: float) -> torch.Tensor:
    """The exact optimum: π_ref · exp(r / beta), normalised."""
    return (REF + REWARD / beta).log_softmax(0)


def paid(logp: torch.Tensor) -> tuple[float, float]:
    """KL(policy ‖ reference) and mean reward, both exact."""
    return (logp.exp() * (logp - REF)).sum().item(), (logp.exp() * REWARD).sum().item()


def short_of_best(kl: float, reward: float) -> float:
    """The most reward that so much KL can buy, less this one."""
    low, high = 1e-3, 1e3
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if paid(tilted(middle))[0] > kl else (low, middle)
    return paid(tilted(low))[1] - reward


class Actions(nn.Module):
    """A policy of one step. Token 8 is the prompt, and tokens 0 to 7 are the actions."""

    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(REF.clone())

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.cat([self.scores, torch.full((1,), -1e4)]).expand(*tokens.shape, ACTIONS + 1), None


def by_dpo(kata, chosen, rejected, beta: float) -> tuple[float, float]:
    scores = REF.clone().requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.1)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 300)
        logp = scores.log_softmax(0)
        optimizer.zero_grad()
        kata.dpo_loss(logp[chosen], logp[rejected], REF[chosen], REF[rejected], beta)[0].backward()
        optimizer.step()
    return paid(scores.detach().log_softmax(0))


def by_grpo(kata, beta: float) -> tuple[float, float]:
    model = Actions()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        logp = model.scores.detach().log_softmax(0)
        actions = torch.multinomial(logp.exp(), 128, replacement=True)
        tokens = torch.stack([torch.full((128,), ACTIONS), actions], dim=1)
        mask = torch.tensor([False, True]).expand(128, 2)
        old, ref, rewards = logp[actions][:, None], REF[actions][:, None], REWARD[actions].view(16, 8)
        kata.grpo_step(model, optimizer, tokens, mask, old, ref, rewards, beta)
    return paid(model.scores.detach().log_softmax(0))


def run(kata, seed) -> dict[str, float]:
    """Draw the preferences, learn rewards and policies from them, then policies from the rewards themselves."""
    pairs = torch.randint(ACTIONS, (4000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    wins = torch.rand(len(pairs)) < torch.sigmoid(REWARD[pairs[:, 0]] - REWARD[pairs[:, 1]])
    chosen, rejected = (torch.where(first, pairs[:, 0], pairs[:, 1]) for first in (wins, ~wins))
    learned = torch.zeros(ACTIONS, requires_grad=True)
    optimizer = torch.optim.Adam([learned], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        kata.bradley_terry(learned[chosen], learned[rejected]).backward()
        optimizer.step()
    error = (learned.detach() - learned.detach().mean() - REWARD + REWARD.mean()).abs().max()
    dpo = {beta: by_dpo(kata, chosen, rejected, beta) for beta in (1.0, 0.3)}
    grpo = {beta: by_grpo(kata, beta) for beta in (0.0, 1.0, 3.0)}
    found = [
        short_of_best(*dpo[1.0]),
        short_of_best(*dpo[0.3]),
        grpo[0.0][1],
        grpo[0.0][0] - grpo[1.0][0],
        short_of_best(*grpo[1.0]),
        short_of_best(*grpo[3.0]),
        error,
    ]
    return dict(zip(LIMITS, map(float, found), strict=True))
