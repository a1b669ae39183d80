"""Kata 25 in code: GPT's attention layer step by step, its mask, its two paths, its
cache, and what the scores cost.
"""

import statistics
import time

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from grader.lesson import code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)


# 1. Every shape in the layer: B = 2 sequences of T = 7 tokens, C = 12 features, H = 3
#    heads of D = 4. One matrix makes q, k and v at once: 36 outputs, 12 for each, in
#    heads of 4.
B, T, H, D = 2, 7, 3, 4
C = H * D
config = kata.GPTConfig(block_size=16, n_head=H, n_embd=C)
layer = kata.CausalSelfAttention(config).eval()
x = torch.randn(B, T, C)

fused = layer.c_attn(x)
q, k, v = (
    part.unflatten(-1, (H, D)).transpose(1, 2) for part in fused.chunk(3, dim=-1)
)
found, weights = kata.manual_attention(q, k, v, return_weights=True)
joined = found.transpose(1, 2).flatten(2)
output = layer.c_proj(joined)

print("1. Shapes, for 7 tokens of 12 features and 3 heads")
for name, tensor in {
    "x, (B, T, C)": x,
    "c_attn(x): q, k and v side by side, (B, T, 3C)": fused,
    "q, split into heads, (B, H, T, D)": q,
    "weights, (B, H, T, T)": weights,
    "found by each head, (B, H, T, D)": found,
    "merged, (B, T, C)": joined,
    "output, after c_proj, (B, T, C)": output,
}.items():
    print(f"   {name:<48} {tuple(tensor.shape)}")
print("   the layer gives the same:", torch.allclose(layer(x), output, atol=1e-6))
numbers = torch.arange(3 * C)
print(
    "   outputs of c_attn that are k of head 1:",
    numbers.chunk(3)[1].chunk(H)[1].tolist(),
)

# 2. The mask. Three queries on seven keys are positions 4, 5 and 6, so four keys are
#    the past. tril() without a shift aligns the mask at the top left, and so
#    does is_causal=True.
print("\n2. Who sees whom, 3 queries on 7 keys (1 = may attend)")
corner = torch.ones(3, 7, dtype=torch.bool).tril()
print("   causal_mask(3, 7)       tril() alone")
for right, wrong in zip(
    kata.causal_mask(3, 7).int().tolist(), corner.int().tolist(), strict=True
):
    print(f"   {' '.join(map(str, right))}           {' '.join(map(str, wrong))}")
print("   one query on 7 keys:", kata.causal_mask(1, 7).int()[0].tolist())

# 3. Two paths, one answer. With is_causal=True, the fused call is right only for as
#    many queries as keys.
print("\n3. Largest difference between the paths")
print(f"   {'queries, keys':<14} {'flash_attention':>16} {'is_causal=True always':>22}")
for t_q in (7, 3, 1):
    by_hand = kata.manual_attention(q[:, :, -t_q:], k, v)
    flash = kata.flash_attention(q[:, :, -t_q:], k, v)
    corner = F.scaled_dot_product_attention(q[:, :, -t_q:], k, v, is_causal=True)
    differences = [(other - by_hand).abs().max().item() for other in (flash, corner)]
    print(f"   {f'{t_q}, {T}':<14} {differences[0]:>16.1e} {differences[1]:>22.1e}")

# 4. The cache. No later token reaches the old keys and values, so they never change.
#    The cache keeps them, and only the new tokens go through the layer.
print("\n4. Chunks of 3, 1 and 3 tokens through a cache")
cache = kata.LayerCache()
full = layer(x)
seen = 0
for chunk in x.split([3, 1, 3], dim=1):
    part = layer(chunk, cache=cache)
    difference = (part - full[:, seen : seen + chunk.size(1)]).abs().max().item()
    seen += chunk.size(1)
    print(
        f"   {chunk.size(1)} new, {len(cache)} cached now, largest difference from "
        f"the full pass {difference:.1e}"
    )
tokens = 256
print(
    f"   Writing {tokens} tokens one by one sends {tokens} of them through the layer "
    "with a cache,"
)
print(f"   and {tokens * (tokens + 1) // 2} without one: 1 + 2 + … + {tokens}.")
print(
    "   A new cache is false, since its length is 0: bool(LayerCache()) =",
    bool(kata.LayerCache()),
)

# 5. Dropout belongs to training. The fused call knows no modes: it always drops
#    dropout_p of the weights.
print("\n5. Dropout 0.5: do two calls on the same x agree?")
noisy = kata.CausalSelfAttention(
    kata.GPTConfig(block_size=16, n_head=H, n_embd=C, dropout=0.5)
)
for mode in (True, False):
    noisy.train(mode)
    for flash in (True, False):
        noisy.flash = flash
        print(
            f"   {'training' if mode else 'eval':<9} flash={flash!s:<6} "
            f"{torch.equal(noisy(x), noisy(x))}"
        )

# 6. What the scores cost: GPT-2's 12 heads of 64 features, one sequence, forward only.
#    The time depends on the machine.
device = (
    "cuda"
    if torch.cuda.is_available()
    else "mps"
    if torch.backends.mps.is_available()
    else "cpu"
)


def milliseconds(path, *tensors):
    """Return the median time of five runs, after one warm-up run."""
    times = []
    for _ in range(6):
        start = time.perf_counter()
        path(*tensors)
        if device != "cpu":
            torch.accelerator.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[1:])


print(f"\n6. Twelve heads of 64 features, one sequence, float32, on the {device}")
counts = stretch(kata.score_bytes, 1, 12, 128) is not None
print(f"   {'T':>5} {'scores':>12} {'by hand':>12} {'fused':>12}")
for length in (64, 128, 256, 512, 1024):
    tensors = torch.randn(3, 1, 12, length, 64, device=device).unbind(0)
    scores = (
        f"{kata.score_bytes(1, 12, length) / 2**20:.2f} MiB"
        if counts
        else "not written"
    )
    both = [
        milliseconds(path, *tensors)
        for path in (kata.manual_attention, kata.flash_attention)
    ]
    print(f"   {length:>5} {scores:>12} {both[0]:>9.1f} ms {both[1]:>9.1f} ms")

# 7. The figure. The layer is random, so only the mask gives the weights of its four
#    heads their shape. The right side shows the mask for 3 queries on 7 keys, and the
#    wrong one without the shift.
wide = kata.CausalSelfAttention(
    kata.GPTConfig(block_size=16, n_head=4, n_embd=32)
).eval()
q, k, v = (
    part.unflatten(-1, (4, 8)).transpose(1, 2)
    for part in wide.c_attn(2 * torch.randn(1, T, 32)).chunk(3, dim=-1)
)
with torch.no_grad():
    _, weights = kata.manual_attention(q, k, v, return_weights=True)

figure = Figure(figsize=(6.6, 8))
above, below = figure.subfigures(2, height_ratios=[2, 1])
heads = above.subplots(2, 2, sharex=True, sharey=True)
for h, axes in enumerate(heads.flat):
    image = axes.imshow(weights[0, h].numpy(), vmin=0, vmax=1)
    axes.set_title(f"head {h}")
    axes.set_xticks(range(T))
    axes.set_yticks(range(T))
for axes in heads[:, 0]:
    axes.set_ylabel("query")
for axes in heads[1]:
    axes.set_xlabel("key")
above.colorbar(image, ax=heads, label="attention weight", shrink=0.7)

masks = below.subplots(1, 2, sharey=True)
titles = ["causal_mask(3, 7)", "tril() alone: wrong"]
for axes, mask, title in zip(
    masks, (kata.causal_mask(3, T), torch.ones(3, T).tril().bool()), titles, strict=True
):
    axes.imshow(mask.numpy(), vmin=0, vmax=1)  # the colours of the weights 0 and 1
    for i in range(3):
        for j in range(T):
            axes.text(
                j,
                i,
                int(mask[i, j]),
                ha="center",
                va="center",
                color="black" if mask[i, j] else "white",
            )
    axes.set_title(title)
    axes.set_xlabel("key")
    axes.set_xticks(range(T))
    axes.set_yticks(range(3), [f"query {i} = position {i + T - 3}" for i in range(3)])
save_figure(figure, __file__)
