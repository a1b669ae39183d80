"""Kata today/05 in code: rewards from pairs, DPO beside the exact optimum, a group's
advantages, the clip, k3, and GRPO on eight actions and on sentences: how much reward
for how much KL.
"""

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from grader.datasets import prose
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
torch.manual_seed(0)


def row(numbers: torch.Tensor) -> str:
    return " ".join(f"{number:6.2f}" for number in numbers.tolist())


# 1. Rewards from pairs. Nobody says how good an answer is: 4,000 times, one of two
#    is preferred.
print("1. Rewards learned from 4,000 preferences between 8 answers")
ACTIONS = 8
REWARD = torch.linspace(0, 1, ACTIONS)
pairs = torch.randint(ACTIONS, (4000, 2))
pairs = pairs[pairs[:, 0] != pairs[:, 1]]
first_wins = torch.rand(len(pairs)) < torch.sigmoid(
    REWARD[pairs[:, 0]] - REWARD[pairs[:, 1]]
)
CHOSEN, REJECTED = (
    torch.where(wins, pairs[:, 0], pairs[:, 1]) for wins in (first_wins, ~first_wins)
)
learned = torch.zeros(ACTIONS, requires_grad=True)
optimizer = torch.optim.Adam([learned], lr=0.05)
for _ in range(150):
    optimizer.zero_grad()
    kata.bradley_terry(learned[CHOSEN], learned[REJECTED]).backward()
    optimizer.step()
print("   true     " + row(REWARD - REWARD.mean()))
print(
    "   learned  "
    + row(learned.detach() - learned.detach().mean())
    + "   (only differences are known)"
)

# 2. A policy from the same pairs, without a reward model. Its exact optimum is
#    π_ref · exp(r / beta), normalised, with the rewards of step 1. This curve is the
#    best that any policy can do: most reward for its KL.
# the reference prefers what has little reward
REF = torch.linspace(1.5, -1.5, ACTIONS).log_softmax(0)


def tilted(beta: float, reward: torch.Tensor = REWARD) -> torch.Tensor:
    return (REF + reward / beta).log_softmax(0)


def paid(logp: torch.Tensor) -> tuple[float, float]:
    """KL(policy ‖ reference) and mean reward, both exact."""
    return (logp.exp() * (logp - REF)).sum().item(), (logp.exp() * REWARD).sum().item()


def by_dpo(beta: float) -> torch.Tensor:
    """Log-probabilities of the policy that DPO finds."""
    scores = REF.clone().requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.1)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 300)
        logp = scores.log_softmax(0)
        loss, _ = kata.dpo_loss(
            logp[CHOSEN], logp[REJECTED], REF[CHOSEN], REF[REJECTED], beta
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return scores.detach().log_softmax(0)


print("\n2. DPO on the same preferences; the policies' probabilities")
print("   reference            " + row(REF.exp()))
dpo_points = {}
for beta in (1.0, 0.3):
    found = by_dpo(beta)
    dpo_points[beta] = paid(found)
    print(f"   DPO, beta {beta}        " + row(found.exp()))
    print("   exact, learned reward" + row(tilted(beta, learned.detach()).exp()))
    print("   exact, true reward   " + row(tilted(beta).exp()))

# 3. Advantages: each answer against its own group. A hard prompt's best answer is worth
#    as much as an easy one's.
table = torch.tensor([[0.0, 0.1, 0.0, 0.0], [0.9, 1.0, 0.9, 0.9], [1.0, 1.0, 1.0, 1.0]])
print("\n3. Advantages of a hard, an easy and a solved prompt, four answers each")
for rewards, advantages in zip(table, kata.group_advantages(table), strict=True):
    print(f"   rewards {row(rewards)}   advantages {row(advantages)}")

# 4. The clip: what a token gains by its ratio, and the gradient, which is 0 where
#    nothing is left to gain.
ratios = torch.tensor([0.5, 0.9, 1.0, 1.1, 1.5])
print("\n4. The clipped objective at ratios " + row(ratios))
for a in (1.0, -1.0):
    logp = ratios.log()[None].requires_grad_()
    gain = kata.clipped_objective(logp, torch.zeros(1, 5), torch.tensor([a]))
    gradient = torch.autograd.grad(gain.sum(), logp)[0]
    print(
        f"   A = {a:4.0f}: value {row(gain.detach()[0])}   gradient {row(gradient[0])}"
    )

# 5. Three estimates of one divergence, from single samples. k1 and k3 have the right
#    mean, k2 nearly.
print("\n5. KL(policy ‖ reference), estimated from single samples")
near = (REF + 0.5 * torch.randn(ACTIONS)).log_softmax(0)
samples = torch.multinomial(near.exp(), 20_000, replacement=True)
difference = (REF - near)[samples]
estimates = {
    "k1": -difference,
    "k2": difference.square() / 2,
    "k3": stretch(kata.kl_k3, near[samples], REF[samples]),
}
for name, values in estimates.items():
    if values is not None:
        print(
            f"   {name}: mean {values.mean():.3f}, spread {values.std():.3f}, "
            f"smallest {values.min():.3f}"
        )
print(f"   exact: {paid(near)[0]:.3f}")


# 6. GRPO on the eight actions: 16 groups of 8 samples in each of 200 steps.
class Actions(nn.Module):
    """A policy of one step. Token 8 is the prompt, and tokens 0 to 7 are
    the actions.
    """

    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(REF.clone())

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, None]:
        prompt = torch.full((1,), -1e4)  # the prompt is never sampled
        return torch.cat([self.scores, prompt]).expand(*tokens.shape, ACTIONS + 1), None


def by_grpo(beta: float, steps: int = 200) -> list[tuple[float, float]] | None:
    """KL and mean reward after every ten steps."""
    model, found = Actions(), [paid(REF)]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(1, steps + 1):
        logp = model.scores.detach().log_softmax(0)
        actions = torch.multinomial(logp.exp(), 128, replacement=True)
        tokens = torch.stack([torch.full((128,), ACTIONS), actions], dim=1)
        mask = torch.tensor([False, True]).expand(128, 2)
        old, ref = logp[actions][:, None], REF[actions][:, None]
        rewards = REWARD[actions].view(16, 8)
        if (
            stretch(
                kata.grpo_step, model, optimizer, tokens, mask, old, ref, rewards, beta
            )
            is None
        ):
            return None
        if step % 10 == 0:
            found.append(paid(model.scores.detach().log_softmax(0)))
    return found


def best(kl: float) -> float:
    """The most reward that this much KL can buy: from the policies
    π_ref · exp(r / beta).
    """
    low, high = 1e-3, 1e3
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if paid(tilted(middle))[0] > kl else (low, middle)
    return paid(tilted(low))[1]


print("\n6. GRPO on eight actions, beside the most reward that the same KL can buy")
print(f"   reference: reward {paid(REF)[1]:.3f} at KL 0")
runs = {}
for beta in (0.0, 0.3, 1.0, 3.0):
    run = by_grpo(beta)
    if run is None:
        break
    runs[beta] = run
    print(
        f"   beta {beta}: reward {run[-1][1]:.3f} at KL {run[-1][0]:.3f}; possible "
        f"{best(run[-1][0]):.3f}"
    )
for beta, (kl, reward) in dpo_points.items():
    print(
        f"   DPO, beta {beta}: reward {reward:.3f} at KL {kl:.3f}; possible "
        f"{best(kl):.3f}"
    )

# 7. The same on sentences. A small model writes English letters, and is rewarded for
#    the share of the letter e.
text = " ".join(
    "".join(c if c.isalpha() else " " for c in prose().lower() if c.isascii()).split()
)
SYMBOLS = sorted(set(text))
ids = torch.tensor([SYMBOLS.index(character) for character in text])
PROMPT, ANSWER, E = 8, 24, SYMBOLS.index("e")


class Writer(nn.Module):
    """A recurrent language model that is called like a GPT."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(len(SYMBOLS), 32)
        self.rnn = nn.GRU(32, 96, batch_first=True)
        self.head = nn.Linear(96, len(SYMBOLS))

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.head(self.rnn(self.tokens(tokens))[0]), None


def windows(rows: int, length: int) -> torch.Tensor:
    return ids[torch.randint(len(ids) - length, (rows, 1)) + torch.arange(length)]


@torch.no_grad()
def answered(model: Writer, prompts: torch.Tensor) -> torch.Tensor:
    """Prompts with sampled answers. The recurrent state is kept from token to token."""
    tokens, state, last = prompts, None, prompts
    for _ in range(ANSWER):
        hidden, state = model.rnn(model.tokens(last), state)
        last = torch.multinomial(model.head(hidden[:, -1]).softmax(-1), 1)
        tokens = torch.cat([tokens, last], dim=1)
    return tokens


print("\n7. A writer of letters, rewarded for the share of the letter e")
pretrained = Writer()
optimizer = torch.optim.Adam(pretrained.parameters(), lr=5e-3)
for _ in range(400):
    batch = windows(32, 40)
    loss = F.cross_entropy(
        pretrained(batch[:, :-1])[0].flatten(0, 1), batch[:, 1:].flatten()
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"   pretrained to {loss.item():.2f} nats per letter")
mask = torch.arange(PROMPT + ANSWER).expand(64, -1) >= PROMPT
written = {}
for beta in (0.0, 0.3):
    model = Writer()
    model.load_state_dict(pretrained.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    written[beta] = []
    for _ in range(80):
        tokens = answered(model, windows(8, PROMPT).repeat_interleave(8, dim=0))
        rewards = (tokens[:, PROMPT:] == E).float().mean(dim=1).view(8, 8)
        with torch.no_grad():
            old, ref = (
                kata.token_logp(m(tokens)[0], tokens) for m in (model, pretrained)
            )
        stats = stretch(
            kata.grpo_step, model, optimizer, tokens, mask, old, ref, rewards, beta
        )
        if stats is None:
            break
        written[beta].append((stats["kl"], stats["reward"]))
    else:
        kl, share = torch.tensor(written[beta][-10:]).mean(dim=0).tolist()
        print(f"   beta {beta}: {share:.0%} e, at a KL of {kl:.2f} nats per letter")
        for sample in answered(model, ids[None, :PROMPT].repeat(2, 1)):
            print("      " + "".join(SYMBOLS[i] for i in sample.tolist()))
        continue
    break


# 8. How long an answer gets. Only its first word counts: "right" has reward 1, "wrong"
#    has 0. After each word, the policy goes on with probability 0.9 at first, so an
#    answer has 10 words. No reward depends on the length.
PROMPTED, RIGHT, WRONG, END = range(4)
LONGEST = 48


class Talker(nn.Module):
    """The next token depends on the last one alone."""

    def __init__(self):
        super().__init__()
        table = torch.full((4, 4), -1e4)
        table[PROMPTED, [RIGHT, WRONG]] = 0.0
        table[[RIGHT, WRONG], [RIGHT, WRONG]] = torch.tensor(9.0).log()
        table[[RIGHT, WRONG, END], END] = 0.0
        self.table = nn.Parameter(table)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.table[tokens], None

    def lengths(self) -> list[float]:
        """Mean lengths of right and of wrong answers, cut at LONGEST: exact."""
        stop = self.table.detach().softmax(-1)[[RIGHT, WRONG], END]
        return ((1 - (1 - stop) ** LONGEST) / stop).tolist()


def talked(loss: str, lr: float, steps: int = 200) -> list[list[float]] | None:
    """Lengths after every ten steps with 8 groups of 8 answers."""
    model = Talker()
    optimizer, found = torch.optim.SGD(model.parameters(), lr), [model.lengths()]
    for step in range(1, steps + 1):
        tokens, chances = (
            torch.full((64, 1), PROMPTED),
            model.table.detach().softmax(-1),
        )
        for _ in range(LONGEST):
            tokens = torch.cat(
                [tokens, torch.multinomial(chances[tokens[:, -1]], 1)], dim=1
            )
        # the first END is a part of the answer
        mask = F.pad(tokens[:, :-1] != END, (1, 0), value=False)
        rewards = (tokens[:, 1] == RIGHT).float().view(8, 8)
        old = kata.token_logp(model(tokens)[0], tokens).detach()
        stats = stretch(
            kata.grpo_step,
            model,
            optimizer,
            tokens,
            mask,
            old,
            old,
            rewards,
            0.0,
            loss=loss,
        )
        if stats is None:
            return None
        if step % 10 == 0:
            found.append(model.lengths())
    return found


print(
    "\n"
    "8. Mean length of right and of wrong answers, both 10 at first (9.9, cut at 48 "
    "words)"
)
grown = {}
# Dr. GRPO's gradient is a tenth as large
for loss, lr in (("grpo", 0.6), ("dapo", 0.6), ("dr_grpo", 6.0)):
    lengths = talked(loss, lr)
    if lengths is None:
        break
    grown[loss] = lengths
    print(f"   {loss:8}right {lengths[-1][0]:4.1f}   wrong {lengths[-1][1]:4.1f}")


# 9. The figure: reward against KL, on actions beside the exact curve, and on sentences;
#    lengths by loss.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 10))
    top, middle, bottom = figure.subplots(3)
    curve = [paid(tilted(beta)) for beta in torch.logspace(-1.5, 1.5, 80).tolist()]
    top.plot(
        *zip(*curve, strict=True),
        color="0.6",
        linewidth=5,
        label="most reward for its KL, by beta",
        zorder=0,
    )
    for (beta, run), colour in zip(runs.items(), COLOURS, strict=False):
        top.plot(
            *zip(*run, strict=True), color=colour, linewidth=1, marker=".", markersize=3
        )
        top.plot(*run[-1], "o", color=colour, label=f"GRPO, beta {beta:g}")
    top.plot(*zip(*dpo_points.values(), strict=True), "k^")
    for beta, point in dpo_points.items():
        top.annotate(f"DPO, beta {beta:g}", point, (8, -10), textcoords="offset points")
    for beta in (1.0, 0.3, 0.1):
        point = paid(tilted(beta))
        top.plot(*point, "|", color="0.3", markersize=12)
        top.annotate(
            f"{beta:g}",
            point,
            (-4, 8),
            textcoords="offset points",
            ha="right",
            color="0.3",
        )
    top.set(
        title="Eight actions",
        xlabel="KL(policy ‖ reference), nats",
        ylabel="mean reward",
        xlim=(-0.35, None),
    )
    top.legend(loc="lower right")
    for (beta, run), colour in zip(written.items(), COLOURS, strict=False):
        middle.plot(
            *zip(*run, strict=True), color=colour, linewidth=1, marker=".", markersize=3
        )
        middle.plot(*run[-1], "o", color=colour, label=f"GRPO, beta {beta:g}")
    middle.set(
        title="Sentences, rewarded for the letter e",
        xlabel="k3 per letter, nats",
        ylabel="share of e",
    )
    middle.legend(loc="lower right")
    for (loss, lengths), colour in zip(grown.items(), COLOURS, strict=False):
        short, long = zip(*lengths, strict=True)
        bottom.plot(
            range(0, 10 * len(short), 10),
            long,
            color=colour,
            label=f"{loss}, wrong answers",
        )
        bottom.plot(
            range(0, 10 * len(short), 10),
            short,
            color=colour,
            linestyle=":",
            label=f"{loss}, right answers",
        )
    bottom.set(
        title="Length has no reward, and changes",
        xlabel="step",
        ylabel="mean length, words",
        ylim=(0, 60),
    )
    bottom.legend(loc="upper left", ncols=2)
    return figure


save_figure(draw(), __file__)
