"""Kata kernels/03 in code: what tiles load, a sum of halves, bias and activation for
free, an order for a cache.
"""

from collections import OrderedDict

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from grader.kernels import tl, triton, watched
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)

# 1. A product whose sizes are no multiples of the tile. Tiles reach beyond the
#    matrices, loads do not.
print("1. (33, 47) @ (47, 20) in tiles of 16")
a, b = torch.randn(33, 47), torch.randn(47, 20)
with watched() as seen:
    out = kata.matmul(a, b)
print(
    f"   {seen.programs} programs, {seen.total('load'):,} loads, "
    f"{seen.total('store')} stores"
)
print(
    f"   each number of a loaded {int(seen.loads(a).max())} times, each of b "
    f"{int(seen.loads(b).max())} times"
)
print(
    f"   off from float64 by at most {(out - a.double() @ b.double()).abs().max():.0e}"
)

# 2. Traffic. A tile twice as wide halves the loads: its sums share each number that
#    is loaded.
print("\n2. (128, 128) @ (128, 128): 32,768 numbers in a and b")
a, b = torch.randn(128, 128), torch.randn(128, 128)
for tile in (16, 32, 64, 128):
    with watched() as seen:
        kata.matmul(a, b, block=(tile, tile, 64))
    print(
        f"   tiles of {tile:>3}: {seen.programs:>2} programs, "
        f"{seen.total('load'):>7,} loads"
    )

# 3. Halves. From 256 on, neighbours in float16 are 0.25 apart, and 64 times 0.1 is no
#    multiple of that.
print("\n3. 4,096 times 0.1 in float16, 64 at a time")
tenths, ones = torch.full((16, 4096), 0.1).half(), torch.ones(4096, 16).half()
rounded = torch.tensor(0.0).half()
for part in tenths[0].split(64):
    rounded = (rounded.float() + part.float().sum()).half()
print(
    f"   rounded at each step {rounded}, kept in float32 "
    f"{kata.matmul_half(tenths, ones, (16, 16, 64))[0, 0]}"
)

# 4. Bias and activation. In launches of their own, each loads and stores the whole
#    result again.
print("\n4. silu(x · weightᵀ + bias), (64, 32) @ (32, 64)")


@triton.jit
def after_kernel(x_ptr, bias_ptr, out_ptr, N, BLOCK: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at)
    if bias_ptr is not None:
        x += tl.load(bias_ptr + tl.arange(0, BLOCK))
    else:
        x = x * tl.sigmoid(x)
    tl.store(out_ptr + at, x)


def three_launches(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    out = kata.linear(x, weight)
    after_kernel[(len(out),)](out, bias, out, out.size(1), BLOCK=64)
    after_kernel[(len(out),)](out, None, out, out.size(1), BLOCK=64)
    return out


x, weight, bias = torch.randn(64, 32), torch.randn(64, 32), torch.randn(64)
for name, way in {
    "one launch": lambda *given: kata.linear(*given, activation="silu"),
    "three launches": three_launches,
}.items():
    with watched() as seen:
        way(x, weight, bias)
    print(
        f"   {name:<14} {seen.total('load'):>6,} loads, {seen.total('store'):>6,} "
        "stores"
    )

# 5. Order. A program needs a row of a's tiles and a column of b's. A cache holds the
#    ones that were used last.
print("\n5. Rows of a and columns of b that a cache has to fetch, 32 × 32 tiles")


def fetched(tiles: list[tuple[int, int]], size: int) -> int:
    """Count what a cache of `size` rows and columns does not hold when it is needed.
    The least recently used leaves.
    """
    cache: OrderedDict[tuple[str, int], None] = OrderedDict()
    misses = 0
    for row, column in tiles:
        for panel in (("a", row), ("b", column)):
            misses += panel not in cache
            cache[panel] = None
            cache.move_to_end(panel)
            if len(cache) > size:
                cache.popitem(last=False)
    return misses


GROUPS, CACHES = (1, 2, 3, 4, 6, 8, 12, 16, 24), (6, 10, 20)
orders = {
    group: [kata.grouped_order(p, 32, 32, group) for p in range(32 * 32)]
    for group in GROUPS
}
misses = {size: [fetched(orders[group], size) for group in GROUPS] for size in CACHES}
print("   group        " + "".join(f"{group:>7}" for group in GROUPS))
for size, counts in misses.items():
    print(f"   cache of {size:>2}: " + "".join(f"{count:>7,}" for count in counts))
for group in (1, 3):
    first = [kata.grouped_order(p, 9, 9, group) for p in range(9)]
    rows, columns = (len(set(side)) for side in zip(*first))
    print(
        f"   9 × 9 tiles, group {group}: the first nine need {rows + columns}, {rows} "
        f"of a and {columns} of b"
    )

# 6. A small result with a long K. One tile is one program, which takes 32 steps; parts
#    of K are taken at once.
print("\n6. (16, 512) @ (512, 16)")
a, b = torch.randn(16, 512), torch.randn(512, 16)
for splits in (1, 8):
    with watched() as seen:
        out = stretch(kata.split_k, a, b, splits=splits)
    if out is not None:
        away = (out - a.double() @ b.double()).abs().max()
        print(
            f"   splits = {splits}: {32 // splits} steps per program, programs: "
            f"{seen.programs}, off by {away:.0e}"
        )

# 7. The figure: which program takes which tile, in two orders, and what each
#    order fetches.
figure = Figure(figsize=(6.6, 8.3))
top, middle, bottom = figure.subplots(3)
for axes, group in ((top, 1), (middle, 3)):
    numbers = torch.zeros(9, 9)
    for program in range(81):
        row, column = kata.grouped_order(program, 9, 9, group)
        numbers[row, column] = program
        shade = "white" if program < 45 else "black"
        axes.text(column, row, program, ha="center", va="center", color=shade)
        if program < 9:
            axes.add_patch(
                Rectangle(
                    (column - 0.5, row - 0.5),
                    1,
                    1,
                    fill=False,
                    edgecolor="white",
                    linewidth=2,
                )
            )
    axes.imshow(numbers)
    axes.set(
        xlabel="column of tiles",
        ylabel="row of tiles",
        xticks=[],
        yticks=[],
        title=f"Programs, group = {group}",
    )
for (size, counts), colour, marker in zip(misses.items(), COLOURS, "so^"):
    bottom.plot(GROUPS, counts, marker=marker, color=colour, label=f"cache of {size}")
bottom.set(
    xscale="log",
    yscale="log",
    xlabel="group",
    ylabel="rows and columns fetched",
    title="What 32 × 32 tiles fetch",
    xticks=GROUPS,
    xticklabels=GROUPS,
    yticks=[100, 200, 500, 1000],
    yticklabels=[100, 200, 500, "1,000"],
)
bottom.minorticks_off()
bottom.legend()
save_figure(figure, __file__)
