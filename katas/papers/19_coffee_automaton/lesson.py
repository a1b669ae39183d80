"""Paper kata 19 in code: cream mixes into coffee, a convolution learns diffusion, and a
reversible law returns.
"""

import math
import statistics

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# One random step moves a drop of cream to one neighbour or to none. In the mean over
# all such steps the drop spreads: with p = 0.8 it keeps 0.2 and gives 0.2 to each of
# four neighbours. In a corner there are only two neighbours, so it keeps 0.6. Nothing
# is lost: each grid keeps its sum.
heading("2. Recap of the NumPy view")
for name, place, predicted in (
    ("in the middle", (1, 2), 0.2),
    ("in a corner", (0, 0), 0.6),
):
    drop = np.zeros((1, 1, 3, 5))
    drop[0, 0][place] = 1
    spread = stretch(kata.expected_step_numpy, drop, 0.8)
    if spread is not None:
        kept, total = spread[0, 0][place], spread.sum()
        print(
            f"   a drop {name}: predicted to keep {predicted}, sum 1; measured "
            f"{kept:.1f}, {total:.1f}"
        )
        for row in spread[0, 0]:
            print("      " + " ".join(f"{value:.1f}" for value in row))

# 3. Data
#
# The cup starts with cream on top. Here are three samples of a small cup: the start,
# and the state after 30 and after 1000 random steps. No cell is ever anything but cream
# (#) or coffee (.), and the number of cream cells never changes.
heading("3. Data")
generator = torch.Generator().manual_seed(0)
cup = kata.initial_state(10, 20)
samples = {0: cup}
for step in range(1, 1001):
    cup = kata.mix_step(cup, generator=generator)
    if step in (30, 1000):
        samples[step] = cup
print("   " + "   ".join(f"{f'step {step}':<20}" for step in samples))
for rows in zip(
    *(sample[0, 0].int().tolist() for sample in samples.values()), strict=True
):
    print("   " + "   ".join("".join(".#"[cell] for cell in row) for row in rows))
print(
    "   cream cells: "
    + ", ".join(f"{int(sample.sum())}" for sample in samples.values())
)

# What is measured is a number of bytes: of the exact state for the entropy, of the
# coarse state for the complexity.
coarse = kata.coarse_grain(samples[1000], 4, 2)
print(f"   coarse state after 1000 steps, {tuple(coarse.shape)} {coarse.dtype}:")
for row in coarse[0, 0].tolist():
    print("      " + " ".join(str(level) for level in row))

# 4. Model
#
# The mean next state is the same function of nine cells everywhere: a convolution. The
# model is a stretch exercise; without it, sections 4 and 5 are empty.
heading("4. Model")
torch.manual_seed(0)
model = stretch(kata.DiffusionModel)
predicted = (
    None if model is None else stretch(model, torch.cat([kata.initial_state(6, 8)] * 2))
)
if predicted is not None:
    shown_code(kata.DiffusionModel)
    print(f"   a state (2, 1, 6, 8) → a prediction {tuple(predicted.shape)}")
    print(
        f"   {sum(p.numel() for p in model.parameters())} parameters, for a cup of "
        "any size"
    )

# 5. Training loop
#
# The targets are random: the same state can go many ways. The model cannot foresee
# which, so the loss does not go to 0. How low can it go? A cell in the middle has the
# variance (1 − 0.5² − 4 · 0.125²) q (1 − q) in a cup with a share q of cream, and q
# (1 − q) is 1/6 in the mean over all shares. With the border cells, which are a little
# less random, a cup of 16 × 16 has 0.109 in the mean. The loop computes the squared
# error by hand, one level lower than the exercise.
heading("5. Training loop")
STEPS, LR, SIZE = 300, 0.02, 16
if predicted is not None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    losses = []
    for step in range(STEPS):
        shares = torch.rand(32, generator=generator).reshape(32, 1, 1, 1)
        state = torch.rand(32, 1, SIZE, SIZE, generator=generator).lt(shares).float()
        targets = [kata.mix_step(part, generator=generator) for part in state.split(4)]
        errors = model(state) - torch.cat(targets)
        loss = (errors * errors).sum() / errors.numel()
        model.zero_grad()
        loss.backward()
        before = model.conv.weight[0, 0, 1, 1].item()
        optimizer.step()
        losses.append(loss.item())
        if step == 0:
            for name, parameter in model.named_parameters():
                print(
                    f"   {name} {tuple(parameter.shape)}: gradient norm "
                    f"{parameter.grad.norm():.3f}"
                )
            after = model.conv.weight[0, 0, 1, 1].item()
            print(
                "   the weight in the centre before and after the first step: "
                f"{before:.4f} → {after:.4f}"
            )
    for step in (0, 10, 30, 100, STEPS - 1):
        print(f"   step {step:<4} loss {losses[step]:.4f}")
    # in the middle, at an edge, in a corner
    cells = ((SIZE - 2) ** 2, 4 * (SIZE - 2), 4)
    noise = [1 - (1 - n / 8) ** 2 - n / 64 for n in (4, 3, 2)]  # with n neighbours
    floor = sum(n * part for n, part in zip(cells, noise, strict=True)) / SIZE**2 / 6
    print(
        f"   lowest possible loss: predicted {floor:.4f}, mean of the last 100 steps "
        f"{sum(losses[-100:]) / 100:.4f}"
    )

# 6. Evaluation and figure
#
# Does the kernel know diffusion? The prediction is 1 − p = 0.5 in the centre,
# p / 4 = 0.125 beside it, 0 in the corners.
heading("6. Evaluation and figure")
if predicted is not None:
    for row in model.conv.weight.detach()[0, 0].tolist():
        print("   " + " ".join(f"{weight:7.3f}" for weight in row))

# The key result: a cup of 48 × 48 cells over 10 000 steps. The entropy should rise and
# stay. The complexity should rise, and fall to where it began.
curve = kata.complexity_curve(
    48, 8, 2, steps=10_000, every=500, generator=torch.Generator().manual_seed(0)
)
SHOWN = (0, 500, 1000, 2000, 3000, 5000, 10_000)
print("   step       " + "".join(f"{step:>7}" for step in SHOWN))
for name in ("entropy", "complexity"):
    print(
        f"   {name:<11}"
        + "".join(f"{curve[name][step // 500]:>7}" for step in SHOWN)
        + "   bytes"
    )

# The same cup once more, to look at it. The generator starts from the same seed, so the
# steps are the same.
generator = torch.Generator().manual_seed(0)
cup = kata.initial_state(48, 48)
snapshots = {0: cup}
for step in range(1, 10_001):
    cup = kata.mix_step(cup, generator=generator)
    if step in (2000, 10_000):
        snapshots[step] = cup
again = [kata.compressed_size(snapshots[step]) for step in (0, 2000, 10_000)]
print(f"   replayed at steps 0, 2000 and 10 000: {again} bytes")

# A control. Is the hump made by swirls, which have a history? Let the mean state
# diffuse, without any randomness, and at each reading draw every cell on its own, with
# the mean as its chance of cream. These cups never mixed. If their coarse states have
# the same hump, it does not show interaction: it shows windows whose mean is near the
# limit of a level, so that chance decides the level.
control = []
mean = kata.initial_state(48, 48)
generator = torch.Generator().manual_seed(0)
for step in range(10_001):
    if step % 500 == 0:
        drawn = torch.rand(mean.shape, generator=generator).lt(mean).float()
        control.append(kata.compressed_size(kata.coarse_grain(drawn, 8, 2)))
    mean = stretch(kata.expected_step, mean)
    if mean is None:
        control = []
        break
if control:
    print(
        "   control    "
        + "".join(f"{control[step // 500]:>7}" for step in SHOWN)
        + "   bytes, cells drawn on their own"
    )

# Now a law without chance, which loses nothing: in each step, cell i gets what cell
# permutation[i] held. This one looks like mixing, too, but a reversible law on finitely
# many states must come back to its start (Poincaré). Its time was searched for to be
# so short.
law = torch.randperm(576, generator=torch.Generator().manual_seed(525))
start = kata.initial_state(24, 24)
cells, reversible = start.flatten(), []
for step in range(505):
    if step % 18 == 0:
        reversible.append(kata.compressed_size(cells))
    if step < 504:
        cells = cells[law]
time = stretch(kata.recurrence_time, start, law)
print(
    f"   reversible law: {reversible[0]} bytes at step 0, {max(reversible)} at most, "
    f"{reversible[-1]} at step 504"
)
print(
    f"   back at step 504, cell by cell: {torch.equal(cells, start.flatten())}; "
    f"recurrence_time says {time}"
)

# Why does nobody see this in a cup? Most permutations take far longer, and the time
# grows quickly with the cells.
if time is not None:
    generator = torch.Generator().manual_seed(0)
    for side in (4, 6, 8, 12, 16):
        laws = [torch.randperm(side * side, generator=generator) for _ in range(200)]
        times = [
            kata.recurrence_time(kata.initial_state(side, side), law) for law in laws
        ]
        print(
            f"   {side * side:>4} cells: median {statistics.median(times):>8,.0f} "
            f"steps, longest {max(times):>12,}"
        )

# Phase space has a place x and a momentum p per particle, here on a ring of 64 values
# each. A law that loses nothing moves its points without merging any: 256 points should
# stay 256, while the square that they fill is drawn into a thread. Who sees boxes of
# 8 × 8 points only sees the entropy of the boxes rise, from 2 bits to nearly log2
# 64 = 6, and has to wait for the return.
RING = 64
points = torch.cartesian_prod(torch.arange(16), torch.arange(16))
threads, boxes, different = {}, [], set()
for step in range(49):
    if step in (0, 2, 6, 48):
        threads[step] = points
    shares = (points // 8 @ torch.tensor([8, 1])).bincount(minlength=64) / len(points)
    boxes.append(torch.special.entr(shares).sum().item() / math.log(2))
    different.add(len(points.unique(dim=0)))
    points = points @ torch.tensor([[1, 1], [1, 2]]) % RING  # x ← x + p, then p ← p + x
print(
    f"   phase space: {different} different points at all steps; bits of the boxes: ",
    end="",
)
print(
    ", ".join(
        f"{boxes[step]:.2f} at step {step}" for step in (0, 1, 2, 3, 6, 24, 47, 48)
    )
)

# Maxwell's demon stands at a door between two halves. Per step one of 1000 particles
# comes to the door, and the demon lets it through from right to left only. So the gas
# loses its entropy of 1000 bits: every particle ends on the left. But the demon has to
# look, and one look is worth the entropy of left and right at that moment. What it has
# written down should be more than the gas has lost. To erase a bit costs at least k T
# ln 2 (Landauer).


def surprise(share):
    """The entropy of one bit with this share, in bits."""
    return (
        0.0
        if share in (0.0, 1.0)
        else -share * math.log2(share) - (1 - share) * math.log2(1 - share)
    )


COUNT = 1000
generator = torch.Generator().manual_seed(0)
on_the_right = torch.rand(COUNT, generator=generator).lt(0.5).tolist()
gas, memory = [COUNT * surprise(sum(on_the_right) / COUNT)], [0.0]
while any(on_the_right):
    visitor = int(torch.randint(COUNT, (), generator=generator))
    memory.append(memory[-1] + surprise(sum(on_the_right) / COUNT))
    on_the_right[visitor] = False
    gas.append(COUNT * surprise(sum(on_the_right) / COUNT))
print(
    f"   demon: {len(gas) - 1} looks, the gas goes from {gas[0]:.0f} bits to "
    f"{gas[-1]:.0f},",
    end=" ",
)
print(
    f"the demon's memory from 0 to {memory[-1]:.0f}: {memory[-1] / gas[0]:.2f} for "
    "each bit won"
)

# The figure: both curves, each scaled to its maximum, above three snapshots; then the
# law that returns. Below, points in phase space and the demon's account.
figure = Figure(figsize=(6.6, 11))
grid = figure.add_gridspec(5, 12, height_ratios=(1.25, 1.1, 1, 1, 1))
curves, law_axes = figure.add_subplot(grid[0, :]), figure.add_subplot(grid[2, :])
for place, name in enumerate(("entropy", "complexity")):
    values = np.array(curve[name]) / max(curve[name])
    curves.plot(
        curve["step"], values, color=COLOURS[place], linestyle=("-", "--")[place]
    )
curves.text(6000, 0.89, "entropy", color=COLOURS[0])
curves.text(3350, 0.6, "complexity", color=COLOURS[1])
if control:
    curves.plot(
        curve["step"],
        np.array(control) / max(control),
        color=COLOURS[6],
        linestyle=":",
        linewidth=1.5,
    )
    curves.text(3900, 0.48, "control: complexity of cells drawn on their own")
curves.set(
    xlabel="step",
    ylabel="bytes / maximum",
    title="Entropy rises and stays, complexity rises and falls",
)
curves.set(xlim=(-100, 10_100), ylim=(0, 1.05))
for column, (step, snapshot) in enumerate(snapshots.items()):
    picture = figure.add_subplot(grid[1, 4 * column : 4 * column + 4])
    picture.imshow(1 - snapshot[0, 0], cmap="cividis_r", interpolation="nearest")
    picture.set(xticks=[], yticks=[], xlabel=f"step {step}")
law_axes.plot(range(0, 505, 18), reversible, color=COLOURS[2], marker=".")
law_axes.set(
    xlabel="step",
    ylabel="bytes",
    title="A reversible law returns to its start",
    ylim=(0, 145),
)
for column, (step, thread) in enumerate(threads.items()):
    picture = figure.add_subplot(grid[3, 3 * column : 3 * column + 3])
    picture.plot(*thread.T, ".", color=COLOURS[0], markersize=1.5)
    picture.set(
        xlim=(-1, RING),
        ylim=(-1, RING),
        xticks=[],
        yticks=[],
        aspect="equal",
        xlabel=f"x at step {step}",
    )
    picture.set_title(f"{boxes[step]:.1f} bits")
    if column == 0:
        picture.set_ylabel("p")
account = figure.add_subplot(grid[4, :])
for values, name, place, colour in (
    (gas, "gas", 420, COLOURS[0]),
    (memory, "the demon's memory", 1150, COLOURS[1]),
):
    account.plot(values, color=colour)
    account.text(len(gas) * 0.36, place, name, color=colour)
account.set(xlabel="look", ylabel="bits", title="A demon pays")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The mean next state of the same cup, in NumPy in float64 and in PyTorch in float32.
heading("7. NumPy against PyTorch")
state = torch.rand(2, 1, 9, 9, generator=generator)
ours, theirs = (
    stretch(kata.expected_step, state),
    stretch(kata.expected_step_numpy, state.double().numpy()),
)
if ours is not None and theirs is not None:
    print(f"   NumPy:   {theirs[0, 0, 4, :5].round(5)}")
    print(f"   PyTorch: {ours[0, 0, 4, :5].numpy().round(5)}")
    print(f"   largest difference: {np.abs(theirs - ours.numpy()).max():.1e}")

# The gradient is what only PyTorch gives for free. The cell in the middle after three
# steps is a weighted mean of cells at the start; the gradient holds the weights. They
# should add up to 1, and be 0 for cells more than three steps away.
if ours is not None:
    start = torch.zeros(1, 1, 9, 9, requires_grad=True)
    cup = start
    for _ in range(3):
        cup = kata.expected_step(cup)
    (weights,) = torch.autograd.grad(cup[0, 0, 4, 4], start)
    print(
        "   weights of the row of that cell: "
        + " ".join(f"{weight:.3f}" for weight in weights[0, 0, 4].tolist())
    )
    count = int((weights != 0).sum())
    print(
        f"   sum: predicted 1, measured {weights.sum():.4f}; cells that matter: "
        f"predicted 25, measured {count}"
    )

# Batching replaced the loop over cups, slices the loop over cells, and autograd the
# bookkeeping of who gave to whom.
