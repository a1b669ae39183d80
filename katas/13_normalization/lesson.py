"""Lesson 13 in code: which values share a mean, running statistics, small batches, ten
layers with a norm.
"""

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from grader.datasets import digits
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # tensors this small are slower on several threads


# 1. Six numbers, normalised in two ways. Columns are channels, rows are examples. Batch
#    norm looks down a column, layer norm along a row. The output has mean 0 and
#    variance 1 in that direction and no other.
x = torch.tensor([[1.0, 10.0, 100.0], [3.0, 30.0, 500.0]])
print("1. Two examples with three channels, before and after normalisation")
for name, y in {
    "as they are": x,
    "batch norm": kata.BatchNorm1d(3)(x),
    "layer norm": kata.LayerNorm(3)(x),
}.items():
    first, second = ("  ".join(f"{value:6.2f}" for value in row) for row in y.tolist())
    print(f"   {name:<12} [{first}]   [{second}]")

# 2. The groups of elements that share one mean, counted for a table and for images.
print("\n2. How many groups share a mean, and how many elements each group has")
for shape, kind, dims in [
    ((3, 4), "batch", 1),
    ((3, 4), "layer", 1),
    ((2, 3, 4, 5), "batch", 1),
    ((2, 3, 4, 5), "layer", 1),
    ((2, 3, 4, 5), "layer", 3),
    ((2, 3, 4, 5), "instance", 1),
]:
    sizes = kata.normalization_groups(shape, kind, dims).unique(return_counts=True)[1]
    title = f"layer, last {dims}" if kind == "layer" else kind
    print(
        f"   {str(shape):<14} {title:<14} {len(sizes):>3} groups of {sizes[0].item()}"
    )

# 3. Batch norm has a memory. The data have mean 5 and standard deviation 2. Each batch
#    moves the running statistics a tenth of the way towards its own; the running
#    variance is the unbiased one.
norm = kata.BatchNorm1d(3)
print(
    "\n"
    "3. The running statistics of one channel, batches of 16 rows with mean 5 and "
    "variance 4"
)
for step in range(1, 6):
    norm(5 + 2 * torch.randn(16, 3))
    print(
        f"   after batch {step}: running_mean {norm.running_mean[0]:.2f}   "
        f"running_var {norm.running_var[0]:.2f}"
    )
gap = [kata.train_eval_gap(norm, 5 + 2 * torch.randn(16, 3))]
for _ in range(100):
    norm(5 + 2 * torch.randn(16, 3))
print(
    f"   after batch 105: running_mean {norm.running_mean[0]:.2f}   running_var "
    f"{norm.running_var[0]:.2f}"
)

# 4. The same input and the same layer in the other mode. The gap is large until the
#    running statistics have arrived. It never closes, because a batch is only a part of
#    the data. Layer norm does the same in both modes.
x = 5 + 2 * torch.randn(16, 3)
gap.append(kata.train_eval_gap(norm, x))
print("\n4. Largest difference between training and eval mode")
print(f"   batch norm, after 5 batches    {gap[0]:.2f}")
print(f"   batch norm, after 105 batches  {gap[1]:.2f}")
print(
    f"   layer norm                     {kata.train_eval_gap(kata.LayerNorm(3), x):.2f}"
)

# 5. In training mode, batch norm's output for a row depends on the other rows of its
#    batch. Layer norm's does not.
row = x[:1]
print("\n5. The same row in two different batches, in training mode")
for name, layer in {
    "batch norm": nn.BatchNorm1d(3),
    "layer norm": nn.LayerNorm(3),
}.items():
    here, there = layer(torch.cat([row, x[1:8]]))[0], layer(torch.cat([row, x[8:]]))[0]
    print(f"   {name}: differs by {(here - there).abs().max().item():.2f}")
try:
    print(
        "   a batch of one row: every value becomes zero, "
        f"{kata.BatchNorm1d(3)(row).tolist()}"
    )
except (ValueError, ArithmeticError) as error:  # with the star
    print(f"   a batch of one row: {error}")

# 6. Small batches. The mean of b rows misses the mean of the data by about 1/√b
#    standard deviations, which shifts every row of the batch. (The error is larger
#    here, as neighbouring digits are by one writer.) At b = 1 nothing is left.
images, labels = digits()
pixels = images.flatten(1)[:, [20, 21, 26, 29, 36, 42, 44]]  # some of the inner ones
pixels = (pixels - pixels.mean(dim=0)) / pixels.std(dim=0)
print("\n6. Seven standardised pixels of the digits, in batches of b")
print("      b  batches  spread of the means  spread of the output")
for b, effect in kata.batch_size_effect(pixels, [1, 2, 8, 64]).items():
    print(
        f"   {b:>4}{effect['num_batches']:>9}{effect['mean_spread']:>21.3f}"
        f"{effect['output_std']:>22.3f}"
    )

# 7. Positions may have different statistics. Here position t has mean t. One mean per
#    channel lies in the middle and fits none of them; layer norm takes each token's own
#    mean. Padding moves the mean of a channel, too.
positions = torch.arange(8.0)
tokens = positions[None, None, :] + torch.randn(32, 3, 8)  # (N, C, L)
by_batch = kata.BatchNorm1d(3)(tokens).mean(dim=(0, 1))
by_layer = kata.LayerNorm(3)(tokens.transpose(1, 2)).mean(dim=(0, 2))
print(
    "\n"
    "7. Mean of the output at each of 8 positions, where the input at position t has "
    "mean t"
)
print("   batch norm ", "  ".join(f"{value:5.2f}" for value in by_batch.tolist()))
print("   layer norm ", "  ".join(f"{value:5.2f}" for value in by_layer.abs().tolist()))
padded = torch.cat([tokens, torch.zeros(32, 3, 8)], dim=2)
norm = kata.BatchNorm1d(3, momentum=1.0)
norm(tokens)
mean = norm.running_mean[0].item()
norm(padded)
print(
    f"   mean of channel 0: {mean:.2f}; with as much padding as text: "
    f"{norm.running_mean[0]:.2f}"
)

# 8. Ten layers on 300 digits. All networks start from the same linear layers and have
#    the same learning rate.
STEPS = 140
curves = stretch(
    kata.compare_training, images[:300].flatten(1), labels[:300], steps=STEPS, lr=0.03
)
if curves:
    print("\n8. Loss of ten layers on digits (uniform guessing costs ln 10 = 2.30)")
    print("   step   none  batch  layer")
    for step in (0, 20, 40, 80, STEPS - 1):
        print(
            f"   {step:>4}"
            + "".join(f"{losses[step]:>7.2f}" for losses in curves.values())
        )

# 9. The figure: which values of a batch share a mean. Each column of blocks is the same
#    batch of two examples, three channels and four positions. Layer norm expects the
#    channels last, so its ids are transposed to fit the picture.
figure = Figure(figsize=(6.6, 8))
figure.suptitle("Values with the same number share one mean")
maps = {
    "batch norm\none mean per channel": kata.normalization_groups((2, 3, 4), "batch"),
    "instance norm\none per example and channel": kata.normalization_groups(
        (2, 3, 4), "instance"
    ),
    "layer norm\none per token": kata.normalization_groups((2, 4, 3), "layer").mT,
}
for row, (title, ids) in zip(figure.subplots(3, 2), maps.items(), strict=True):
    for example, axes in enumerate(row):
        for channel in range(3):
            for position in range(4):
                group = ids[example, channel, position].item()
                fill = [*COLOURS, "0.45"][group]
                # orange, purple and sky are light
                ink = "black" if fill in COLOURS[3:6] else "white"
                axes.add_patch(
                    Rectangle((position - 0.47, channel - 0.47), 0.94, 0.94, color=fill)
                )
                axes.text(
                    position,
                    channel,
                    str(group),
                    ha="center",
                    va="center",
                    color=ink,
                    fontsize=13,
                )
        axes.set_title(title if example == 0 else "")
        axes.set_ylabel(f"example {example}\nchannel")
        axes.set(
            xlim=(-0.5, 3.5),
            ylim=(2.5, -0.5),
            aspect="equal",
            xticks=range(4),
            yticks=range(3),
        )
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    axes.set_xlabel("position")
save_figure(figure, __file__)
