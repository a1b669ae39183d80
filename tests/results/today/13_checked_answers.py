"""Sums, half learned, then GRPO with the verifier's reward: exact, and with a sampler
in bfloat16 with and without weights. The bias of the gradient by enumeration, and
masked beside conditioned answers to multiple choice.
"""

import copy

import torch
from torch.nn import functional as F

from grader.loading import prerequisite

BOX = "\\boxed{"
VOCAB = [*"0123456789", "+", "=", BOX, "}", ""]
ID = {token: i for i, token in enumerate(VOCAB)}
END = ID[""]
LIMITS = {
    "pass@1 before": "< 0.9",
    "pass@1 after 100 steps of GRPO": "> 0.1",
    "pass@1 after − before": "> 0.02",
    "pass@8 after − before, at least": "> -0.1",
    "pass@8 after − before, at most": "< 0.2",
    "mean difference of a token's log-probability, bfloat16": "< 0.01",
    "pass@1, sampler in bfloat16 with weights − without, at least": "> -0.15",
    "pass@1, sampler in bfloat16 with weights − without, at most": "< 0.15",
    "bias at a log ratio of 0.13: token weights / none": "> 0.6",
    "bias at a log ratio of 0.13: sequence weights / none": "< 0.15",
    "bias at a log ratio of 0.7: sequence weights / none": "> 0.2",
    "spread at a log ratio of 0.7: no bound / up to 2": "> 2",
    "four choices: total variation of masked and conditioned": "> 0.005",
}


def prompt(a, b):
    return [ID[character] for character in f"{a:02}+{b:02}="]


def written(ids):
    return "".join(VOCAB[i] for i in ids)


def rows_of(kata, pairs, groups):
    return kata.pack_turns(
        [
            [kata.Turn("prompt", prompt(*pair)), kata.Turn("model", answer)]
            for pair, group in zip(pairs, groups, strict=True)
            for answer in group
        ],
        pad=END,
    )


def some(pairs, count):
    return [pairs[i] for i in torch.randint(len(pairs), (count,)).tolist()]


def taught(kata, preferences, pairs):
    gpt = prerequisite("26_gpt_model")
    model = gpt.GPT(
        gpt.GPTConfig(
            block_size=16, vocab_size=len(VOCAB), n_layer=2, n_head=4, n_embd=64
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(270):
        asked = some(pairs, 64)
        right = [
            [[ID[token] for token in (BOX, *str(a + b), "}", "")]] for a, b in asked
        ]
        ids, mask = rows_of(kata, asked, right)
        logp = preferences.token_logp(model(ids)[0], ids)
        optimizer.zero_grad()
        (-logp[mask[:, 1:]].mean()).backward()
        optimizer.step()
    return model


@torch.no_grad()
def answers(model, pairs, k):
    ids = torch.tensor([prompt(*pair) for pair in pairs for _ in range(k)])
    start = ids.size(1)
    for _ in range(6):
        new = torch.multinomial(model(ids)[0][:, -1].float().softmax(-1), 1)
        ids = torch.cat([ids, new], dim=1)
    rows = [
        row[: row.index(END) + 1] if END in row else row
        for row in ids[:, start:].tolist()
    ]
    return [rows[i : i + k] for i in range(0, len(rows), k)]


def paid(kata, pairs, groups):
    return torch.tensor(
        [
            [float(kata.verify(written(a), sum(pair))) for a in row]
            for pair, row in zip(pairs, groups, strict=True)
        ]
    )


def passed(kata, model, pairs):
    """pass@1 and pass@8."""
    counts = paid(kata, pairs, answers(model, pairs, 32)).sum(1).long().tolist()
    return [sum(kata.pass_at_k(32, c, k) for c in counts) / len(counts) for k in (1, 8)]


def reinforced(kata, preferences, model, pairs, low=False, weighted=False):
    """A copy after 100 steps of GRPO, and the mean difference between the sampler's
    log-probabilities and its own.
    """
    model, gaps = copy.deepcopy(model), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4)
    for _ in range(100):
        sampler = copy.deepcopy(model).bfloat16() if low else model
        asked = some(pairs, 16)
        groups = answers(sampler, asked, 8)
        advantages = preferences.group_advantages(paid(kata, asked, groups)).flatten()
        ids, mask = rows_of(kata, asked, groups)
        counted = mask[:, 1:]
        logp = preferences.token_logp(model(ids)[0], ids)
        with torch.no_grad():
            sampled = preferences.token_logp(sampler(ids)[0].float(), ids)
        gaps.append((logp.detach() - sampled)[counted].abs().mean().item())
        gain = preferences.clipped_objective(logp, logp.detach(), advantages)
        if weighted:
            gain = gain * kata.truncated_weights(logp, sampled, counted)
        optimizer.zero_grad()
        (-gain[counted].mean()).backward()
        optimizer.step()
    return model, sum(gaps) / len(gaps)


LISTED = torch.cartesian_prod(*[torch.arange(5)] * 3)
PLACES = torch.stack(
    [torch.zeros(125).long(), 1 + LISTED[:, 0], 6 + 5 * LISTED[:, 0] + LISTED[:, 1]],
    dim=1,
)
WEIGHTS = (
    {"cap": 1e9},
    {},
    {"level": "sequence"},
    {"level": "sequence", "cap": float("inf")},
)


def biases(kata, noise, seed):
    """Bias and spread without weights, by token, by sequence, and by sequence without a
    bound; over five tables.
    """
    found = torch.zeros(4, 2)
    for number in range(5):
        generator = torch.Generator().manual_seed(5 * seed + number)
        table = torch.randn(31, 5, generator=generator)
        other = table + noise * torch.randn(31, 5, generator=generator)
        trainer, sampler = (
            t.log_softmax(-1)[PLACES].gather(-1, LISTED[..., None])[..., 0]
            for t in (table, other)
        )
        true, sampled = trainer.sum(1).exp(), sampler.sum(1).exp()
        reward = (torch.rand(125, generator=generator) < 0.3).float()
        gain = reward - (true * reward).sum()
        slopes = (
            F.one_hot(PLACES, 31)[..., None]
            * (F.one_hot(LISTED, 5) - table.softmax(-1)[PLACES])[:, :, None]
        )
        exact = torch.einsum("y,ytrv->rv", true * gain, slopes)
        everywhere = torch.ones(125, 3, dtype=torch.bool)
        for i, options in enumerate(WEIGHTS):
            weights = kata.truncated_weights(
                trainer, trainer if i == 0 else sampler, everywhere, **options
            )
            single = torch.einsum("yt,ytrv->yrv", weights * gain[:, None], slopes)
            mean = torch.einsum("y,yrv->rv", sampled, single)
            spread = (sampled * (single - mean).square().sum((1, 2))).sum().sqrt()
            found[i] += torch.stack([(mean - exact).norm(), spread]) / exact.norm() / 5
    return found


def apart(kata, model, pairs):
    """Mean total variation of masked and conditioned, over four numbers near
    each sum.
    """
    total = 0.0
    for a, b in pairs:
        near = [n for n in range(max(0, a + b - 15), a + b + 16) if n != a + b]
        numbers = [a + b, *(near[i] for i in torch.randperm(len(near))[:3].tolist())]
        texts = [f"{BOX}{n}}}" for n in numbers]
        beginnings = sorted({text[:i] for text in texts for i in range(len(text) + 1)})
        states = {text: number for number, text in enumerate(beginnings)}
        moves = {
            (states[text[:-1]], text[-1]): state
            for text, state in states.items()
            if text
        }
        automaton = kata.Automaton(
            states[""], frozenset(states[text] for text in texts), moves
        )
        start = prompt(a, b)

        @torch.no_grad()
        def next_probs(ids, start=start):
            return (
                model(torch.tensor([start + list(ids)]))[0][0, -1].double().softmax(-1)
            )

        masked, conditioned = kata.masked_and_conditioned(
            next_probs, automaton, VOCAB, 6
        )
        total += sum(abs(masked[ids] - conditioned[ids]) for ids in masked) / 2
    return total / len(pairs)


def run(kata, seed) -> dict[str, float]:
    preferences = prerequisite("today/05_preferences_and_rl")
    order = torch.randperm(1600, generator=torch.Generator().manual_seed(seed)).tolist()
    pairs = [divmod(i, 40) for i in order]
    pairs, others = pairs[48:], pairs[:48]
    torch.manual_seed(seed)
    model = taught(kata, preferences, pairs)
    before = passed(kata, model, others)
    exact, _ = reinforced(kata, preferences, model, pairs)
    after = passed(kata, exact, others)
    plain, gap = reinforced(kata, preferences, model, pairs, low=True)
    weighted, _ = reinforced(kata, preferences, model, pairs, low=True, weighted=True)
    changed = passed(kata, weighted, others)[0] - passed(kata, plain, others)[0]
    small, large = biases(kata, 0.2, seed), biases(kata, 1.1, seed)
    found = [
        before[0],
        after[0],
        after[0] - before[0],
        *[after[1] - before[1]] * 2,
        gap,
        changed,
        changed,
    ]
    found += [
        small[1, 0] / small[0, 0],
        small[2, 0] / small[0, 0],
        large[2, 0] / large[0, 0],
        large[3, 1] / large[2, 1],
    ]
    found.append(apart(kata, exact, others))
    return dict(zip(LIMITS, map(float, found), strict=True))
