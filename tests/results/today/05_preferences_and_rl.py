"""Policies on eight actions, whose best is known: DPO on 4,000 preferences, GRPO on 200
steps of 128 samples.
Then the length of answers whose reward does not depend on it, with three losses.
"""

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
    "grpo: mean length of right answers, 9.9 at first": "< 3",
    "grpo: mean length of wrong answers": "> 20",
    "dapo: mean length of right answers": "> 7",
    "dapo: mean length of wrong answers": "< 13",
    "dr_grpo: mean length of right answers": "> 7",
    "dr_grpo: mean length of wrong answers": "< 13",
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
    """A policy of one step. Token 8 is the prompt, and tokens 0 to 7 are
    the actions.
    """

    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(REF.clone())

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.cat([self.scores, torch.full((1,), -1e4)]).expand(
            *tokens.shape, ACTIONS + 1
        ), None


def by_dpo(kata, chosen, rejected, beta: float) -> tuple[float, float]:
    scores = REF.clone().requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.1)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 300)
        logp = scores.log_softmax(0)
        optimizer.zero_grad()
        kata.dpo_loss(logp[chosen], logp[rejected], REF[chosen], REF[rejected], beta)[
            0
        ].backward()
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
        old, ref, rewards = (
            logp[actions][:, None],
            REF[actions][:, None],
            REWARD[actions].view(16, 8),
        )
        kata.grpo_step(model, optimizer, tokens, mask, old, ref, rewards, beta)
    return paid(model.scores.detach().log_softmax(0))


class Talker(nn.Module):
    """Says right (1) or wrong (2) after the prompt (0), then goes on or ends (3)."""

    def __init__(self):
        super().__init__()
        table = torch.full((4, 4), -1e4)
        table[0, 1:3] = table[1:, 3] = 0.0
        table[[1, 2], [1, 2]] = torch.tensor(9.0).log()
        self.table = nn.Parameter(table)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.table[tokens], None


def lengths(kata, loss: str, lr: float, longest: int = 48) -> list[float]:
    """Mean lengths of right and of wrong answers after 200 steps, cut at `longest`."""
    model = Talker()
    optimizer = torch.optim.SGD(model.parameters(), lr)
    for _ in range(200):
        tokens, chances = (
            torch.zeros(64, 1, dtype=torch.long),
            model.table.detach().softmax(-1),
        )
        for _ in range(longest):
            tokens = torch.cat(
                [tokens, torch.multinomial(chances[tokens[:, -1]], 1)], dim=1
            )
        mask = torch.cat(
            [torch.zeros(64, 1, dtype=torch.bool), tokens[:, :-1] != 3], dim=1
        )
        rewards = (tokens[:, 1] == 1).float().view(8, 8)
        old = kata.token_logp(model(tokens)[0], tokens).detach()
        kata.grpo_step(
            model, optimizer, tokens, mask, old, old, rewards, 0.0, loss=loss
        )
    stop = model.table.detach().softmax(-1)[1:3, 3]
    return ((1 - (1 - stop) ** longest) / stop).tolist()


def run(kata, seed) -> dict[str, float]:
    """Draw the preferences, learn rewards and policies from them, then policies from
    the rewards themselves.
    """
    pairs = torch.randint(ACTIONS, (4000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    wins = torch.rand(len(pairs)) < torch.sigmoid(
        REWARD[pairs[:, 0]] - REWARD[pairs[:, 1]]
    )
    chosen, rejected = (
        torch.where(first, pairs[:, 0], pairs[:, 1]) for first in (wins, ~wins)
    )
    learned = torch.zeros(ACTIONS, requires_grad=True)
    optimizer = torch.optim.Adam([learned], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        kata.bradley_terry(learned[chosen], learned[rejected]).backward()
        optimizer.step()
    error = (
        (learned.detach() - learned.detach().mean() - REWARD + REWARD.mean())
        .abs()
        .max()
    )
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
        *lengths(kata, "grpo", 0.6),
        *lengths(kata, "dapo", 0.6),
        *lengths(kata, "dr_grpo", 6.0),
    ]
    return dict(zip(LIMITS, map(float, found), strict=True))
