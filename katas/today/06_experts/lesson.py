"""Kata today/06 in code: a router's choices, tokens sorted by expert, who is dropped,
what a layer holds and what it computes, and four experts on four clusters of points,
with and without a balance loss.
"""

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from grader.lesson import code, save_figure, stretch

kata = code(__file__)
# for tensors as small as these, threads cost more than they save
torch.set_num_threads(1)
torch.manual_seed(0)


def row(numbers: torch.Tensor) -> str:
    return " ".join(f"{number:5.2f}" for number in numbers.tolist())


# 1. The router: probabilities of 4 experts for 6 tokens. Each token takes two of them.
print("1. Six tokens choose two of four experts")
logits = torch.randn(6, 4) + torch.tensor([1.0, 0.0, 0.0, -1.0])
weights, experts = kata.route_topk(logits, 2)
for t in range(6):
    print(f"   token {t}: probabilities {row(logits.softmax(-1)[t])}   experts "
          f"{experts[t].tolist()}   weights {row(weights[t])}")  # fmt: skip
scores = logits.clone().requires_grad_()
for renormalise in (True, False):
    first, _ = kata.route_topk(scores, 1, renormalise)
    (gradient,) = torch.autograd.grad(first.sum(), scores)
    print(
        f"   k = 1, renormalised: {renormalise!s:<5}  largest gradient of a score "
        f"{gradient.abs().max():.2f}"
    )

# 2. Sorted by expert, each expert has one slice. Brought back without being computed,
#    tokens are themselves again.
x = torch.arange(6.0)[:, None] * torch.tensor([1.0, 10.0])
rows, order, counts = kata.dispatch(x, experts, 4)
print("\n2. The tokens in each expert's slice")
for e, part in enumerate(rows[:, 0].long().split(counts.tolist())):
    print(f"   expert {e}: {part.tolist()}")
same = torch.allclose(kata.combine(rows, order, weights), x)
print(f"   combined with weights that sum to 1, they are the tokens again: {same}")

# 3. Limited room. First choices come first; what is too much is dropped.
kept = stretch(kata.drop_over_capacity, experts, 4, 1.0)
if kept is not None:
    print("\n3. Room for an equal share, 3 choices per expert")
    for t in range(6):
        print(f"   token {t}: experts {experts[t].tolist()}   kept {kept[t].tolist()}")

# 4. What a layer holds, and what one token computes: additions and biases are
#    not counted.
print("\n4. Weights of a layer, and multiplications per token (C = 64, hidden 256)")
print(f"   {'experts':>7} {'k':>3} {'weights':>9} {'per token':>10}")
for n_experts, k in ((1, 1), (8, 1), (8, 2), (64, 2)):
    moe = kata.MoE(64, 256, n_experts, k)
    held = sum(p.numel() for p in moe.parameters() if p.ndim == 2)
    work = 64 * n_experts + k * 2 * 64 * 256
    print(f"   {n_experts:>7} {k:>3} {held:>9,} {work:>10,}")

# 5. Four clusters of points, each with a linear map of its own. Four small experts, one
#    per point. The router gets the task's gradient, and the balance loss with
#    a coefficient.
CLUSTERS, C = 4, 8
torch.manual_seed(0)
centres, maps = 2 * torch.randn(CLUSTERS, C), torch.randn(CLUSTERS, C, C) / C**0.5


def points(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points, what is to be predicted, and the cluster of each, which no model sees."""
    cluster = torch.randint(CLUSTERS, (count,))
    x = centres[cluster] + torch.randn(count, C)
    return x, torch.einsum("nij,nj->ni", maps[cluster], x), cluster


def train(
    n_experts: int, n_hidden: int, coefficient: float
) -> tuple[float, torch.Tensor]:
    """Squared error on 4,000 new points, and how many of each cluster went to
    each expert.
    """
    torch.manual_seed(1000)
    moe = kata.MoE(C, n_hidden, n_experts, k=1)
    optimizer = torch.optim.AdamW(moe.parameters(), lr=5e-3)
    for _ in range(600):
        x, y, _ = points(256)
        out, probs = moe(x[None])
        loss = F.mse_loss(out[0], y)
        if coefficient:
            loss = loss + coefficient * kata.balance_loss(
                probs, probs.argmax(-1, keepdim=True)
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y, cluster = points(4000)
    with torch.no_grad():
        out, probs = moe(x[None])
    table = torch.zeros(CLUSTERS, n_experts)
    table.index_put_((cluster, probs.argmax(-1)), torch.ones(len(x)), accumulate=True)
    return F.mse_loss(out[0], y).item(), table


has_loss = (
    stretch(kata.balance_loss, torch.full((2, 2), 0.5), torch.tensor([[0], [1]]))
    is not None
)
print("\n5. Four clusters, k = 1, 600 steps")
print(
    f"   {'experts':>7} {'hidden':>6} {'coefficient':>12} {'squared error':>14}   "
    "share of each expert"
)
tables = {}
SETTINGS = [
    (1, 16, 0.0),
    (1, 64, 0.0),
    (4, 16, 0.0),
    (4, 16, 0.01),
    (4, 16, 0.1),
    (4, 16, 1.0),
]
for n_experts, n_hidden, coefficient in SETTINGS:
    if coefficient and not has_loss:
        continue
    error, table = train(n_experts, n_hidden, coefficient)
    tables[n_experts, coefficient] = table
    print(
        f"   {n_experts:>7} {n_hidden:>6} {coefficient:>12} {error:>14.3f}   "
        f"{row(table.sum(0) / table.sum())}"
    )


# 6. The figure: which expert takes which cluster.
def draw() -> Figure:
    shown = {name: tables[key] for name,
             key in (("no balance loss", (4, 0.0)), ("coefficient 1", (4, 1.0)))
             if key in tables}  # fmt: skip
    figure = Figure(figsize=(6.6, 3.4))
    parts = figure.subplots(1, len(shown), squeeze=False)[0]
    for part, (name, table) in zip(parts, shown.items(), strict=True):
        shares = table / table.sum(1, keepdim=True)
        part.imshow(shares, vmin=0, vmax=1)
        for cluster in range(CLUSTERS):
            for e in range(4):
                share = shares[cluster, e].item()
                colour = "black" if share > 0.5 else "white"
                part.text(
                    e, cluster, f"{share:.0%}", ha="center", va="center", color=colour
                )
        part.set(
            title=name,
            xlabel="expert",
            ylabel="cluster",
            xticks=range(4),
            yticks=range(4),
        )
    return figure


save_figure(draw(), __file__)
