"""Kata kernels/07 in code: what scans, groups and shared scales move, and what is known
of a configuration.
"""

import os
import tempfile

import torch
from matplotlib.figure import Figure

from grader.kernels import compiled, watched
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)

# 1. A prefix sum in blocks that do not wait for each other.
print("1. The prefix sum of 1,000 numbers in blocks of 64")
x = torch.rand(1000)
with watched() as seen:
    out = kata.prefix_sum(x)
alone = sum(min(1000, 64 * (block + 1)) for block in range(16))
error = (out - x.double().cumsum(0)).abs().max()
print(
    f"   {seen.launches} launches, {seen.programs} programs, off by at most {error:.0e}"
)
print(
    f"   {seen.total('load'):,} loads, {seen.total('store'):,} stores; {alone:,} "
    "loads if each block summed all before"
)

# 2. A recurrence in blocks of 16 steps: what a block makes of its own steps, and what
#    the carry adds.
print("\n2. h = a h + b over 64 steps, in blocks of 16")
a, b = torch.full((64, 1), 0.93), torch.rand(64, 1) * 0.2
with watched() as seen:
    h = kata.linear_recurrence(a, b)
own = torch.cat(
    [kata.linear_recurrence(*part) for part in zip(a.split(16), b.split(16))]
)
print(
    f"   {seen.total('load')} loads, {seen.total('store')} stores, {seen.programs} "
    "program"
)
print(
    "   last step of each block:        "
    + ", ".join(f"{value:.2f}" for value in h[15::16, 0].tolist())
)
print(
    "   the same without what was before: "
    + ", ".join(f"{value:.2f}" for value in own[15::16, 0].tolist())
)

# 3. Attention whose past is a matrix in registers: traffic grows with T, not with
#    its square.
print("\n3. Linear attention, two heads, K = 16, V = 32: numbers loaded and stored")
for T in (50, 100, 400):
    q, k, v = (
        torch.randn(1, 2, T, 16),
        torch.randn(1, 2, T, 16),
        torch.randn(1, 2, T, 32),
    )
    with watched() as seen:
        kata.linear_attention(q, k, v, -0.1 * torch.rand(1, 2, T))
    print(
        f"   T = {T:>3}: {seen.total('load'):>6,} loads, {seen.total('store'):>6,} "
        f"stores; scores alone: {2 * T * T:,}"
    )

# 4. Groups of 17, 0, 36 and 17 rows, dealt out to any number of programs.
LENGTHS = [17, 0, 36, 17]
print("\n4. 70 rows in groups of 17, 0, 36 and 17, N = 20, K = 24")
x, w = torch.randn(70, 24), torch.randn(4, 20, 24)
offsets = torch.tensor([0, *LENGTHS]).cumsum(0, dtype=torch.int32)
for programs in (1, 3, 40):
    with watched() as seen:
        kata.grouped_matmul(x, w, offsets, programs=programs)
    print(
        f"   programs: {programs:>2}, {seen.total('load'):,} loads, "
        f"{seen.total('store'):,} stores"
    )
tiles = [
    (group, row) for group, rows in enumerate(LENGTHS) for row in range(0, rows, 16)
]
padded = len(LENGTHS) * -(-max(LENGTHS) // 16)
print(f"   rows of tiles: {len(tiles)}; padded to the longest group: {padded}")

# 5. Where tokens of six experts go.
print("\n5. The places of eight choices among four experts")
experts = torch.tensor([2, 0, 2, 1, 0, 2, 0, 1], dtype=torch.int32)
found = stretch(kata.places_by_expert, experts, 4, block=4)
if found is not None:
    print(f"   experts {experts.tolist()}")
    print(f"   places  {found[0].tolist()}, choices per expert {found[1].tolist()}")

# 6. Four bits per number, and a scale per 32 of them.
print("\n6. (19, 96) times (21, 96): bytes loaded, tiles of 16")
M, N, K = 19, 21, 96
codes = [torch.randint(256, (rows, K // 2), dtype=torch.uint8) for rows in (M, N)]
scales = [
    torch.randint(124, 130, (rows, K // 32), dtype=torch.uint8) for rows in (M, N)
]
with watched() as seen:
    out = stretch(kata.matmul_mxfp4, codes[0], scales[0], codes[1], scales[1])
FORMATS = {"float32": 4.0, "float16": 2.0, "MXFP8": 1 + 1 / 32, "MXFP4": 0.5 + 1 / 32}
kilobytes = {name: 2 * (M + N) * K * size / 1000 for name, size in FORMATS.items()}
for name, size in kilobytes.items():
    print(f"   {name:<8} {1000 * size:>6,.0f}, {FORMATS[name]:.3f} bytes per number")
if out is not None:
    print(f"   counted in MXFP4: {seen.bytes('load'):,}")

# 7. What is known of a configuration without a GPU: results, traffic, shared memory,
#    whether it compiles.
print(
    "\n7. (50, 50) times (50, 60) in float16: configurations, the most promising first"
)
configs = [
    kata.Config(16, 16, 16, stages=3),
    kata.Config(32, 32, 32, stages=3),
    kata.Config(64, 64, 32, stages=3),
    kata.Config(64, 128, 32, stages=3),
    kata.Config(128, 64, 128, stages=3),
]
a, b, out = torch.randn(50, 50).half(), torch.randn(50, 60).half(), torch.empty(50, 60)
kept = stretch(kata.candidates, configs, 50, 60, 50, 2) or []
with tempfile.TemporaryDirectory() as folder:
    os.environ["TRITON_CACHE_DIR"] = folder
    for config in kept:
        with watched() as seen:
            kata.product(config, a, b, out)
        right = torch.allclose(out, a.float() @ b.float(), atol=1e-2)
        told = [
            compiled(seen, capability=capability, whole=True)[0].shared
            for capability in (80, 90, 100)
        ]
        formula = config.stages * (config.bm + config.bn) * config.bk * 2
        name = f"({config.bm}, {config.bn}, {config.bk})"
        print(
            f"   {name:<12} {seen.total('load'):>7,} loads, right: {right}, shared "
            f"memory: {formula:>6,} bytes, {told}"
        )


def counted(call):
    with watched() as seen:
        call()
    return seen.total("load")


tune = stretch(kata.Tuner, kata.product, kept, counted)
best = stretch(tune.__call__, (50, 60, 50), [out], a, b, out) if tune and kept else None
if best:
    print(
        f"   the tuner's choice, with loads for seconds: ({best.bm}, {best.bn}, "
        f"{best.bk})"
    )

# 8. The figure: tiles dealt out, the carry as a staircase, bytes by format.
figure = Figure(figsize=(6.6, 8.3))
first, middle, last = figure.subplots(3)
for number in range(2 * len(tiles)):
    (group, row), column = tiles[number // 2], number % 2
    top, height, width = (
        int(offsets[group]) + row,
        min(16, LENGTHS[group] - row),
        (16, 4)[column],
    )
    first.bar(
        column * 16,
        height,
        width,
        top,
        align="edge",
        color=COLOURS[number % 3],
        edgecolor="white",
    )
    if height > 2:  # else there is no room for its number
        place = column * 16 + width / 2, top + height / 2
        first.text(*place, number, color="white", ha="center", va="center")
first.hlines([int(end) for end in offsets], 0, 20, color="black", linewidth=1.2)
for group, size in enumerate(LENGTHS):
    text = f"group {group}: {size} rows" if size else f"group {group}: no rows"
    first.text(21, int(offsets[group]) + size / 2, text, va="center")
first.set(
    xlim=(0, 34),
    ylim=(70, 0),
    xticks=[0, 16, 20],
    ylabel="row of x",
    xlabel="column of the result",
)
first.set_title("14 tiles for three programs")
steps = torch.arange(64)
middle.plot(steps, h[:, 0], color=COLOURS[0], label="h")
middle.fill_between(
    steps,
    own[:, 0],
    color=COLOURS[5],
    alpha=0.6,
    linewidth=0,
    label="of the block's own steps",
)
carry = torch.cat([torch.zeros(16), h[15:48:16, 0].repeat_interleave(16)])
middle.step(
    steps, carry, where="mid", color=COLOURS[1], label="carry that the block gets"
)
for edge in (16, 32, 48):
    middle.axvline(edge - 0.5, color="#9aa5b1", linewidth=0.8, linestyle=":")
middle.set(
    xlabel="step",
    title="A recurrence in blocks of 16",
    xticks=[0, 16, 32, 48, 64],
    ylim=(0, 2.4),
)
middle.legend(loc="upper left")
colours = [COLOURS[0], COLOURS[3], COLOURS[1], COLOURS[2]]
bars = last.bar(list(kilobytes), list(kilobytes.values()), color=colours)
last.bar_label(bars, [f"{size:.1f}" for size in kilobytes.values()])
last.set(ylabel="kilobytes to load", title="(19, 96) times (21, 96)")
save_figure(figure, __file__)
