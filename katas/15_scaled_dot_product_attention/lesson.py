"""Kata 15 in code: attention on four tokens by hand, its masks, what √D is for, and
what it costs beside tanh.
"""

import math

import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, save_figure

kata = code(__file__)
torch.set_printoptions(precision=3, sci_mode=False)

# 1. Four tokens, two features each. The keys point east, north, north-east and west;
#    every value is a pair that is easy to recognise. D = 2, so the scores are divided
#    by √2 = 1.414.
q = torch.tensor([[4.0, 0.0], [0.0, 4.0], [2.0, 2.0], [0.0, 0.0]])
k = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
v = torch.tensor([[10.0, 0.0], [0.0, 10.0], [5.0, 5.0], [-10.0, 0.0]])
output, weights = kata.scaled_dot_product_attention(q, k, v)

print("1. Four tokens by hand")
print("scores q kᵀ, one row per query, one column per key:", q @ k.T, sep="\n")
print("scaled scores q kᵀ / √2:", q @ k.T / math.sqrt(2), sep="\n")
print("weights, softmax over each row:", weights, sep="\n")
print("output, each row a weighted mean of the values:", output, sep="\n")
print(
    "Query 3 is zero: all its scores are equal, and its output is the plain mean of "
    "the values."
)

#    The lesson's example: D = 4 and dot products of 0, 2·log 2 and 2·log 3 give the
#    weights 1/6, 2/6 and 3/6.
keys = torch.tensor([[1.0], [2.0], [3.0]]).log() * torch.ones(4) / 4
_, weights = kata.scaled_dot_product_attention(
    torch.full((1, 4), 2.0), keys, torch.eye(3)
)
print("Dot products 0, 2·log 2, 2·log 3 with D = 4 give the weights", weights[0])

# 2. Two masks and both together. True = may attend. The causal mask is (T, S); the
#    padding mask (B, 1, S) broadcasts over the queries; `&` gives (B, T, S). Sequence 1
#    has only two real tokens.
causal = kata.causal_mask(4)
padding = kata.padding_mask(torch.tensor([4, 2]), 4)
both = causal & padding

print("\n2. Masks (1 = may attend)")
print("causal (4, 4):", causal.int(), sep="\n")
print("padding (2, 1, 4), lengths 4 and 2:", padding.int(), sep="\n")
print("both (2, 4, 4):", both.int(), sep="\n")
print(
    "One new query against four keys kept from before sees them all:",
    kata.causal_mask(1, 4).int().tolist(),
)

# 3. The masks at work on a batch of two equal sequences. A masked key has weight
#    exactly 0, and the other weights sum to 1.
output, weights = kata.scaled_dot_product_attention(
    q.expand(2, 4, 2), k.expand(2, 4, 2), v.expand(2, 4, 2), both
)

print("\n3. Masked weights")
print("sequence 0, causal only:", weights[0], sep="\n")
print("sequence 1, keys 2 and 3 are padding as well:", weights[1], sep="\n")

# 4. A sequence of length 0 leaves its queries nothing to look at. A softmax over -inf
#    alone is NaN; here the row is defined as zeros, and the gradient stays finite.
nothing = kata.padding_mask(torch.tensor([0]), 4)[0]
asked = q.clone().requires_grad_()
output, weights = kata.scaled_dot_product_attention(asked, k, v, nothing)
output.sum().backward()

print("\n4. A query without keys")
print(
    "softmax over -inf alone:",
    torch.softmax(torch.full((4,), -math.inf), dim=0).tolist(),
)
print("weights here:           ", weights[0].tolist())
print("gradient of the query:  ", asked.grad[0].tolist())

# 5. What √D is for. Queries, keys and values are random; raw and scaled scores differ
#    in the division alone.
dims = [2**n for n in range(11)]
measured = kata.compare_scaling(
    dims, num_queries=1024, generator=torch.Generator().manual_seed(0)
)

print("\n5. Raw scores against scaled ones: 1024 queries, 32 keys")
print("     D  std of the scores       entropy      gradient   output std")
print("           raw  scaled      raw  scaled   raw  scaled   raw  scaled")
for dim in (1, 4, 16, 64, 256, 1024):
    columns = [f"{dim:6}  "]
    for name in ("std", "entropy", "gradient", "output_std"):
        columns.append(
            f"{measured[dim][f'{name}_raw']:6.2f}{measured[dim][f'{name}_scaled']:7.2f}"
        )
    print(*columns)
print(
    f"Equal weights for all 32 keys have the entropy log 32 = {math.log(32):.2f}. An "
    "output that copies one value"
)
print(
    "has a standard deviation near 1; scaled scores average several values at every D."
)

# 6. The cost of the scores: dot products of q and k as given, against additive
#    attention with its two projections and D tanh calls per pair. (attention_cost is a
#    stretch exercise.)
print("\n6. Cost of the scores, D = 64, with the projections of additive attention")
try:
    print("T = S    kind       multiplications   tanh calls   largest intermediate")
    for length in (128, 1024):
        for kind, cost in kata.attention_cost(length, length, 64).items():
            products, calls = cost["multiplications"], cost["nonlinearities"]
            print(
                f"{length:<8} {kind:<10} {products:>15,} {calls:>12,} "
                f"{cost['largest_intermediate']:>22,}"
            )
except NotImplementedError:
    print("attention_cost is not written yet; the table appears here once it is.")


# 7. The figure: the spread of the scores, and the entropy of the weights that softmax
#    makes of them.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.6))
    above, below = figure.subplots(2)
    for name, colour in (("raw", COLOURS[1]), ("scaled", COLOURS[0])):
        above.plot(
            dims,
            [measured[d][f"std_{name}"] for d in dims],
            "o-",
            markersize=4,
            color=colour,
        )
        below.plot(
            dims,
            [measured[d][f"entropy_{name}"] for d in dims],
            "o-",
            markersize=4,
            color=colour,
        )
    above.set_yscale("log", base=2)
    above.set(
        title="The scores spread like √D", ylabel="standard deviation of the scores"
    )
    above.set_yticks([1, 2, 4, 8, 16, 32], labels=["1", "2", "4", "8", "16", "32"])
    above.text(90, 22, "raw", color=COLOURS[1], ha="right")
    above.text(90, 1.15, "divided by √D", color=COLOURS[0], ha="right")
    below.set(
        title="Without scaling softmax picks one key",
        ylabel="entropy of the weights (nats)",
        ylim=(0, 3.8),
    )
    below.axhline(math.log(32), color=COLOURS[6], linestyle="--", linewidth=1)
    below.text(1, math.log(32) + 0.08, "log 32: all keys alike")
    below.text(1, 0.1, "0: one key alone")
    below.text(90, 0.75, "raw", color=COLOURS[1])
    below.text(1024, 2.7, "divided by √D", color=COLOURS[0], ha="right")
    for axes in (above, below):
        axes.set_xscale("log", base=2)
        axes.set_xticks(
            [1, 4, 16, 64, 256, 1024], labels=["1", "4", "16", "64", "256", "1024"]
        )
        axes.set_xlabel("D, features of a query and a key")
    return figure


save_figure(draw(), __file__)
