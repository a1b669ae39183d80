"""Kata 18 in code: attention without order, four ways to give it one, and what a model
makes of them.
"""

import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another
torch.manual_seed(0)


# 1. An encoder block without positions takes its input as a set: move the tokens, and
#    the outputs move along. Add a table of positions first, and the same tokens in
#    another order are another input.
B, T, C = 2, 6, 16
block = kata.TransformerEncoder(1, C, 2, dropout=0.0, norm_first=True)
add = kata.SinusoidalPositionalEncoding(C, max_len=12)
x = torch.randn(B, T, C)
permutation = torch.tensor([2, 0, 1, 5, 3, 4])
print("1. Largest difference between moving the tokens before and after")
print(f"   a block alone             {kata.permutation_gap(block, x, permutation):.1e}")
print(
    "   positions, then the block "
    f"{kata.permutation_gap(lambda x: block(add(x)), x, permutation):.1e}"
)

# 2. The sinusoidal table: every pair of columns has a speed of its own, from one radian
#    per position (a round every 6.3 positions) down to almost nothing. It works like a
#    clock with many hands.
WIDTH = 64
table = kata.sinusoidal_encoding(80, WIDTH)
print(f"\n2. The hands of the clock, d_model = {WIDTH}")
print(
    "   columns   radians per position   positions per round   values at positions 0, "
    "1, 2, 3 (sine)"
)
for pair in (0, 1, 4, 8, 16, 31):
    speed = 10000 ** (-2 * pair / WIDTH)
    values = "  ".join(f"{value:5.2f}" for value in table[:4, 2 * pair].tolist())
    print(
        f"   {2 * pair:2}, {2 * pair + 1:2}    {speed:20.6f}   "
        f"{6.283185 / speed:19.1f}   {values}"
    )

# 3. Why pairs of sine and cosine: the product of two rows is a sum of cosines of the
#    *difference* of their positions. Wherever the two stand, the same distance gives
#    the same product.
products = table @ table.T
print("\n3. Products of two rows, k positions apart")
for start in (0, 20, 60):
    row = "   ".join(f"k={k}: {products[start, start + k]:6.2f}" for k in (0, 1, 3, 10))
    print(f"   from position {start:2}   {row}")

# 4. A sequence in two pieces: offset says where the second piece starts.
whole = add(x)
pieces = torch.cat([add(x[:, :4]), add(x[:, 4:], offset=4)], dim=1)
forgotten = torch.cat([add(x[:, :4]), add(x[:, 4:])], dim=1)
print("\n4. In one piece or in two: the largest difference")
print(f"   with offset=4      {(pieces - whole).abs().max():.2f}")
print(f"   without an offset  {(forgotten - whole).abs().max():.2f}")

# 5. The cost of "add", of "concat" and of a learned table.
beside = kata.SinusoidalPositionalEncoding(4, max_len=12, mode="concat")
learned = kata.LearnedPositionalEmbedding(12, C)
print("\n5. Shapes and parameters, for x of", tuple(x.shape))
modules = {
    "sinusoidal, added": add,
    "sinusoidal, 4 columns beside x": beside,
    "learned, 12 rows": learned,
}
for name, module in modules.items():
    count = sum(parameter.numel() for parameter in module.parameters())
    print(f"   {name:<32} result {tuple(module(x).shape)}   {count} parameters")
learned(x).sum().backward()
rows = (learned.embedding.weight.grad.abs().sum(dim=1) > 0).int().tolist()
print(f"   rows of the learned table that got a gradient from T = {T}: {rows}")

# 6. RoPE rotates queries and keys instead of adding to them. The score then depends on
#    the distance only.
q, k = torch.randn(2, 1, 8)
print("\n6. RoPE: the score of one query with one key, at different positions")
for i, j in ((3, 1), (13, 11), (103, 101), (3, 2), (1, 3)):
    turned = [
        stretch(kata.apply_rope, v, torch.tensor([p])) for v, p in ((q, i), (k, j))
    ]
    if turned[0] is None:
        break
    print(
        f"   query at {i:3}, key at {j:3}: {(turned[0] * turned[1]).sum():7.4f}   "
        f"length {turned[0].norm():.4f}"
    )

# 7. ALiBi leaves queries and keys alone, and lowers the score for every position
#    between them.
print("\n7. ALiBi: slopes for 4 and for 6 heads")
for heads in (4, 6):
    slopes = stretch(kata.alibi_slopes, heads)
    if slopes is not None:
        print(
            f"   H = {heads}: "
            + "  ".join(f"1/{1 / slope:.0f}" for slope in slopes.tolist())
        )
short = stretch(kata.alibi_bias, 2, 2, 5)
if short is not None:
    print("   2 queries, 5 keys, the head of slope 1/16:", (short[0] + 0).tolist())

# 8. Do they help? The order task: does token 1 come before token 2? Trained at length
#    6, measured at 6 and at 9. The sinusoidal rows 6 to 8 exist but were never seen in
#    training; the learned rows 6 to 8 are as they were drawn.
print("\n8. The order task, trained at length 6")
print("   positions    last loss   right at length 6   right at length 9")
for kind, found in kata.compare_position_encodings(
    length=6, steps=100, test_length=9
).items():
    last = sum(found["losses"][-10:]) / 10
    print(
        f"   {kind:<12} {last:9.3f}   {found['accuracy']:17.1%}   "
        f"{found['test_length_accuracy']:17.1%}"
    )

# 9. The figure: the table, the products of its rows, two pairs of features that RoPE
#    turns, and what four ALiBi heads take off the score of a query at position 20.
figure = Figure(figsize=(6.6, 10))
grid = figure.add_gridspec(3, 2)
axes = figure.add_subplot(grid[0, 0])
image = axes.imshow(
    table.numpy(), aspect="auto", vmin=-1, vmax=1, interpolation="nearest"
)
axes.set(title="sinusoidal table", xlabel="column", ylabel="position")
figure.colorbar(image, ax=axes, ticks=[-1, 0, 1])
axes = figure.add_subplot(grid[0, 1])
image = axes.imshow(products.numpy(), aspect="auto", interpolation="nearest")
axes.set(title="products of its rows", xlabel="position", ylabel="position")
figure.colorbar(image, ax=axes)
axes = figure.add_subplot(grid[1, :])
# the same at six positions: a short pair and a long one
pairs = torch.tensor([-0.7, 0.0, 1.0, 0.0]).expand(6, 4)
turned = stretch(kata.apply_rope, pairs, base=100.0)
if turned is not None:
    for i, name in enumerate(("pair 0: 1 radian per position", "pair 1: 0.1 radian")):
        for p, (a, b) in enumerate(turned[:, 2 * i : 2 * i + 2].tolist()):
            axes.plot(
                [0, a],
                [0, b],
                color=COLOURS[i],
                marker="o",
                markevery=[1],
                label=name if p == 0 else None,
            )
            axes.annotate(
                str(p), (1.15 * a, 1.15 * b), ha="center", va="center", color=COLOURS[i]
            )
    axes.legend(loc="center right")
axes.set(
    title="RoPE: a pair at positions 0 to 5",
    xlim=(-1.3, 5.2),
    ylim=(-1.6, 1.1),
    aspect="equal",
)
axes = figure.add_subplot(grid[2, :])
bias = stretch(kata.alibi_bias, 4, 41)
if bias is not None:
    for h, line in enumerate(bias[:, 20]):
        axes.plot(
            range(41), line, color=COLOURS[h], label=f"head {h}, slope 1/{4 ** (h + 1)}"
        )
    axes.legend(loc="lower center")
axes.set(
    title="ALiBi: bias of the query at position 20",
    xlabel="position of the key",
    ylabel="bias",
)
save_figure(figure, __file__)
