"""Kata kernels/01 in code: programs and addresses, tiles, strides, what a fused kernel
moves, a mask of a seed.
"""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from grader.kernels import tl, triton, watched
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)

# 1. Who works on what. With 100 numbers and a block of 32, four programs run, and the
#    last one has 28 idle lanes.
print("1. Programs that add 100 numbers, in blocks of 32")
x, y = torch.randn(100), torch.randn(100)
with watched() as seen:
    out = kata.add(x, y, block=32)
print(
    f"   {seen.programs} programs, {seen.total('load')} loads, {seen.total('store')} "
    f"stores, {4 * 32 - 100} idle lanes"
)

# 2. Tiles. The larger a tile, the fewer programs load the same numbers.
print("\n2. Numbers loaded for the sums of all pairs, 64 by 64")
for size in (8, 16, 32, 64):
    with watched() as seen:
        kata.outer_add(torch.randn(64), torch.randn(64), block_m=size, block_n=size)
    counts = (
        f"{seen.programs:>3} programs {seen.total('load'):>5} loads "
        f"{seen.total('store'):>5} stores"
    )
    print(f"   tiles of {size:>2} x {size:<2} {counts}")

# 3. Strides. A transposed view is read where it lies.
print("\n3. Three columns of five, from a view with the strides of the whole matrix")
whole = torch.arange(40.0).reshape(5, 8)
view = whole[:, 1:8:3]
print(
    f"   strides {view.stride()}, then {kata.to_contiguous(view).stride()}: "
    f"{kata.to_contiguous(view)[1].tolist()}"
)

# 4. Fused or not. The same swiglu in two and in three launches. A step that is stored
#    is loaded again.
print("\n4. Numbers moved by swiglu of 1,000 elements")


@triton.jit
def sigmoid_kernel(x_ptr, unused_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(
        out_ptr + at,
        tl.sigmoid(tl.load(x_ptr + at, mask=at < n, other=0.0)),
        mask=at < n,
    )


@triton.jit
def product_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, x * tl.load(y_ptr + at, mask=at < n), mask=at < n)


def launched(kernel: object, x: Tensor, y: Tensor) -> Tensor:
    """One step by a kernel of its own."""
    out = torch.empty_like(x)
    kernel[(triton.cdiv(x.numel(), 128),)](x, y, out, x.numel(), BLOCK=128)  # type: ignore[index]
    return out


gate, up = torch.randn(1000), torch.randn(1000)
moved = {}
with watched() as seen:
    launched(
        product_kernel,
        launched(product_kernel, gate, launched(sigmoid_kernel, gate, gate)),
        up,
    )
moved["three kernels"] = seen.total("load"), seen.total("store")
with watched() as seen:
    kata.swiglu(gate, up)
moved["one kernel"] = seen.total("load"), seen.total("store")
for name, (loads, stores) in moved.items():
    print(
        f"   {name:<14} {loads} loads + {stores} stores = {(loads + stores) // 1000} "
        "per element"
    )

# 5. A mask that is nowhere. The share that is dropped, and the same elements for
#    every block.
print("\n5. Dropout from a seed: 10,000 ones, p = 0.3")
ones = torch.ones(10_000)
masks = [kata.dropout(ones, 0.3, seed=1, block=block) == 0 for block in (128, 512)]
print(
    f"   dropped {masks[0].double().mean():.3f}, the same for blocks of 128 and 512: "
    f"{torch.equal(*masks)}"
)
gradient = stretch(kata.dropout_backward, ones, 0.3, seed=1)
if gradient is not None:
    print(f"   and again for the gradient: {torch.equal(gradient == 0, masks[0])}")

# 6. The figure: whose element is whose, and what both versions of swiglu move.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
for program in range(4):
    for lane in range(8):
        element = program * 8 + lane
        style = (
            {"color": COLOURS[program]}
            if element < 27
            else {"facecolor": "white", "edgecolor": COLOURS[program], "hatch": "////"}
        )
        above.barh(program, 0.9, left=element, height=0.8, align="center", **style)
above.axvline(26.95, color="black", linewidth=1)
above.text(27.4, 0, "n = 27", va="center")
above.set(
    yticks=range(4),
    yticklabels=[f"program {i}" for i in range(4)],
    xlabel="element",
    title="27 numbers in blocks of 8; hatched lanes are masked",
)
above.invert_yaxis()
for place, (loads, stores) in enumerate(moved.values()):
    below.bar(
        place, loads / 1000, color=COLOURS[0], label="loads" if place == 0 else None
    )
    below.bar(
        place,
        stores / 1000,
        bottom=loads / 1000,
        color=COLOURS[3],
        label="stores" if place == 0 else None,
    )
below.set(
    xticks=range(2),
    xticklabels=moved,
    ylabel="numbers per element",
    title="swiglu: what crosses memory",
)
below.legend()
save_figure(figure, __file__)
