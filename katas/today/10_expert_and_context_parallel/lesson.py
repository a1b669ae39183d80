"""Kata today/10 in code: rows exchanged, experts on two ranks, a bias that balances,
layouts of a sequence, a softmax in parts, a ring and an exchange of heads beside one
process, and what they send.
"""

from collections import Counter

import torch
import torch.distributed as dist
from matplotlib.figure import Figure
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grader.lesson import COLOURS, code, save_figure

kata = code(__file__)
# before anything is forked: a forked process does not have the threads
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)  # to see what is rounding and what is wrong


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def launched(name, *work):
    """What the ranks return; None, and a line, if a stretch exercise that they need is
    not written yet.
    """
    try:
        return kata.launch(*work)
    except RuntimeError as error:
        if "NotImplementedError" not in str(error):
            raise
        print(f"   ({name} is a stretch exercise that is not written yet)")
        return None


# 1. Five rows on two ranks, and a table of who sends how many to whom. Each row says
#    where it was: rank, then place.
SENDS = [[1, 2], [0, 2]]


def exchanged():
    rank = dist.get_rank()
    x = torch.tensor(
        [[rank, place] for place in range(sum(SENDS[rank]))], dtype=torch.float64
    ).requires_grad_()
    out = kata.exchange_rows(x, SENDS[rank], [send[rank] for send in SENDS])
    grad = torch.autograd.grad(
        (out * 10.0 * torch.arange(1, len(out) + 1)[:, None]).sum(), x
    )[0]
    return out.long().tolist(), grad[:, 0].tolist()


print("1. Rank 0 sends 1 row to itself and 2 to rank 1; rank 1 sends 2 to itself")
for rank, (rows, grad) in enumerate(kata.launch(exchanged, 2)):
    print(
        f"   rank {rank}: arrived [rank, place] {rows}; gradients 10, 20, … of these, "
        f"back home: {grad}"
    )

# 2. Eight experts on two ranks. One process with all of them gets the same numbers.
E, C, K, WORLD = 8, 16, 2, 2
TOKENS = [numbers(n, C, seed=n) for n in (10, 6)]
ROUTER = numbers(C, E, seed=1) + torch.linspace(0.4, -0.4, E)


def experts():
    torch.manual_seed(2)
    return nn.ModuleList(
        nn.Sequential(nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C))
        for _ in range(E)
    )


def routed(x):
    weights, chosen = (x @ ROUTER).softmax(-1).topk(K)
    return weights / weights.sum(-1, keepdim=True), chosen


def on_its_ranks():
    rank = dist.get_rank()
    here = E // WORLD
    local = experts()[rank * here : (rank + 1) * here]
    calls = []
    for expert in local:
        expert.register_forward_hook(lambda _, given, out: calls.append(len(given[0])))
    weights, chosen = routed(TOKENS[rank])
    out = kata.parallel_experts(TOKENS[rank], weights, chosen, local, E)
    out.square().sum().backward()
    return out.detach(), calls, [p.grad for p in local.parameters()]


def one_process():
    """All tokens and all experts, token by token."""
    everyone, outs = experts(), []
    for x in TOKENS:
        weights, chosen = routed(x)
        rows = [
            sum(
                w * everyone[e](x[t])
                for w, e in zip(weights[t], chosen[t], strict=True)
            )
            for t in range(len(x))
        ]
        outs.append(torch.stack(rows))
    sum(out.square().sum() for out in outs).backward()
    return outs, [
        p.grad if p.grad is not None else torch.zeros_like(p)
        for p in everyone.parameters()
    ]


outs, grads = one_process()
print(f"\n2. {E} experts on {WORLD} ranks, {K} of them per token")
for rank, (out, calls, own) in enumerate(kata.launch(on_its_ranks, WORLD)):
    right = grads[rank * len(own) : (rank + 1) * len(own)]
    apart = max(
        (mine - one).abs().max().item()
        for mine, one in zip([out, *own], [outs[rank].detach(), *right])
    )
    print(
        f"   rank {rank}: {len(out)} tokens, rows per expert {calls}, largest "
        f"difference {apart:.0e}"
    )

# 3. A router that prefers the first experts, and a bias that only its choice sees.
STEPS, EACH, RATE = 400, 256, 0.01
PULL = torch.linspace(1.0, -1.0, E)


def balanced():
    bias, loads = torch.zeros(E), []
    for step in range(STEPS + 1):
        scores = (
            numbers(EACH, E, seed=WORLD * step + dist.get_rank()) + PULL
        ).sigmoid()
        chosen = (scores + bias).topk(K).indices
        counts = torch.bincount(chosen.flatten(), minlength=E)
        bias = kata.balance_bias(bias, chosen, RATE)
        dist.all_reduce(counts)
        loads.append((counts.max() / (counts.sum() / E)).item())
    return bias, loads


print(
    "\n"
    f"3. The busiest expert's rows over the mean, {WORLD * EACH} tokens per step, "
    f"rate {RATE}"
)
answers = launched("balance_bias", balanced, WORLD)
if answers:
    (bias, loads), (other, _) = answers
    print("   step  " + "".join(f"{step:>7}" for step in range(0, STEPS + 1, 100)))
    print(
        "   load  "
        + "".join(f"{loads[step]:>7.2f}" for step in range(0, STEPS + 1, 100))
    )
    print(
        f"   bias afterwards {[round(b, 2) for b in bias.tolist()]}, the same on both "
        f"ranks: {bias.equal(other)}"
    )

# 4. Causal work: a token at t sees t + 1 keys.
LAYOUTS = ("contiguous", "striped", "zigzag")


def pairs(T, world, layout):
    return [
        (kata.positions(T, rank, world, layout) + 1).sum().item()
        for rank in range(world)
    ]


print("\n4. Pairs of query and key on the slowest rank over the mean, T = 1,024")
print("   " + " " * 12 + "".join(f"{f'W = {world}':>9}" for world in (2, 4, 8)))
for layout in LAYOUTS:
    work = [pairs(1024, world, layout) for world in (2, 4, 8)]
    print(
        f"   {layout:<12}"
        + "".join(f"{max(one) * len(one) / sum(one):>9.3f}" for one in work)
    )

# 5. One query, five keys in two parts.
q, k, v = numbers(1, 1, 1, 4), numbers(1, 1, 5, 4, seed=1), numbers(1, 1, 5, 4, seed=2)
every = torch.ones(1, 5, dtype=torch.bool)
whole, whole_lse = kata.attend_part(q, k, v, every)
a = kata.attend_part(q, k[:, :, :2], v[:, :, :2], every[:, :2])
b = kata.attend_part(q, k[:, :, 2:], v[:, :, 2:], every[:, 2:])
out, lse = kata.merge(*a, *b)
print("\n5. Softmax over five keys, from two and three")
print(
    f"   lse {a[1].item():.3f} and {b[1].item():.3f}: {lse.item():.3f}, over all at "
    f"once {whole_lse.item():.3f}"
)
print(f"   out apart from all at once by {(out - whole).abs().max():.0e}, the mean of "
      f"both outs by {((a[0] + b[0]) / 2 - whole).abs().max():.2f}")  # fmt: skip


# 6. A ring, and an exchange of heads, beside one process: outputs, gradients, and the
#    elements that a rank sends.
class Sent(TorchDispatchMode):
    """Counts the elements that this rank sends to others."""

    def __init__(self):
        super().__init__()
        self.elements = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0].strip("_")
        if func.namespace == "c10d" and name == "send":
            self.elements["sent"] += sum(
                t.numel() for t in tree_leaves(args[0]) if isinstance(t, torch.Tensor)
            )
        elif func.namespace == "c10d" and name == "alltoall_base":
            # one part of W stays
            self.elements["sent"] += (
                args[1].numel() * (dist.get_world_size() - 1) // dist.get_world_size()
            )
        return func(*args, **(kwargs or {}))


# its first use imports PyTorch's compiler for seconds; each of the 28 ranks below would
# do that anew
with Sent():
    torch.zeros(1)

B, H, T, D = 2, 8, 64, 16
# q, k, v and the gradient from above
WHOLE = [numbers(B, H, T, D, seed=seed) for seed in range(4)]


def causal_attention(q, k, v):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def in_parallel(way):
    """Out and gradients on this rank; elements sent forward and backward over those of
    its q; its tokens.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    layout = "zigzag" if way == "ring" else "contiguous"
    own = [kata.positions(T, r, world, layout) for r in range(world)]
    q, k, v, dout = (t[:, :, own[rank]].clone() for t in WHOLE)
    leaves = [t.requires_grad_() for t in (q, k, v)]
    with Sent() as forward:
        out = (
            kata.RingAttention.apply(*leaves, own)
            if way == "ring"
            else kata.ulysses_attention(*leaves, causal_attention)
        )
    with Sent() as backward:
        grads = torch.autograd.grad((out * dout).sum(), leaves)
    sent = [mode.elements["sent"] / q.numel() for mode in (forward, backward)]
    return [out.detach(), *grads], sent, own[rank]


leaves = [t.clone().requires_grad_() for t in WHOLE[:3]]
right = [
    causal_attention(*leaves),
    *torch.autograd.grad((causal_attention(*leaves) * WHOLE[3]).sum(), leaves),
]
print(
    "\n"
    f"6. {T} tokens, {H} heads: beside one process, and what a rank sends, in units "
    "of its own q"
)
print("   way      W   largest difference   forward   backward")
for way, needed in (("ring", "ring_backward"), ("ulysses", "ulysses_attention")):
    for world in (2, 4, 8):
        answers = launched(needed, in_parallel, world, way)
        if answers is None:
            break
        apart = max(
            (mine - one[:, :, own]).abs().max().item()
            for got, _, own in answers
            for mine, one in zip(got, right)
        )
        _, (forward, backward), _ = answers[0]
        print(
            f"   {way:<8} {world}   {apart:>18.0e}   {forward:>7.2f}   {backward:>8.2f}"
        )

# 7. The figure: who computes which pair, and where rows lie before and after
#    the exchange.
RANKS, SHOWN, CHOICES = 4, 16, 6
PICKED = torch.stack(
    [
        torch.randperm(E, generator=torch.Generator().manual_seed(r))[:CHOICES]
        for r in range(RANKS)
    ]
)
PICKED = PICKED.sort(1).values  # by rank, the experts of its rows, sorted by `dispatch`
COUNTS = [
    [int((PICKED[r] // (E // RANKS) == s).sum()) for s in range(RANKS)]
    for r in range(RANKS)
]


def travelled():
    """(source, expert) of each row that arrives here."""
    rank = dist.get_rank()
    rows = torch.stack([torch.full((CHOICES,), rank), PICKED[rank]], 1)
    return kata.exchange_rows(
        rows, COUNTS[rank], [counts[rank] for counts in COUNTS]
    ).tolist()


def strip(part, by_rank, title):
    for rank, rows in enumerate(by_rank):
        for place, (source, expert) in enumerate(rows):
            part.broken_barh(
                [(place, 1)],
                (rank - 0.35, 0.7),
                facecolor=COLOURS[source],
                edgecolor="white",
            )
            colour = "black" if source == 3 else "white"  # on orange
            part.text(
                place + 0.5, rank, str(expert), ha="center", va="center", color=colour
            )
    part.set(
        yticks=range(RANKS),
        yticklabels=[f"rank {r}" for r in range(RANKS)],
        ylim=(RANKS - 0.5, -0.5),
    )
    part.set(xticks=[], title=title, xlim=(0, max(map(len, by_rank))))


figure = Figure(figsize=(6.6, 7.6))
above, below = figure.subplots(2, 3, height_ratios=(3, 2))
for part, layout in zip(above, LAYOUTS, strict=True):
    for rank in range(RANKS):
        for i in kata.positions(SHOWN, rank, RANKS, layout).tolist():
            part.broken_barh(
                [(0, i + 1)], (i - 0.5, 1), facecolor=COLOURS[rank], edgecolor="white"
            )
    part.set(
        xlim=(0, SHOWN), ylim=(SHOWN - 0.5, -0.5), xticks=[], yticks=[], xlabel="keys"
    )
    part.set_title(
        f"{layout}\npairs: " + ", ".join(map(str, pairs(SHOWN, RANKS, layout)))
    )
above[0].set(ylabel="queries")
home = [[(rank, expert) for expert in PICKED[rank].tolist()] for rank in range(RANKS)]
arrived = kata.launch(travelled, RANKS)
strip(below[0], home, "rows at home, by expert")
strip(below[1], arrived, "exchanged: by source")
strip(
    below[2],
    [sorted(rows, key=lambda row: row[1]) for rows in arrived],
    "sorted by expert again",
)
save_figure(figure, __file__)
