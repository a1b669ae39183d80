"""Module 13 in code: masked weights, one causal head, positions, and where the memory
of long sequences goes.
"""

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, pytorch_source, save_figure, stretch

kata = code(__file__)  # chooses the modules that the following lines import

from tinytorch.tensor import Tensor  # noqa: E402

np.set_printoptions(precision=3, suppress=True)
rng = np.random.default_rng(0)

# 1. Three scores, the largest of which is forbidden. A mask that acts before softmax
#    leaves weights that sum to 1.
heading("1. A mask before softmax, and after")
scores, mask = np.log([[1.0, 2.0, 5.0]]), np.array([[True, True, False]])
late = kata.masked_softmax(Tensor(scores)).data * mask
early = kata.masked_softmax(Tensor(scores), mask).data
print(f"   after:  {late[0]}, sum {late.sum():.3f}")
print(f"   before: {early[0]}, sum {early.sum():.3f}")
with np.errstate(all="ignore"):  # without the star, this is 0/0
    nothing = kata.masked_softmax(Tensor(scores), np.zeros((1, 3), dtype=bool)).data
print(f"   nothing allowed: {nothing[0]}, zeros with the star")

# 2. The causal weights of five tokens: row t is how token t divides its attention.
heading("2. The causal weights of five tokens")
words = ["the", "cat", "saw", "the", "dog"]
meanings = {word: rng.normal(size=8) for word in words}
x = np.stack([meanings[word] for word in words])[None]
_, weights = kata.scaled_dot_product_attention(
    Tensor(x), Tensor(x), Tensor(x), kata.causal_mask(5)
)
print("          " + "".join(f"{word:>7}" for word in words))
for word, row in zip(words, weights.data[0], strict=True):
    print(f"   {word:>5} →" + "".join(f"{weight:7.3f}" for weight in row))
print(
    "   Queries and keys are the same vectors here, so a word fits itself best: the "
    "second 'the' finds the first."
)

# 3. Causality, tested: another word at position 3.
heading("3. What changes when token 3 does")
layer = kata.SelfAttention(8, 4, rng=rng)
before = layer(Tensor(x)).data.copy()
changed = x.copy()
changed[:, 3] = meanings["cat"]
print(
    "   largest change per position:",
    np.abs(layer(Tensor(changed)).data - before).max(axis=(0, 2)),
)
free = kata.SelfAttention(8, 4, causal=False, rng=rng)
difference = np.abs(free(Tensor(changed)).data - free(Tensor(x)).data).max(axis=(0, 2))
print("   without the causal mask:    ", difference)

# 4. Why √d: scores of normal vectors spread by √d, and softmax of scores that far apart
#    picks one key.
heading("4. The largest of 32 weights, on average")
print("      d   with √d   without")
for d in (4, 64, 1024):
    q, k = rng.normal(size=(2, 200, d)), rng.normal(size=(2, 32, d))
    _, scaled = kata.scaled_dot_product_attention(Tensor(q), Tensor(k), Tensor(k))
    _, raw = kata.scaled_dot_product_attention(Tensor(q * d**0.5), Tensor(k), Tensor(k))
    print(
        f"   {d:4} {scaled.data.max(axis=-1).mean():9.3f} "
        f"{raw.data.max(axis=-1).mean():9.3f}"
    )

# 5. Without a mask, attention reads a set: the two "the" get the same output. Positions
#    tell them apart.
heading("5. The two 'the', without a mask")
table = stretch(kata.sinusoidal_positions, 5, 8)
out = free(Tensor(x)).data
print(f"   difference of their outputs: {np.abs(out[0, 0] - out[0, 3]).max():.3f}")
if table is not None:
    out = free(Tensor(x + table)).data
    print(f"   with positions added:        {np.abs(out[0, 0] - out[0, 3]).max():.3f}")

# 6. Memory. The scores grow with T², queries, keys and values with T. They are equal
#    at T = 3d.
heading("6. Bytes over the length T: one head, d = 64, float32")
sizes = [64, 128, 192, 256, 512, 1024]
costs = [stretch(kata.attention_cost, 1, 1, n, 64) for n in sizes[:1]]
if costs[0] is not None:
    costs = [kata.attention_cost(1, 1, n, 64) for n in sizes]
    print("      T   score_bytes   qkv_bytes   multiply_adds")
    for n, cost in zip(sizes, costs, strict=True):
        print(
            f"   {n:4} {cost['score_bytes']:13,} {cost['qkv_bytes']:11,} "
            f"{cost['multiply_adds']:15,}"
        )
    long = kata.attention_cost(1, 1, 102_400, 64)
    print(
        f"   T = 102,400: {long['score_bytes'] / 1e9:.0f} GB of scores, "
        f"{long['qkv_bytes'] / 1e6:.0f} MB of q, k, v"
    )
scaling = stretch(kata.attention_scaling, [128, 256, 512, 1024])
if scaling is not None:
    print("   measured, d = 16:")
    for n, peak in zip(scaling["sizes"], scaling["values"], strict=True):
        print(
            f"   T = {n:4}: peak {peak:10,} bytes, {peak / (4 * n * n):.1f} times the "
            "scores"
        )
    print(f"   measured exponent {scaling['exponent']:.2f}, predicted 2")

# 7. Attention against a recurrence: what the T² buys.
heading("7. Attention and a recurrence, d = 512")
print("       T   steps in a row   first to last   multiply-adds (millions)")
for n in (128, 512, 2048):
    found = stretch(kata.recurrence_comparison, n, 512)
    if found is None:
        break
    for kind in ("attention", "recurrence"):
        row = found[kind]
        print(f"   {n:5} {row['sequential_steps']:16} {row['path_length']:15}", end="")
        print(f" {row['multiply_adds'] / 1e6:12,.0f}  {kind}")

# 8. The same head in PyTorch.
heading("8. PyTorch does it so")
try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("   (torch is not importable: this comparison is left out)")
else:
    arrays = [rng.normal(size=(2, 5, 8)) for _ in range(3)]
    ours = [Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    output, _ = kata.scaled_dot_product_attention(*ours, kata.causal_mask(5))
    oracle = F.scaled_dot_product_attention(*theirs, is_causal=True)
    (output**2).sum().backward()
    (oracle**2).sum().backward()
    gaps = [
        np.abs(mine.grad - right.grad.numpy()).max()
        for mine, right in zip(ours, theirs, strict=True)
    ]
    print("   output, _ = scaled_dot_product_attention(q, k, v, causal_mask(5))")
    print("   output = F.scaled_dot_product_attention(q, k, v, is_causal=True)")
    print(
        "   largest difference of the outputs:   "
        f"{np.abs(output.data - oracle.detach().numpy()).max():.0e}"
    )
    print(f"   largest difference of the gradients: {max(gaps):.0e}")
    start = "_B, _Nt, E = q.shape"
    pytorch_source(
        "torch.nn.functional", "multi_head_attention_forward", start=start, lines=19
    )


# 9. The figure: the attention map of step 2, and the bytes of step 6.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.6))
    above, below = figure.subplots(2)
    above.imshow(np.where(np.tri(5), weights.data[0], np.nan), vmin=0, vmax=1)
    above.set_xticks(range(5), words)
    above.set_yticks(range(5), words)
    above.set(xlabel="key", ylabel="query", title="A weight for every allowed pair")
    above.spines[:].set_visible(False)
    for t in range(5):
        for s in range(t + 1):
            w = weights.data[0, t, s]
            above.text(
                s,
                t,
                f"{w:.2f}",
                ha="center",
                va="center",
                color="black" if w > 0.5 else "white",
            )
    n, d = np.array(sizes), 64
    below.plot(n, 4 * n**2, "o-", color=COLOURS[1])
    below.plot(n, 3 * 4 * n * d, "s-", color=COLOURS[0])
    below.axvline(3 * d, color=COLOURS[6], linewidth=0.8, linestyle=":")
    below.set_xscale("log", base=2)
    below.set_yscale("log", base=2)
    below.set_xticks(sizes, labels=[str(size) for size in sizes])
    below.set_yticks(
        [2**14, 2**16, 2**18, 2**20, 2**22],
        labels=["16 KiB", "64 KiB", "256 KiB", "1 MiB", "4 MiB"],
    )
    below.set(
        xlabel="length T, one head of d = 64",
        ylabel="bytes",
        title="So the scores grow with T²",
    )
    below.text(420, 2**21, "scores", color=COLOURS[1], ha="right")
    below.text(560, 2**17.9, "q, k and v", color=COLOURS[0])
    below.text(200, 2**13.7, "T = 3d", color=COLOURS[6])
    return figure


save_figure(draw(), __file__)
