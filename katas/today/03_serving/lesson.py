"""Kata today/03 in code: what a cache is worth, how a pool of blocks is shared, and
what a draft model saves.
"""

import random
import re
import statistics
import time

import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import nn

from grader.datasets import prose
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
torch.manual_seed(0)

# 1. The same 160 tokens by three methods. Seconds depend on the machine, so compare the
#    ratios: the methods take turns, and the faster of two runs counts.
NEW, ROWS, LAYERS = 160, 16, 2
served = kata.GPT(
    kata.GPTConfig(block_size=256, vocab_size=96, n_layer=LAYERS, n_head=4, n_embd=128)
).eval()


@torch.no_grad()
def static_rows(rows: int) -> torch.Tensor:
    """The best tokens of several rows at once, over one buffer per layer."""
    idx = new = torch.randint(96, (rows, 8), generator=torch.Generator().manual_seed(0))
    caches = [kata.StaticLayerCache(rows, 4, 8 + NEW, 32) for _ in range(LAYERS)]
    for _ in range(NEW):
        new = served(new, cache=caches)[0][:, -1].argmax(-1, keepdim=True)
        idx = torch.cat([idx, new], dim=1)
    return idx


prompt = torch.randint(96, (1, 8), generator=torch.Generator().manual_seed(0))
methods = {
    "no cache": lambda: kata.generate(served, prompt, NEW, temperature=0.0),
    "a growing cache": lambda: kata.generate(
        served, prompt, NEW, temperature=0.0, use_cache=True
    ),
    "a static cache": lambda: static_rows(1),
    f"a static cache, {ROWS} rows": lambda: static_rows(ROWS),
}
seconds: dict[str, list[float]] = {name: [] for name in methods}
written = {}
for _ in range(2):
    for name, method in methods.items():
        began = time.process_time()
        written[name] = method()
        seconds[name].append(time.process_time() - began)
rates = {name: len(written[name]) * NEW / min(runs) for name, runs in seconds.items()}
print(
    f"1. Tokens per second, {NEW} tokens by a GPT of {LAYERS} layers, C = 128, on one "
    "thread"
)
for name, rate in rates.items():
    print(
        f"   {name:<24} {rate:>8,.0f}   {rate / rates['no cache']:>5.1f} times no cache"
    )
print(
    "   the same tokens:",
    all(
        torch.equal(ids[:1], written["no cache"]) for ids in list(written.values())[:3]
    ),
)

# 2. Why several rows, and why several tokens of one row: a call of the model costs
#    nearly the same for a few tokens.
print("\n2. Milliseconds of one call behind 200 cached tokens")
chunks = {}
for count in (1, 2, 4, 8):
    times = []
    for _ in range(20):
        caches = [kata.StaticLayerCache(1, 4, 256, 32) for _ in range(LAYERS)]
        for cache in caches:
            cache.length = 200
        began = time.process_time()
        with torch.no_grad():
            served(torch.zeros(1, count, dtype=torch.long), cache=caches)
        times.append(1000 * (time.process_time() - began))
    chunks[count] = min(times)
    print(
        f"   {count} tokens: {chunks[count]:5.2f}, {chunks[count] / chunks[1]:.1f} "
        "times the call of one token"
    )

# 3. Nobody knows how long a text becomes. Each request may write 120 tokens, and most
#    end earlier. A buffer of the greatest length, or blocks for it, stay empty for the
#    most part. Blocks that are taken as the text grows waste a part of the last one.
#    When none is free, the youngest request gives its blocks back and is computed
#    anew later.
requests = []
source = random.Random(0)
for number in range(40):
    requests.append(
        kata.Request(
            number,
            source.randint(4, 60),
            int(min(4 + source.expovariate(1 / 25), 120)),
            number // 4,
        )
    )
lengths = [request.prompt_tokens + request.max_new_tokens for request in requests]
LIMIT, POOL, SIZE = 120, 48, 16


def served_from(size: int, as_it_grows: bool) -> tuple[int, float, float, int]:
    """Steps, mean number of texts that grow at once, share of held places in use,
    tokens computed twice.
    """
    pool, tables = kata.BlockAllocator(POOL * SIZE // size), {}
    written, waiting = [0] * len(requests), list(range(len(requests)))
    steps = growing = held = used = again = 0

    def blocks_for(name: int) -> int:
        length = requests[name].prompt_tokens + (
            written[name] + 1 if as_it_grows else LIMIT
        )
        return 1 if size == 256 else -(-length // size)

    while waiting or tables:
        while waiting and blocks_for(waiting[0]) <= pool.num_free:
            name = waiting.pop(0)
            tables[name] = pool.allocate(blocks_for(name))
        if as_it_grows:
            needed = {
                name: requests[name].prompt_tokens + written[name] + 1
                for name in tables
            }
            for name in kata.grow_or_preempt(tables, needed, pool, size):
                waiting.insert(0, name)
                again += requests[name].prompt_tokens + written[name]
        for name in tables:
            written[name] += 1
        steps, growing = steps + 1, growing + len(tables)
        held += size * sum(map(len, tables.values()))
        used += sum(requests[name].prompt_tokens + written[name] for name in tables)
        for name in [
            name for name in tables if written[name] == requests[name].max_new_tokens
        ]:
            pool.free(tables.pop(name))
    return steps, growing / steps, used / held, again


print(
    "\n"
    f"3. 40 requests in a memory of {POOL * SIZE} tokens; each may write {LIMIT}, and "
    f"writes 4 to {LIMIT}"
)
for kind, size, as_it_grows in (
    ("buffers of 256 tokens", 256, False),
    ("blocks of 16 for the limit", 16, False),
    ("blocks of 16, as texts grow", 16, True),
    ("blocks of 4, as texts grow", 4, True),
):
    if (
        as_it_grows
        and stretch(kata.grow_or_preempt, {}, {}, kata.BlockAllocator(1), size) is None
    ):
        break
    steps, growing, share, again = served_from(size, as_it_grows)
    print(
        f"   {kind:<28} {steps:>4} steps, {growing:>4.1f} texts at once, {share:>4.0%} "
        f"of their places in use, {again} tokens computed twice"
    )

# 4. One request in a pool. Its tokens lie in blocks anywhere, and a second request
#    shares the first two.
print("\n4. Two requests that share a system prompt of 8 tokens, blocks of 4")
blocks = kata.BlockAllocator(10)
blocks.allocate(3)  # somebody else's
tokens = [7, 3, 3, 1, 8, 2, 2, 6, 5, 5]
first = blocks.allocate(3)
index = {tuple(tokens[:4]): first[0], tuple(tokens[:8]): first[1]}
shared, count = kata.reuse_prefix([*tokens[:8], 9, 9, 4], index, 4)
blocks.share(shared)
second = shared + blocks.allocate(1)
print(
    f"   first request: blocks {first}; second: {second}, {count} of its 11 tokens "
    "need no computing"
)
print(f"   references {blocks.references}, free {blocks.num_free}")
k_pool, v_pool = torch.randn(2, 10, 4, 2, 8).unbind(0)
q = torch.randn(2, 6, 8)
table, filled = torch.tensor([first, second]), torch.tensor([10, 11])
both = kata.paged_attention(q, k_pool, v_pool, table, filled)
order = torch.randperm(10)
moved = kata.paged_attention(
    q, k_pool[order], v_pool[order], order.argsort()[table], filled
)
print(
    "   all blocks of the pool moved to other places: the result differs by "
    f"{(both - moved).abs().max():.0e}"
)
blocks.free(first)
print(
    f"   the first request has ended: references {blocks.references}, free "
    f"{blocks.num_free}"
)

# 5. A scheduler. The control starts a batch and lets nobody else in until its longest
#    request has ended.
BUDGET = 64


def static_batches(running, waiting, budget, free_blocks, block_size):
    """The control: new requests start only when all of the last batch have ended."""
    return kata.schedule_batch(
        running, [] if running else waiting, budget, free_blocks, block_size
    )


def slots(result: dict) -> tuple[int, int]:
    """How many slots the rows of all batches hold, each until the last of its batch
    ends, and how many of them idle.
    """
    batch: set[int] = set()
    held = idle = 0
    for step, plan in enumerate(result["log"]):
        if all(result["finished"][name] <= step for name in batch):
            batch = set()
        batch |= plan.keys()
        held, idle = held + len(batch), idle + len(batch - plan.keys())
    return held, idle


print(
    "\n"
    f"5. 40 requests, at most {BUDGET} tokens per step, a pool of {POOL} blocks of "
    f"{SIZE}"
)
plan = stretch(kata.schedule_batch, [], [kata.Request(0, 4, 4)], BUDGET, POOL, SIZE)
results = {}
if plan is not None:
    for name, policy in (
        ("static batches", static_batches),
        ("continuous", kata.schedule_batch),
    ):
        results[name] = kata.serve(requests, BUDGET, POOL, SIZE, policy)
        result = results[name]
        waits = [result["finished"][one.id] - one.arrived for one in requests]
        print(
            f"   {name:<15} {result['steps']:>4} steps, "
            f"{result['tokens'] / result['steps']:>5.1f} tokens per step, "
            f"a request takes {statistics.median(waits):.0f} in the median"
        )
    held, idle = slots(results["static batches"])
    print(
        f"   in static batches, {idle} of {held} slots ({idle / held:.0%}) were empty "
        "while others went on"
    )

# 6. Speculation. The target is a small GPT over characters, trained for some seconds.
#    Its drafts are a GPT of half its layers and a table that counts pairs of letters.
#    The controls are the target itself and a draft that knows nothing.
text = re.sub(r"[^a-z.]+", " ", prose().lower())[:8000]
symbols = sorted(set(text))
V, T, STEPS, RATE = len(symbols), 32, 300, 8e-3
ids = torch.tensor([symbols.index(letter) for letter in text])


class Table(nn.Module):
    """A model whose logits depend on the last token only."""

    def __init__(self, counts: torch.Tensor):
        super().__init__()
        self.logits = nn.Parameter((counts / counts.sum(1, keepdim=True)).log())

    def forward(self, idx: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.logits[idx], None


def trained(layers: int) -> nn.Module:
    """A GPT of C = 64, trained on the text with AdamW."""
    model = kata.GPT(
        kata.GPTConfig(
            block_size=128, vocab_size=V, n_layer=layers, n_head=2, n_embd=64
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=RATE, total_steps=STEPS, pct_start=0.1
    )
    for _ in range(STEPS):
        windows = ids[torch.randint(len(ids) - T - 1, (16, 1)) + torch.arange(T + 1)]
        _, loss = model(windows[:, :-1], windows[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


target = trained(2)
pairs = torch.bincount(ids[:-1] * V + ids[1:], minlength=V * V).view(V, V)
drafts = {
    "the target itself": target,
    "a GPT of half its layers": trained(1),
    "counts of pairs": Table(pairs + 0.1),
    "one that knows nothing": Table(torch.ones(V, V)),
}
GAMMAS, START, LENGTH, TEXTS = (1, 2, 4, 8), ids[:8][None], 64, 4
# what the target writes by itself, and how likely each draft's proposals are kept there
with torch.no_grad():
    texts = kata.generate(target, START.repeat(8, 1), LENGTH, use_cache=True)
    p = target(texts)[0][:, 7:-1].softmax(-1)
    alphas = {
        name: torch.minimum(p, draft(texts)[0][:, 7:-1].softmax(-1))
        .sum(-1)
        .mean()
        .item()
        for name, draft in drafts.items()
    }


def expected(alpha: float, gamma: int) -> float:
    """Tokens per call if each proposal is accepted with probability alpha."""
    return sum(alpha**i for i in range(gamma + 1))


def measured(draft: nn.Module, gamma: int) -> float:
    """Tokens per call of the target, over several texts."""
    calls = 0
    for seed in range(TEXTS):
        draws = torch.Generator().manual_seed(seed)
        _, counts = kata.speculative_generate(
            target, draft, START, LENGTH, gamma, generator=draws
        )
        calls += counts["target_calls"]
    return TEXTS * LENGTH / calls


print(
    "\n"
    f"6. Tokens per call of the target at temperature 1, {TEXTS} texts of {LENGTH}; α "
    "is the mean of Σ min(p, q)"
)
print("   " + " " * 33 + "α  " + "".join(f"{f'γ = {gamma}':>8}" for gamma in GAMMAS))
curves: dict[str, list[float]] = {}
can_speculate = stretch(kata.speculative_generate, target, target, START, 2) is not None
for name, alpha in alphas.items():
    if can_speculate:
        curves[name] = [measured(drafts[name], gamma) for gamma in GAMMAS]
        print(
            f"   {name:<30} {alpha:>5.2f} "
            + "".join(f"{rate:8.2f}" for rate in curves[name])
        )
    by_formula = "".join(f"{expected(alpha, gamma):8.2f}" for gamma in GAMMAS)
    print(
        f"   {'   by the formula' if can_speculate else name:<30} {alpha:>5.2f} "
        f"{by_formula}"
    )


# 7. The figure: tokens per second, the pool of blocks over time, and tokens per call of
#    the target.
SHOWN = (2, 17, 30)  # requests with a colour of their own


def pool_over_time(log: list[dict[int, int]], finished: dict[int, int]) -> torch.Tensor:
    """Who holds each block at each step, (blocks, steps); −1 where it is free."""
    allocator, held = kata.BlockAllocator(POOL), {}
    picture = torch.full((POOL, len(log)), -1)
    for step, plan in enumerate(log):
        for name in plan:
            if name not in held:
                held[name] = allocator.allocate(-(-lengths[name] // SIZE))
        for name, taken in held.items():
            picture[taken, step] = name
        for name in [name for name in held if finished[name] == step + 1]:
            allocator.free(held.pop(name))
    return picture


def draw() -> Figure:
    figure = Figure(figsize=(6.6, 8.3))
    top, middle, bottom = figure.subplots(3)
    bars = top.bar(
        range(len(rates)),
        [rate / rates["no cache"] for rate in rates.values()],
        color=COLOURS,
    )
    top.bar_label(bars, fmt="%.1f")
    top.set_xticks(
        range(len(rates)),
        [name.replace(" cache", "\ncache").replace(", ", ",\n") for name in rates],
    )
    top.set(title="Tokens per second", ylabel="times no cache")
    if results:
        result = results["continuous"]
        picture = pool_over_time(result["log"], result["finished"])
        shades = torch.where(picture < 0, 0, 1)  # free, or taken
        for place, name in enumerate(SHOWN, start=2):
            shades[picture == name] = place
        middle.pcolormesh(
            shades, cmap=ListedColormap(["white", "0.8", *COLOURS[:3]]), vmin=0, vmax=4
        )
    middle.set(
        title="Blocks of three requests, and those of all others (grey)",
        xlabel="step",
        ylabel="block",
    )
    for (name, found), colour in zip(curves.items(), COLOURS, strict=False):
        bottom.plot(GAMMAS, found, "o", color=colour, label=name)
        bottom.plot(
            GAMMAS,
            [expected(alphas[name], gamma) for gamma in GAMMAS],
            color=colour,
            linewidth=1,
        )
    bottom.set(
        title="Dots: measured. Lines: the formula",
        xlabel="γ, proposals per round",
        ylabel="tokens per call",
    )
    if curves:
        bottom.legend()
    return figure


save_figure(draw(), __file__)
