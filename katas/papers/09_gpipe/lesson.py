"""Paper kata 09 in code: a timetable, its bubble, a network in four stages, and weights
that do not notice.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import nn

from grader.datasets import digits
from grader.lesson import COLOURS, code, heading, save_figure, shown_code

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another


def drawn(table):
    """A timetable with one line per stage, the way papers draw it; a dot is an
    idle clock.
    """
    for stage, clocks in enumerate(table.T.tolist()):
        print(
            f"   stage {stage} | "
            + " ".join("." if micro < 0 else str(micro) for micro in clocks)
        )


def largest(ours, theirs):
    """The largest difference between two lists of tensors."""
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))


# 2. Recap of the NumPy view
#
# A network that is too large for one device is cut into K stages, one per device. Stage
# 1 cannot start before stage 0 has finished, so with one big batch a single device
# works at any time. GPipe cuts the batch into M micro-batches. The timetable is an
# array with one row per clock and one column per stage; here it is printed on its side.
heading("2. Recap of the NumPy view")
for M in (1, 4):
    print(f"   K = 3 stages, M = {M}: {M + 2} clocks")
    drawn(kata.schedule_numpy(3, M))

# The idle part of the timetable is the *bubble*. The formula is a prediction, the count
# in the table a measurement.
# The paper calls the bubble negligible from M = 4K on.
K = 4
print(f"   the bubble of K = {K} stages    formula   counted")
for M in (1, 4, 16, 32):
    counted = (kata.schedule_numpy(K, M) < 0).mean()
    print(
        f"   M = {M:2}: {K - 1} / {M + K - 1:2}             "
        f"{kata.bubble_fraction(K, M):7.1%}   {counted:7.1%}"
    )

# 3. Data
#
# The data are 1797 handwritten digits of 8×8 pixels: 1200 for training and 597 for
# testing. Any data would do, because the claim is about the gradient: it should be the
# same with and without micro-batches.
heading("3. Data")
order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
x, y = (part[order] for part in digits())
x_train, y_train, x_test, y_test = x[:1200], y[:1200], x[1200:], y[1200:]
print(
    f"   training {tuple(x_train.shape)}, test {tuple(x_test.shape)}; the labels of "
    f"three samples: {y[:3].tolist()}"
)
for line in range(8):
    print(
        "   "
        + "    ".join(
            "".join(" .:*#"[int(4 * pixel)] for pixel in image[0, line].tolist())
            for image in x[:3]
        )
    )

# 4. Model
#
# Four layers, each a stage of its own, so K = 4. Four devices are a lot for four
# layers; with two of them `partition` has to choose the cut. The costs are the
# multiplications per row. The slower stage sets the pace, and a cut in the middle, two
# layers each, is not the best one.
heading("4. Model")
widths = [64, 48, 48, 32, 10]
stages = [
    nn.Sequential(nn.Linear(a, b), nn.Tanh())
    for a, b in zip(widths, widths[1:], strict=False)
]
stages[0] = nn.Sequential(nn.Flatten(), *stages[0])
stages[-1] = stages[-1][0]
costs = [a * b for a, b in zip(widths, widths[1:], strict=False)]
print(
    f"   the four layers cost {costs}; two stages of two layers would cost "
    f"[{sum(costs[:2])}, {sum(costs[2:])}]"
)
parts = kata.partition(costs, 2)
shared = [sum(costs[i] for i in part) for part in parts]
print(f"   partition for K = 2: {parts}, costs {shared}")

# `Pipeline` runs the stages by the timetable. All of it happens in this one process, so
# nothing becomes faster: the trace is the order in which real devices could work at the
# same time. The outputs are those of the plain stack.
pipeline = kata.Pipeline(stages, num_micro=5)
print("   Pipeline.forward:")
shown_code(kata.Pipeline.forward)
with torch.no_grad():
    outputs = pipeline(x[:23])
    difference = (outputs - nn.Sequential(*stages)(x[:23])).abs().max().item()
print(
    f"   {tuple(x[:23].shape)} → {[len(piece) for piece in x[:23].tensor_split(5)]} "
    f"rows → {tuple(outputs.shape)}"
)
print(f"   largest difference to the plain stack: {difference:.1e}")
print(f"   the trace begins {pipeline.trace[:4]} …")

# Compare a device's numbers to hold and to send with data parallelism, where each
# device holds the whole network.
held = [sum(parameter.numel() for parameter in stage.parameters()) for stage in stages]
cuts = widths[1:-1]
print(
    f"   parameters per device: {held} in the pipeline, {sum(held)} with data "
    "parallelism"
)
print(
    f"   numbers sent per step of 50 rows: {2 * 50 * sum(cuts)} at three cuts, or "
    f"{sum(held)} gradients per device"
)

# 5. Training loop
#
# Four copies of one network are trained side by side on the same batches, with one
# update per batch in each. There are two ways to use micro-batches. GPipe's: all of
# them go forward through the pipeline, then all go back. And that of a single small
# device, in `accumulate_gradients`: each goes forward and back alone. Pieces and
# recomputation should change nothing.
heading("5. Training loop")
WAYS = {  # micro-batches in the pipeline, recompute, micro-batches one after the other
    "whole batch": (1, False, 1),
    "pipeline of 7": (7, False, 1),
    "7 accumulated": (1, False, 7),
    "3 recomputed": (3, True, 1),
}
models = {
    name: kata.Pipeline(copy.deepcopy(stages), num_micro=pieces, recompute=recompute)
    for name, (pieces, recompute, _) in WAYS.items()
}
optimizers = {
    name: torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for name, model in models.items()
}
generator = torch.Generator().manual_seed(0)
losses = {name: [] for name in WAYS}
watched = models["7 accumulated"]
for step in range(100):
    rows = torch.randint(len(x_train), (50,), generator=generator)
    for name, model in models.items():
        optimizers[name].zero_grad()
        loss = kata.accumulate_gradients(
            model, x_train[rows], y_train[rows], F.cross_entropy, WAYS[name][2]
        )
        losses[name].append(loss)
        if step == 0 and model is watched:
            print("   after the first backward, with 7 accumulated:")
            for label, parameter in model.named_parameters():
                shape = str(tuple(parameter.shape))
                print(
                    f"   {label:<18} {shape:<9} gradient norm "
                    f"{parameter.grad.norm().item():.4f}"
                )
            weight = next(model.parameters())
            before = weight[0, 20].item()
        optimizers[name].step()
        if step == 0 and model is watched:
            print(
                f"   one weight before and after the first step: {before:.6f} → "
                f"{weight[0, 20].item():.6f}"
            )
for step in (0, 25, 50, 75, 99):
    print(
        f"   step {step:2}: "
        + "   ".join(f"{name} {line[step]:.6f}" for name, line in losses.items())
    )

# 6. Evaluation and figure
#
# The key result: the weights after training are the same. The order of the sums
# differs, so rounding is left, around 1e-7 per weight. The prediction for all
# differences is 0.
heading("6. Evaluation and figure")
print(
    "   after 100 steps       test accuracy   largest difference of a weight to the "
    "whole batch's"
)
for name, model in models.items():
    with torch.no_grad():
        right = (model(x_test).argmax(dim=1) == y_test).float().mean().item()
    print(
        f"   {name:<20}  {right:13.1%}   "
        f"{largest(model.parameters(), models['whole batch'].parameters()):.1e}"
    )

# Your trainer, with the same generator, draws its own batches, and ends at the same
# place, too.
twins = {M: kata.Pipeline(copy.deepcopy(stages)) for M in (1, 7)}
for M, twin in twins.items():
    seeded = torch.Generator().manual_seed(1)
    curve = kata.train_pipeline(
        twin, x_train, y_train, steps=50, num_micro=M, generator=seeded
    )
    print(
        f"   train_pipeline with M = {M}: the loss falls from {curve[0]:.3f} to "
        f"{curve[-1]:.3f}"
    )
print(
    "   largest difference of their weights: "
    f"{largest(twins[7].parameters(), twins[1].parameters()):.1e}"
)

# The figure draws the timetables to scale: the whole batch keeps a stage busy for eight
# units, a micro-batch for one.
figure = Figure(figsize=(6.6, 7))
*rows, below = figure.subplots(3, height_ratios=(1, 1, 1.7))
shades = ListedColormap(["#eeeeee", COLOURS[0]])
for axes, M in zip(rows, (1, 8), strict=True):
    table, unit = kata.schedule_numpy(K, M), 8 // M
    edges = np.arange(len(table) + 1) * unit
    busy = (table.T >= 0).astype(int)
    axes.pcolormesh(
        edges, np.arange(K + 1), busy, cmap=shades, vmin=0, vmax=1, edgecolors="white"
    )
    for clock, stage in zip(*np.nonzero(table >= 0), strict=True):
        place = (clock + 0.5) * unit, stage + 0.5
        axes.text(*place, table[clock, stage], ha="center", va="center", color="white")
    title = (
        f"M = {M}: done after {edges[-1]} units, {kata.bubble_fraction(K, M):.0%} idle"
    )
    axes.set(xlim=(0, 32), ylim=(K, 0), ylabel="stage", title=title)
    axes.set_yticks(np.arange(K) + 0.5, range(K))
    axes.tick_params(length=0)
axes.set_xlabel("time (one unit: a stage works on an eighth of the batch)")
counts = np.arange(1, 65)
for stages_count, style in ((8, "-"), (4, "--"), (2, ":")):
    shares = [kata.bubble_fraction(stages_count, int(M)) for M in counts]
    below.plot(counts, shares, style, label=f"K = {stages_count}")
    below.plot(
        4 * stages_count,
        shares[4 * stages_count - 1],
        "o",
        color=COLOURS[6],
        markersize=5,
    )
below.plot([], [], "o", color=COLOURS[6], markersize=5, label="M = 4K")
below.set_xscale("log", base=2)
below.set_xticks([1, 2, 4, 8, 16, 32, 64], [1, 2, 4, 8, 16, 32, 64])
below.set(
    xlabel="micro-batches M",
    ylabel="idle share of the time",
    ylim=(0, 1),
    title="More pieces, smaller bubble",
)
below.legend()
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The array says when a stage should work, the trace says when the module did. Filled
# into a table, the trace must be the array.
heading("7. NumPy against PyTorch")
M = 6
small = kata.Pipeline(stages, num_micro=M)
small(x[:24])
filled = np.full((M + K - 1, K), -1)
for clock, stage, micro in small.trace:
    filled[clock, stage] = micro
print(
    "   schedule_numpy against Pipeline.trace: "
    f"{np.abs(filled - kata.schedule_numpy(K, M)).max()} is the difference"
)

# The array holds the forward half only. Autograd gives the backward half for free: it
# walks the graph from the newest operation to the oldest, so the gradients leave the
# stages in the reverse of the trace.
went_back = []


def noted(stage):
    """A hook on a stage's outputs: it notes when the gradient of each
    micro-batch arrives.
    """
    met = iter(range(M))

    def hook(module, inputs, output):
        micro = next(met)
        output.register_hook(lambda gradient: went_back.append((stage, micro)))

    return hook


hooks = [
    stage.register_forward_hook(noted(number))
    for number, stage in enumerate(small.stages)
]
F.cross_entropy(small(x[:24]), y[:24]).backward()
for hook in hooks:
    hook.remove()
expected = [(stage, micro) for _, stage, micro in reversed(small.trace)]
print(f"   the backward pass begins with (stage, micro-batch) {went_back[:4]} …")
print(f"   it is the trace read backwards: {went_back == expected}")

# In NumPy every stage would need a backward function, and every cut a place to keep its
# inputs. One number shows what autograd replaced: a weight of stage 0, moved by hand,
# against its gradient through all cuts and micro-batches.
weight = next(small.stages.double().parameters())
chosen = weight[0, 20].item()
ends = []
with torch.no_grad():
    for nudge in (1e-4, -1e-4):
        weight[0, 20] = chosen + nudge
        logits = small(x[:24].double()).numpy()
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        ends.append(-np.log(shares[np.arange(24), y[:24].numpy()]).mean())
    slope = (ends[0] - ends[1]) / 2e-4
print(
    f"   slope of the loss by moving a weight: {slope:.8f}, gradient from autograd: "
    f"{weight.grad[0, 20].item():.8f}"
)
