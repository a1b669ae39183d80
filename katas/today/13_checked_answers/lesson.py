"""Kata today/13 in code: a grammar's mask, what a careless verifier pays for, pass@k
before and after reinforcement learning on sums, a tool's turn, the bias of weights by
enumeration, and masked beside conditioned probabilities.
"""

import matplotlib
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from grader.lesson import COLOURS, code, save_figure, stretch
from grader.loading import prerequisite

kata = code(__file__)
gpt = prerequisite("26_gpt_model")
preferences = prerequisite("today/05_preferences_and_rl")
# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
torch.manual_seed(0)
matplotlib.rcParams["font.size"] = 12  # to be read on a phone

BOX = "\\boxed{"
VOCAB = [*"0123456789", "+", "=", BOX, "}", ""]
ID = {token: i for i, token in enumerate(VOCAB)}
END = ID[""]


def written(ids: list[int]) -> str:
    return "".join(VOCAB[i] for i in ids)


def one_of(words: list[str]):
    """A grammar that allows these texts only."""
    beginnings = sorted({word[:i] for word in words for i in range(len(word) + 1)})
    states = {text: number for number, text in enumerate(beginnings)}
    moves = {
        (states[text[:-1]], text[-1]): state for text, state in states.items() if text
    }
    return kata.Automaton(states[""], frozenset(states[word] for word in words), moves)


# 1. A grammar: an integer in a box, without leading zeros. State 7 is after "\boxed{",
#    state 10 after the last brace.
print("1. What a grammar allows: an integer from 0 in a box")
moves = {(state, character): state + 1 for state, character in enumerate(BOX)}
moves |= {(7, digit): 9 for digit in "123456789"} | {(7, "0"): 8}
moves |= {(9, digit): 9 for digit in "0123456789"} | {(8, "}"): 10, (9, "}"): 10}
boxed_integer = kata.Automaton(0, frozenset({10}), moves)
pieces = ["\\", "boxed", "{", BOX, "0", "7", "70", "07", "7}", "}", "x", ""]
for state, where in {
    0: "at the start",
    7: f"after {BOX}",
    8: f"after {BOX}0",
    10: "after the brace",
}.items():
    allowed = [
        piece or "(end)"
        for piece, good in zip(pieces, kata.token_mask(boxed_integer, state, pieces))
        if good
    ]
    print(f"   {where:<15} {'  '.join(allowed)}")

# 2. Two verifiers of the answer 12. The careless one looks for 12 anywhere.
print("\n2. What is paid for the answer 12")
print("                                   looks for 12   verify")
for text in (
    r"\boxed{12}",
    r"\boxed{312}",
    "1 2 3 … 11 12 13 …",
    r"\boxed{12 or 13}",
    r"\boxed{12}? \boxed{13}",
):
    print(f"   {text:<30} {str('12' in text):>12} {kata.verify(text, 12)!s:>10}")


# 3. Sums of two numbers below 40. A small GPT learns from right answers, and is stopped
#    while it is mostly wrong.
def prompt(a: int, b: int) -> list[int]:
    return [ID[character] for character in f"{a:02}+{b:02}="]


def right(a: int, b: int) -> list[int]:
    return [ID[token] for token in (BOX, *str(a + b), "}", "")]


def split(seed: int):
    """The pairs to learn from, and 48 others."""
    order = torch.randperm(1600, generator=torch.Generator().manual_seed(seed)).tolist()
    pairs = [divmod(i, 40) for i in order]
    return pairs[48:], pairs[:48]


def taught(seed: int, steps: int = 270):
    """A model that was shown so many batches of right answers."""
    torch.manual_seed(seed)
    model = gpt.GPT(
        gpt.GPTConfig(
            block_size=16, vocab_size=len(VOCAB), n_layer=2, n_head=4, n_embd=64
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    pairs, _ = split(seed)
    for _ in range(steps):
        rows = [pairs[i] for i in torch.randint(len(pairs), (64,)).tolist()]
        ids, mask = kata.pack_turns(
            [
                [kata.Turn("prompt", prompt(*row)), kata.Turn("model", right(*row))]
                for row in rows
            ],
            pad=END,
        )
        logp = preferences.token_logp(model(ids)[0], ids)
        optimizer.zero_grad()
        (-logp[mask[:, 1:]].mean()).backward()
        optimizer.step()
    return model


@torch.no_grad()
def answers(model, pairs, k: int) -> list[list[list[int]]]:
    """k sampled answers to each sum, each up to its end."""
    ids = torch.tensor([prompt(*pair) for pair in pairs for _ in range(k)])
    start, new, cache = ids.size(1), ids, gpt.new_cache(model)
    for _ in range(6):
        new = torch.multinomial(model(new, cache=cache)[0][:, -1].softmax(-1), 1)
        ids = torch.cat([ids, new], dim=1)
    rows = [
        row[: row.index(END) + 1] if END in row else row
        for row in ids[:, start:].tolist()
    ]
    return [rows[i : i + k] for i in range(0, len(rows), k)]


def paid(pairs, groups) -> torch.Tensor:
    """1 for each right answer, 0 for the others."""
    return torch.tensor(
        [
            [float(kata.verify(written(a), sum(pair))) for a in row]
            for pair, row in zip(pairs, groups, strict=True)
        ]
    )


KS, SAMPLES = (1, 2, 4, 8, 16, 32), 32


def curve(model, pairs) -> list[float]:
    """pass@k, the mean over these sums."""
    counts = paid(pairs, answers(model, pairs, SAMPLES)).sum(1).long().tolist()
    return [
        sum(kata.pass_at_k(SAMPLES, c, k) for c in counts) / len(counts) for k in KS
    ]


# 4. GRPO from these models: 100 steps of 16 sums with 8 answers each.
def reinforce(model, pairs, steps: int = 100) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4)
    for _ in range(steps):
        asked = [pairs[i] for i in torch.randint(len(pairs), (16,)).tolist()]
        groups = answers(model, asked, 8)
        advantages = preferences.group_advantages(paid(asked, groups)).flatten()
        rows = [
            [kata.Turn("prompt", prompt(*pair)), kata.Turn("model", answer)]
            for pair, group in zip(asked, groups, strict=True)
            for answer in group
        ]
        ids, mask = kata.pack_turns(rows, pad=END)
        logp = preferences.token_logp(model(ids)[0], ids)
        gain = preferences.clipped_objective(logp, logp.detach(), advantages)
        optimizer.zero_grad()
        (-gain[mask[:, 1:]].mean()).backward()
        optimizer.step()


print(
    "\n"
    "3. and 4. pass@k of 48 sums that were never shown, before and after 100 steps of "
    "GRPO"
)
print("   k               " + "".join(f"{k:>6}" for k in KS))
curves, models = {}, {}
for seed in (0, 1):
    models[seed] = model = taught(seed)
    pairs, others = split(seed)
    curves[seed, "before"] = curve(model, others)
    reinforce(model, pairs)
    curves[seed, "after"] = curve(model, others)
    for when in ("before", "after"):
        print(
            f"   model {seed}, {when:<6} "
            + "".join(f"{share:>6.2f}" for share in curves[seed, when])
        )

# 5. A tool. The model is a script here: it asks for a product, reads the answer, and
#    puts it into a box.
print("\n5. A rollout with a tool, and what the loss may touch")
WORDS = ["", "call:", "12*34", " 408 ", BOX, "408", "}"]
script = iter([1, 2, 1, 4, 5, 6, 0])
says = {"next_token": lambda seen: next(script), "tool": lambda own: [3], "prompt": [2]}
turns = stretch(kata.rollout, **says, call=WORDS.index("12*34"), end=0, budget=20)
if turns is not None:
    ids, mask = kata.pack_turns([turns])
    for turn in turns:
        print(f"   {turn.who:<7} {''.join(WORDS[i] for i in turn.ids)}")
    print("   mask    " + "".join("x" if seen else "." for seen in mask[0].tolist()))


# 6. Two policies. Answers of three tokens from five, so that all 125 can be listed and
#    every mean is exact.
LISTED = torch.cartesian_prod(*[torch.arange(5)] * 3)
PLACES = torch.stack(
    [torch.zeros(125).long(), 1 + LISTED[:, 0], 6 + 5 * LISTED[:, 0] + LISTED[:, 1]],
    dim=1,
)
WEIGHTS = {
    "no weights": None,
    "token, up to 2": {"level": "token"},
    "sequence, up to 2": {"level": "sequence"},
    "sequence, no bound": {"level": "sequence", "cap": float("inf")},
}


def biases(noise: float, seed: int) -> tuple[float, dict[str, tuple[float, float]]]:
    """|log ratio| of a token, and the bias and spread of the gradient by weights,
    relative to the gradient's size.
    """
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(31, 5, generator=generator)  # a row of logits per beginning
    other = table + noise * torch.randn(31, 5, generator=generator)
    trainer, sampler = (
        t.log_softmax(-1)[PLACES].gather(-1, LISTED[..., None])[..., 0]
        for t in (table, other)
    )
    true, sampled = trainer.sum(1).exp(), sampler.sum(1).exp()
    reward = (torch.rand(125, generator=generator) < 0.3).float()
    gain = reward - (true * reward).sum()
    # Of each answer and token: the gradient of its log-probability in all
    # 31 · 5 logits.
    slopes = (
        F.one_hot(PLACES, 31)[..., None]
        * (F.one_hot(LISTED, 5) - table.softmax(-1)[PLACES])[:, :, None]
    )
    exact = torch.einsum("y,ytrv->rv", true * gain, slopes)
    found = {}
    for name, options in WEIGHTS.items():
        weights = torch.ones(125, 3)
        if options is not None:
            weights = kata.truncated_weights(
                trainer, sampler, torch.ones(125, 3, dtype=torch.bool), **options
            )
        single = torch.einsum("yt,ytrv->yrv", weights * gain[:, None], slopes)
        mean = torch.einsum("y,yrv->rv", sampled, single)
        spread = (sampled * (single - mean).square().sum((1, 2))).sum().sqrt()
        found[name] = (
            ((mean - exact).norm() / exact.norm()).item(),
            (spread / exact.norm()).item(),
        )
    return (sampled[:, None] * (trainer - sampler).abs()).sum().item() / 3, found


print(
    "\n"
    "6. Gradients of what another policy has sampled: bias, and spread of one sample; "
    "means over five tables"
)
print("   |log ratio|  " + "".join(f"{name:>22}" for name in WEIGHTS))
bias_curves = {name: [] for name in WEIGHTS}
for noise in (0.05, 0.1, 0.2, 0.4, 0.7, 1.1, 1.5):
    runs = [biases(noise, seed) for seed in range(5)]
    gap = sum(found for found, _ in runs) / 5
    cells = []
    for name in WEIGHTS:
        bias, spread = (sum(found[name][i] for _, found in runs) / 5 for i in (0, 1))
        bias_curves[name].append((gap, bias))
        cells.append(f"{bias:>13.3f}, {spread:>6.1f} ")
    print(f"   {gap:>11.3f}  " + "".join(cells))

# 7. Multiple choice by a grammar: one of four numbers near the sum, one of them right.
print(
    "\n"
    "7. One of four numbers within 15 of the sum: probability of the right one, 60 sums"
)


def choices(seed: int):
    """Of 60 sums: the pair and four numbers, the right one first."""
    generator = torch.Generator().manual_seed(seed)
    pairs, others = split(seed)
    for a, b in [*others, *pairs][:60]:
        near = [n for n in range(max(0, a + b - 15), a + b + 16) if n != a + b]
        yield (
            (a, b),
            [
                a + b,
                *(
                    near[i]
                    for i in torch.randperm(len(near), generator=generator)[:3].tolist()
                ),
            ],
        )


def both(model, pair, numbers):
    """Probabilities of the numbers, masked and conditioned. None: not written yet."""
    start = prompt(*pair)

    @torch.no_grad()
    def next_probs(ids: list[int]) -> torch.Tensor:
        return model(torch.tensor([start + ids]))[0][0, -1].double().softmax(-1)

    texts = [f"{BOX}{n}}}" for n in numbers]
    found = stretch(kata.masked_and_conditioned, next_probs, one_of(texts), VOCAB, 6)
    if found is None:
        return None
    return [
        [
            sum(p for ids, p in way.items() if written(list(ids)) == text)
            for text in texts
        ]
        for way in found
    ]


worst = None
for seed, model in models.items():
    found = [
        (pair, numbers, both(model, pair, numbers)) for pair, numbers in choices(seed)
    ]
    if any(ways is None for *_, ways in found):
        break
    means = [sum(ways[i][0] for *_, ways in found) / len(found) for i in (0, 1)]
    apart = [
        sum(abs(p - q) for p, q in zip(*ways, strict=True)) / 2 for *_, ways in found
    ]
    print(
        f"   model {seed}: masked {means[0]:.2f}, conditioned {means[1]:.2f}, "
        f"apart {sum(apart) / len(apart):.2f}, at most {max(apart):.2f}"
    )
    most = max(range(len(found)), key=apart.__getitem__)
    if worst is None or apart[most] > worst[0]:
        worst = apart[most], *found[most]


# 8. The figure: pass@k, bias, and the sum whose two distributions are furthest apart.
def draw() -> Figure:
    figure = Figure(figsize=(6, 10.5 if worst else 7))
    panels = figure.subplots(3 if worst else 2, 1)
    for (seed, when), shares in curves.items():
        style = "--" if when == "before" else "-"
        panels[0].plot(
            KS,
            shares,
            style,
            marker="o",
            color=COLOURS[seed],
            label=f"model {seed}, {when}",
        )
    panels[0].set_xscale("log", base=2)
    panels[0].set(
        xticks=KS,
        xticklabels=KS,
        xlabel="k",
        ylim=(0, 1),
        title="pass@k, before and after GRPO",
    )
    for (name, points), colour in zip(
        bias_curves.items(), (COLOURS[6], *COLOURS[1:4]), strict=True
    ):
        panels[1].plot(*zip(*points, strict=True), marker="o", label=name, color=colour)
    panels[1].set(
        xlabel="mean |log ratio| of a token",
        ylim=(0, None),
        title="bias of the gradient, relative to its size",
    )
    panels[0].legend(fontsize=11, loc="lower right")
    panels[1].legend(fontsize=11, loc="upper left")
    if worst:
        _, (a, b), numbers, ways = worst
        for i, (way, name) in enumerate(
            zip(ways, ("masked", "conditioned"), strict=True)
        ):
            panels[2].bar(
                [place + 0.4 * i - 0.2 for place in range(4)], way, 0.38, label=name
            )
        labels = [f"{numbers[0]}, right", *numbers[1:]]
        panels[2].set(
            xticks=range(4),
            xticklabels=labels,
            ylim=(0, 1),
            title=f"{a} + {b}: one of four numbers",
        )
        panels[2].legend(fontsize=11)
    return figure


save_figure(draw(), __file__)
