"""Kata kernels/02 in code: a row that is loaded once, what each pass over memory costs,
and a running maximum.
"""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from grader.kernels import tl, triton, watched
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)

# 1. A row in a block. 33 numbers lie in 64 lanes; the others must change neither
#    maximum nor sum.
print("1. Shares of 3 rows of 33 numbers, one of them around -200")
x = torch.randn(3, 33)
x[1] -= 200
print(
    "   sums of the shares: "
    f"{[round(total, 6) for total in kata.softmax(x).sum(1).tolist()]}"
)
y, rstd = kata.rms_norm(x, torch.ones(33))
print(
    "   mean squares after rms_norm: "
    f"{[round(m, 4) for m in y.square().mean(1).tolist()]}, rstd {rstd[1]:.6f}"
)

# 2. What a pass costs: the same softmax in five launches, in three passes, in two, and
#    in one.
print("\n2. Numbers moved by the softmax of (7, 33)")


@triton.jit
def reduce_kernel(x_ptr, out_ptr, N, BLOCK: tl.constexpr, LARGEST: tl.constexpr):
    at = tl.arange(0, BLOCK)
    x = tl.load(
        x_ptr + tl.program_id(0) * N + at,
        mask=at < N,
        other=-float("inf") if LARGEST else 0.0,
    )
    tl.store(out_ptr + tl.program_id(0), tl.max(x) if LARGEST else tl.sum(x))


@triton.jit
def step_kernel(x_ptr, row_ptr, out_ptr, N, BLOCK: tl.constexpr, STEP: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, BLOCK)
    mask = tl.arange(0, BLOCK) < N
    x = tl.load(x_ptr + at, mask=mask, other=0.0)
    if STEP == "subtract":
        x = x - tl.load(row_ptr + tl.program_id(0))
    elif STEP == "exp":
        x = tl.exp(x)
    else:
        x = x / tl.load(row_ptr + tl.program_id(0))
    tl.store(out_ptr + at, x, mask=mask)


@triton.jit
def three_passes_kernel(x_ptr, out_ptr, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    top = -float("inf")
    total = 0.0
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        top = tl.maximum(
            top, tl.max(tl.load(x_ptr + row * N + at, mask=at < N, other=-float("inf")))
        )
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        total += tl.sum(
            tl.exp(
                tl.load(x_ptr + row * N + at, mask=at < N, other=-float("inf")) - top
            )
        )
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * N + at, mask=at < N, other=0.0)
        tl.store(out_ptr + row * N + at, tl.exp(x - top) / total, mask=at < N)


def five_launches(x: Tensor) -> Tensor:
    """Maximum, subtraction, power, sum and division, each with a kernel of its own, as
    torch's operations have.
    """
    (M, N), BLOCK = x.shape, triton.next_power_of_2(x.size(1))
    per_row, out = torch.empty(M), torch.empty(M, N)
    reduce_kernel[(M,)](x, per_row, N, BLOCK=BLOCK, LARGEST=True)
    step_kernel[(M,)](x, per_row, out, N, BLOCK=BLOCK, STEP="subtract")
    step_kernel[(M,)](out, per_row, out, N, BLOCK=BLOCK, STEP="exp")
    reduce_kernel[(M,)](out, per_row, N, BLOCK=BLOCK, LARGEST=False)
    step_kernel[(M,)](out, per_row, out, N, BLOCK=BLOCK, STEP="divide")
    return out


def three_passes(x: Tensor) -> Tensor:
    out = torch.empty(x.shape)
    three_passes_kernel[(len(x),)](x, out, x.size(1), BLOCK=16)
    return out


x = torch.randn(7, 33)
ways = {
    "five launches": five_launches,
    "three passes": three_passes,
    "two passes": lambda x: kata.softmax_long(x, block=16),
    "one pass": kata.softmax,
}
moved = {}
for name, way in ways.items():
    with watched() as seen:
        way(x)
    moved[name] = seen.total("load"), seen.total("store")
    loads, stores = moved[name]
    print(
        f"   {name:<14} {loads:>5} loads + {stores:>4} stores = "
        f"{(loads + stores) / x.numel():.2f} per number"
    )
with watched() as seen:
    kata.logsumexp(x, block=16)
print(
    f"   logsumexp      {seen.total('load'):>5} loads + {seen.total('store'):>4} stores"
)

# 3. A running maximum. One row, whose largest numbers come late.
print("\n3. Top and total after each column of a row of 64")
row = torch.randn(64).clamp(max=1.5)
row[[22, 47]] = torch.tensor([3.0, 4.5])
tops = [float(row[: n + 1].max()) for n in range(64)]
logs = [float(kata.logsumexp(row[None, : n + 1], block=16)[0]) for n in range(64)]
totals = torch.tensor([log - top for log, top in zip(logs, tops)]).exp()
for column in (21, 22, 46, 47, 63):
    print(
        f"   column {column:>2}: top {tops[column]:.2f}, total {totals[column]:.2f}, "
        f"logsumexp {logs[column]:.2f}"
    )

# 4. Sums that programs share. The order of a floating sum changes its last digits;
#    lines of one's own fix it.
print("\n4. Column sums of (300, 40)")
x = torch.randn(300, 40)
found = []
for backwards in (False, True):
    with watched(backwards=backwards) as seen:
        found.append(stretch(kata.column_sum, x))
if found[0] is not None:
    print(
        f"   {seen.launches} launches, {seen.programs} programs, equal bits "
        f"backwards: {torch.equal(*found)}"
    )
    print(
        "   largest difference from torch's order: "
        f"{(found[0] - x.sum(0)).abs().max():.1e}"
    )

# 5. The figure: top and total of the row of step 3, and what each way of step 2 moves.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
above.plot(range(64), row, ".", color="lightgrey", label="numbers")
above.plot(range(64), tops, drawstyle="steps-post", color=COLOURS[0], label="top")
above.plot(range(64), totals, drawstyle="steps-post", color=COLOURS[1], label="total")
for column in (22, 47):
    above.axvline(column, color="black", linewidth=0.8, linestyle=":", ymax=0.88)
above.set(xlabel="column", title="where top jumps, total shrinks", ylim=(-3, 11))
above.legend(loc="upper right", ncols=3)
for place, (loads, stores) in enumerate(moved.values()):
    below.bar(
        place, loads / 231, color=COLOURS[0], label="loads" if place == 0 else None
    )
    below.bar(
        place,
        stores / 231,
        bottom=loads / 231,
        color=COLOURS[3],
        label="stores" if place == 0 else None,
    )
below.set(
    xticks=range(4),
    xticklabels=[name.replace(" ", "\n") for name in moved],
    ylabel="moved, per number",
    title="softmax: what crosses memory",
)
below.legend()
save_figure(figure, __file__)
