"""Kata kernels/06 in code: blocks that a kernel visits, a row in parts, and what
weights and keys cost per token.
"""

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor

from grader.kernels import watched
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)

# 1. Three requests of 1, 5 and 12 tokens, in blocks of four that lie anywhere in a
# pool. Places without a token hold 1,000, and blocks of other requests, too.
print("1. Three requests in a pool of 9 blocks")
lengths = torch.tensor([1, 5, 12])
table = torch.tensor([[7, -1, -1], [0, 5, -1], [2, 8, 3]])
k_pool, v_pool = torch.full((2, 9, 4, 2, 16), 1000.0)
for row, length in enumerate(lengths.tolist()):
    for token in range(length):
        (
            k_pool[table[row, token // 4], token % 4],
            v_pool[table[row, token // 4], token % 4],
        ) = torch.randn(2, 2, 16)
q = torch.randn(3, 6, 16)


def gathered(
    q: Tensor, k_pool: Tensor, v_pool: Tensor, table: Tensor, lengths: Tensor
) -> Tensor:
    """The same attention in PyTorch: keys and values of each row are copied
    together first.
    """
    out = []
    for row, length in enumerate(lengths.tolist()):
        k, v = (
            pool[table[row, : math.ceil(length / 4)]].flatten(0, 1)[:length]
            for pool in (k_pool, v_pool)
        )
        # (T, H, D)
        k, v = (x.repeat_interleave(q.size(1) // x.size(1), 1) for x in (k, v))
        weights = (
            torch.einsum("hd,thd->ht", q[row], k) / math.sqrt(q.size(2))
        ).softmax(1)
        out.append(torch.einsum("ht,thd->hd", weights, v))
    return torch.stack(out)


with watched() as seen:
    found = kata.paged_attention(q, k_pool, v_pool, table, lengths)
error = (found - gathered(q, k_pool, v_pool, table, lengths)).abs().max()
visits = seen.loads(k_pool)[:, :, 0, 0]  # (block, place), of key head 0
print(
    f"   {seen.programs} programs, {seen.total('load'):,} numbers loaded, off by at "
    f"most {error:.0e}"
)
print(
    f"   places loaded per block: {visits.sum(1).tolist()}, none of them twice: "
    f"{visits.max() == 1}"
)

# 2. Query heads that share a key head share its loads: the same six query heads on 6, 2
# and 1 key heads.
print("\n2. What a step loads for one row of 64 tokens, 6 query heads, D = 16, float32")
for heads in (6, 2, 1):
    keys, values = torch.randn(2, 16, 4, heads, 16)
    with watched() as seen:
        kata.paged_attention(
            q[:1], keys, values, torch.arange(16)[None], torch.tensor([64])
        )
    print(f"   key heads: {heads}, kilobytes: {seen.bytes('load') / 1000:.1f}")

# 3. One long row and one key head are one program. Split among several, each visits
# fewer blocks.
print("\n3. 64 tokens in 16 blocks, split")
whole = kata.paged_attention(
    q[:1], keys, values, torch.arange(16)[None], torch.tensor([64])
)
for splits in (1, 2, 4, 8):
    with watched() as seen:
        out = stretch(
            kata.paged_attention_split,
            q[:1],
            keys,
            values,
            torch.arange(16)[None],
            torch.tensor([64]),
            splits=splits,
        )
    if out is None:
        break
    error = (out - whole).abs().max()
    most = math.ceil(16 / splits)
    print(
        f"   splits: {splits}, programs: {seen.programs}, blocks per program: "
        f"{most:>2}, off by at most {error:.0e}"
    )

# 4. Weights in 8 and 4 bits: how far a product is off, and what is loaded for it.
print(
    "\n"
    "4. (5, 64) times a weight of (24, 64): bytes of the weight that are loaded, and "
    "how far the product is off"
)
x, w = torch.randn(5, 64), torch.randn(24, 64)
codes, scale = kata.quantise_rows(w)
groups = w.unflatten(1, (4, 16))
group_scale = groups.abs().amax(2) / 7
nibbles = (groups / group_scale[:, :, None]).round().flatten(1).to(torch.uint8) & 15
packed = nibbles[:, ::2] | nibbles[:, 1::2] << 4
WAYS = {
    "float32": (kata.linear, w),
    "int8": (kata.matmul_int8, codes, scale),
    "int4": (kata.matmul_int4, packed, group_scale, 16),
    "int8 times int8": (kata.matmul_w8a8, codes, scale),
}
right = x.double() @ w.double().T
for name, (multiply, weight, *rest) in WAYS.items():
    with watched() as seen:
        out = stretch(multiply, x, weight, *rest)
    if out is not None:
        size = int(seen.loads(weight).sum()) * weight.element_size()
        scales = sum(x.numel() * 4 for x in rest if isinstance(x, Tensor))
        off = ((out - right).square().mean() / right.square().mean()).sqrt()
        print(
            f"   {name:<16} {size:>5,} bytes and {scales:>3} of scales, off by "
            f"{100 * off:.2f} %"
        )

# 5. Rows of a batch share the weights: bytes that a product loads and stores, per row
# of x.
print("\n5. Bytes moved per row of x, times a weight of (64, 64)")
ROWS = (1, 2, 4, 8, 16)
w = torch.randn(64, 64)
codes, scale = kata.quantise_rows(w)
packed, group_scale = torch.randint(256, (64, 32), dtype=torch.uint8), torch.rand(64, 2)
per_row: dict[str, list[float]] = {}
print("   " + " " * 8 + "".join(f"{rows:>7}" for rows in ROWS))
for name, (multiply, *weight) in {
    "float32": (kata.linear, w),
    "int8": (kata.matmul_int8, codes, scale),
    "int4": (kata.matmul_int4, packed, group_scale, 32),
}.items():
    per_row[name] = []
    for rows in ROWS:
        with watched() as seen:
            multiply(torch.randn(rows, 64), *weight)
        per_row[name].append((seen.bytes("load") + seen.bytes("store")) / rows)
    print(f"   {name:<8}" + "".join(f"{size:>7,.0f}" for size in per_row[name]))

# 6. What one decoded token reads: 12 C² weights per layer, and 2 C numbers of keys and
# values per token and layer. They are equal at T = 6 C · bytes of a weight / bytes of
# a key.
print(
    "\n"
    "6. A model of 4 layers, C = 128: kilobytes read per decoded token, keys and "
    "values in float16"
)
LAYERS, C = 4, 128
BYTES = {"float32": 4.0, "float16": 2.0, "int8": 1.0, "int4": 0.5}
LENGTHS = (128, 512, 2048)
weights = {name: 12 * LAYERS * C * C * size / 1000 for name, size in BYTES.items()}
keys_of = {T: 2 * LAYERS * C * T * 2 / 1000 for T in LENGTHS}
print(
    "   keys and values: "
    + ", ".join(f"{keys_of[T]:,.0f} at T = {T:,}" for T in LENGTHS)
)
for name, size in BYTES.items():
    print(
        f"   weights in {name:<8} {weights[name]:>5,.0f}, as much as keys and values "
        f"of {6 * C * size / 2:,.0f} tokens"
    )

# 7. The figure: places that row 2 visits, bytes per row of x, bytes per decoded token.
figure = Figure(figsize=(6.6, 8.3))
top, middle, last = figure.subplots(3)
for block in range(9):
    for place in range(4):
        owner = next((row for row in range(3) if block in table[row]), None)
        used = bool(visits[block, place])
        colour = COLOURS[owner] if used and owner is not None else "#ececec"
        top.barh(
            block,
            0.9,
            left=place,
            height=0.8,
            color=colour,
            hatch="" if used else "////",
            edgecolor="white",
        )
        if used and owner is not None:
            token = table[owner].tolist().index(block) * 4 + place
            top.text(
                place + 0.45, block, token, ha="center", va="center", color="white"
            )
for row, name in enumerate(("row 0: [7]", "row 1: [0, 5]", "row 2: [2, 8, 3]")):
    top.text(4.3, 1.2 + row, name, color=COLOURS[row], va="center")
top.text(4.3, 4.2, "hatched:\nnot loaded", va="center")
top.set(
    xlim=(0, 7.2),
    ylim=(8.6, -0.6),
    yticks=range(9),
    xticks=[],
    ylabel="block of the pool",
)
top.spines["bottom"].set_visible(False)
top.set_title("Tokens that three requests load")
for (name, sizes), colour, marker in zip(per_row.items(), COLOURS, "so^"):
    middle.loglog(ROWS, sizes, marker=marker, color=colour, label=name)
middle.set(
    xlabel="rows of x",
    ylabel="bytes moved per row",
    title="A weight of (64, 64)",
    xticks=ROWS,
    xticklabels=ROWS,
)
middle.set(
    yticks=(2000, 5000, 10000, 20000),
    yticklabels=("2,000", "5,000", "10,000", "20,000"),
)
middle.minorticks_off()
middle.legend(title="weight")
for group, T in enumerate(LENGTHS):
    for place, (name, colour) in enumerate(
        zip(BYTES, (COLOURS[0], COLOURS[3], COLOURS[1], COLOURS[2]))
    ):
        at = group * 5 + place
        last.bar(
            at,
            weights[name],
            color=colour,
            label=f"weights, {name}" if group == 0 else None,
        )
        bar = last.bar(at, keys_of[T], bottom=weights[name], color="#9aa5b1")
        if group == 0 and name == "int4":
            bar.set_label("keys and values, float16")
last.set(
    xticks=[1.5, 6.5, 11.5],
    xticklabels=[f"T = {T:,}" for T in LENGTHS],
    ylabel="kilobytes per decoded token",
    ylim=(0, 10_500),
)
last.set_title("4 layers of 128 features, one row")
last.legend(loc="upper left", ncols=2)
save_figure(figure, __file__)
