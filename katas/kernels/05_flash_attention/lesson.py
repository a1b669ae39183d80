"""Kata kernels/05 in code: a softmax over tiles, what attention moves with and without
scores, merged parts.
"""

import math

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from grader.kernels import watched
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)

# 1. One query and 96 keys, whose scores grow. After each tile of 16 keys, the largest
# score so far may be another one, and what was summed before counts less by the
# factor exp(old − new).
print("1. One query, six tiles of 16 keys: what is kept after each")
scores = torch.randn(96) + torch.linspace(0, 6, 96)
ends = torch.arange(16, 97, 16)
tops = torch.stack([scores[:end].max() for end in ends])
fades = torch.cat([torch.zeros(1), (tops[:-1] - tops[1:]).exp()])
totals = torch.stack([(scores[:end] - top).exp().sum() for end, top in zip(ends, tops)])
for end, top, fade, total in zip(
    ends.tolist(), tops.tolist(), fades.tolist(), totals.tolist()
):
    print(
        f"   {end:>3} keys: largest {top:5.2f}   earlier sums times {fade:.3f}   "
        f"total {total:5.2f}"
    )

# 2. The same result as PyTorch's own attention.
q, k, v = torch.randn(3, 1, 2, 50, 16).unbind()
with watched() as seen:
    out, lse = kata.flash_forward(q, k, v, causal=True)
expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
print(
    "\n"
    f"2. 2 heads of 50 queries: {seen.programs} programs, off by at most "
    f"{(out - expected).abs().max():.0e}"
)

# 3. Traffic. Three kernels write T · T scores, read them, write as many weights, and
# read them. One kernel does not.
print("\n3. Kilobytes moved by one head, D = 16, tiles of 16")
LENGTHS = (16, 32, 64, 128)
WAYS = {
    "three kernels": kata.three_kernels,
    "flash": kata.flash_forward,
    "flash, causal": lambda q, k, v: kata.flash_forward(q, k, v, causal=True),
    "flash, 64 queries": lambda q, k, v: kata.flash_forward(q, k, v, block_q=64),
}
moved: dict[str, list[float]] = {name: [] for name in WAYS}
print("   " + " " * 18 + "".join(f"T = {T:<6}" for T in LENGTHS))
for name, attend in WAYS.items():
    for T in LENGTHS:
        q, k, v = torch.randn(3, 1, 1, T, 16).unbind()
        with watched() as seen:
            attend(q, k, v)
        moved[name].append((seen.bytes("load") + seen.bytes("store")) / 1000)
    print(f"   {name:<18}" + "".join(f"{size:<10.1f}" for size in moved[name]))
held = [2 * T * T * 4 / 1000 for T in LENGTHS]
print(
    "   scores and weights in memory, three kernels: "
    + ", ".join(f"{size:.0f}" for size in held)
    + "; flash: none"
)

# 4. Which blocks of scores are computed, of 8 by 8 tiles. Counted: how often each tile
# of keys was loaded.
print("\n4. T = 128 in tiles of 16, causal")
q, k, v = torch.randn(3, 1, 1, 128, 16).unbind()
with watched() as seen:
    kata.flash_forward(q, k, v, causal=True)
loads = seen.loads(k)[0, 0, ::16, 0]
tiles = [kata.causal_tiles(i, 16, 16, 128) for i in range(8)]
print(f"   tiles of keys per program: {tiles}, {sum(tiles)} of 64")
print(f"   how many programs loaded each tile of keys: {loads.tolist()}")

# 5. Parts over some of the keys, put together. Their lse says how much each counts.
query, (keys, values) = q[:, :, :64], torch.randn(2, 1, 1, 128, 16)
parts = [
    kata.flash_forward(query, keys[:, :, a : a + 64], values[:, :, a : a + 64])
    for a in (0, 64)
]
merged = kata.flash_decode_merge(*(torch.stack(side) for side in zip(*parts)))
whole = F.scaled_dot_product_attention(query, keys, values)
print(
    "\n"
    "5. 128 keys in two parts, merged: off by at most "
    f"{(merged - whole).abs().max():.0e}"
)

# 6. The backward pass keeps one number per query, and computes every score again.
print("\n6. Numbers kept for the backward pass, T = 128, D = 16")
out = stretch(kata.FlashAttention.apply, *(x.requires_grad_() for x in (q, k, v)), True)
if out is not None:
    kept = sum(x.numel() for x in out.grad_fn.saved_tensors)
    print(
        f"   q, k, v, out and lse: {kept:,}; with the weights instead of lse: "
        f"{4 * 128 * 16 + 128 * 128:,}"
    )

# 7. The figure: blocks of scores and their turn, one query's largest score and total,
# and what is moved.
figure = Figure(figsize=(6.6, 8.3))
first, middle, last = figure.subplots(3)
turns = torch.full((8, 8), math.nan)
for program, count in enumerate(tiles):
    turns[program, :count] = torch.arange(1.0, count + 1)
first.imshow(turns, vmin=0, vmax=8)
first.set_facecolor("#e8e8e8")
for program, count in enumerate(tiles):
    for turn in range(count):
        first.text(
            turn,
            program,
            turn + 1,
            ha="center",
            va="center",
            color="white" if turn < 4 else "black",
        )
first.text(5.2, 1, "never computed", ha="center", va="center")
first.set(
    xlabel="tile of keys",
    ylabel="program: its tile of queries",
    title="In which turn a block of scores exists",
)
for place in first.spines.values():
    place.set_visible(False)
middle.step(ends, tops, where="post", marker="o", label="largest score")
middle.step(ends, totals, where="post", marker="s", label="total")
middle.step(
    ends[1:], fades[1:], where="post", marker="^", label="factor for earlier sums"
)
middle.set(
    xlabel="keys seen",
    xticks=ends,
    ylim=(-0.4, 11),
    title="One query, after each tile of 16 keys",
)
middle.legend()
for (name, sizes), colour, marker in zip(moved.items(), COLOURS, "so^D"):
    last.loglog(LENGTHS, sizes, marker=marker, color=colour, label=name)
last.set(
    xlabel="T",
    ylabel="kilobytes moved",
    title="What one head of 16 features moves",
    xticks=LENGTHS,
    xticklabels=LENGTHS,
)
last.minorticks_off()
last.legend()
save_figure(figure, __file__)
