"""Lesson 13 in code: who shares a mean, what batch norm remembers, what small batches cost, ten layers with a norm."""

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from grader.datasets import digits
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another


# 1. Six numbers, two ways. The columns are channels, the rows examples. Batch norm looks down a column, layer norm
#    along a row; what comes out has mean 0 and variance 1 in that direction and no other.
x = torch.tensor([[1.0, 10.0, 100.0], [3.0, 30.0, 500.0]])
print("1. Three channels of two examples, and what becomes of them")
for name, y in {"as they are": x, "batch norm": kata.BatchNorm1d(3)(x), "layer norm": kata.LayerNorm(3)(x)}.items():
    first, second = ("  ".join(f"{value:6.2f}" for value in row) for row in y.tolist())
    print(f"   {name:<12} [{first}]   [{second}]")

# 2. Which elements share one mean, as a number for each element: the same for the shapes of images and of sequences.
print("\n2. How many groups share a mean, and how many elements are in each")
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
    print(f"   {str(shape):<14} {title:<14} {len(sizes):>3} groups of {sizes[0].item()}")

# 3. Batch norm remembers. The data have mean 5 and standard deviation 2; each batch moves the running statistics a
#    tenth of the way. The variance kept is the unbiased one.
norm = kata.BatchNorm1d(3)
print("\n3. The running statistics of one channel, batches of 16 rows with mean 5 and variance 4")
for step in range(1, 6):
    norm(5 + 2 * torch.randn(16, 3))
    print(f"   after batch {step}: running_mean {norm.running_mean[0]:.2f}   running_var {norm.running_var[0]:.2f}")
gap = [kata.train_eval_gap(norm, 5 + 2 * torch.randn(16, 3))]
for _ in range(100):
    norm(5 + 2 * torch.randn(16, 3))
print(f"   after batch 105: running_mean {norm.running_mean[0]:.2f}   running_var {norm.running_var[0]:.2f}")

# 4. The same input, the same layer, another mode. The gap is large before the running statistics have arrived, and
#    never quite closes: a batch is not the whole of the data. Layer norm has no mode.
x = 5 + 2 * torch.randn(16, 3)
gap.append(kata.train_eval_gap(norm, x))
print("\n4. Largest difference between training and eval mode")
print(f"   batch norm, after 5 batches    {gap[0]:.2f}")
print(f"   batch norm, after 105 batches  {gap[1]:.2f}")
print(f"   layer norm                     {kata.train_eval_gap(kata.LayerNorm(3), x):.2f}")

# 5. A row through batch norm in training mode depends on the rows beside it; through layer norm it does not.
row = x[:1]
print("\n5. The same row in two different batches, in training mode")
for name, layer in {"batch norm": nn.BatchNorm1d(3), "layer norm": nn.LayerNorm(3)}.items():
    here, there = layer(torch.cat([row, x[1:8]]))[0], layer(torch.cat([row, x[8:]]))[0]
    print(f"   {name}: differs by {(here - there).abs().max().item():.2f}")
try:
    print(f"   a batch of one row: no spread is left in {kata.BatchNorm1d(3)(row).tolist()}")
except (ValueError, ArithmeticError) as error:  # with the star
    print(f"   a batch of one row: {error}")

# 6. Small batches. The mean of b rows misses the mean of the data by about 1/√b standard deviations (by more here: the
#    digits come writer by writer), and every row of the batch is shifted by that. At b = 1 nothing is left.
images, labels = digits()
pixels = images.flatten(1)[:, [20, 21, 26, 29, 36, 42, 44]]  # some of the inner ones
pixels = (pixels - pixels.mean(dim=0)) / pixels.std(dim=0)
print("\n6. Digits, seven pixels standardised, in batches of b")
print("      b  batches  spread of the means  spread of the output")
for b, effect in kata.batch_size_effect(pixels, [1, 2, 8, 64]).items():
    print(f"   {b:>4}{effect['num_batches']:>9}{effect['mean_spread']:>21.3f}{effect['output_std']:>22.3f}")

# 7. A sequence has statistics of its own at every position. Here position t has mean t. One mean a channel lies in the
#    middle and fits none of them; layer norm takes each token's own. Padding pulls a channel's mean, too.
positions = torch.arange(8.0)
tokens = positions[None, None, :] + torch.randn(32, 3, 8)  # (N, C, L)
by_batch = kata.BatchNorm1d(3)(tokens).mean(dim=(0, 1))
by_layer = kata.LayerNorm(3)(tokens.transpose(1, 2)).mean(dim=(0, 2))
print("\n7. Mean of the output at each of 8 positions, where the input at position t has mean t")
print("   batch norm ", "  ".join(f"{value:5.2f}" for value in by_batch.tolist()))
print("   layer norm ", "  ".join(f"{value:5.2f}" for value in by_layer.abs().tolist()))
padded = torch.cat([tokens, torch.zeros(32, 3, 8)], dim=2)
norm = kata.BatchNorm1d(3, momentum=1.0)
norm(tokens)
mean = norm.running_mean[0].item()
norm(padded)
print(f"   mean of channel 0: {mean:.2f}; with as much padding behind: {norm.running_mean[0]:.2f}")

# 8. Ten layers on 300 digits, the same linear layers at the start, the same learning rate.
STEPS = 140
curves = stretch(kata.compare_training, images[:300].flatten(1), labels[:300], steps=STEPS, lr=0.03)
if curves:
    print("\n8. Loss of ten layers on digits (ln 10 = 2.30 is what guessing costs)")
    print("   step   none  batch  layer")
    for step in (0, 20, 40, 80, STEPS - 1):
        print(f"   {step:>4}" + "".join(f"{losses[step]:>7.2f}" for losses in curves.values()))

# 9. The figure: the groups of a (3, 4) batch, a colour for each mean; and the curves of step 8.
figure = Figure(figsize=(8, 4))
maps, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
right = right.subplots()
for axes, kind in zip(maps.subplots(1, 2), ("batch", "layer"), strict=True):
    ids = kata.normalization_groups((3, 4), kind)
    axes.set_title(f"{kind} norm\n{len(ids.unique())} means")
    for row in range(3):
        for column in range(4):
            group = ids[row, column].item()
            axes.add_patch(Rectangle((column, row), 0.94, 0.94, color=COLOURS[group]))
            axes.text(column + 0.47, row + 0.47, str(group), ha="center", va="center", color="white", fontsize=13)
    axes.set_xticks([0.47 + column for column in range(4)], range(4))
    axes.set_yticks([0.47 + row for row in range(3)], range(3))
    axes.set_xlabel("channel")
    axes.set_ylabel("example")
    axes.set_aspect("equal")
    axes.set_xlim(0, 4)
    axes.set_ylim(3, 0)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
for name, losses in (curves or {}).items():
    [line] = right.plot(losses, {"none": "--", "batch": "-", "layer": "-."}[name])
    label = "no norm" if name == "none" else f"{name} norm"
    right.text(STEPS + 2, losses[-1], label, color=line.get_color(), va="center", clip_on=False)
right.set_title("ten layers on 300 digits")
right.set_xlabel("step")
right.set_ylabel("cross-entropy")
right.set_ylim(bottom=0)
if not curves:
    right.text(0.5, 0.5, "compare_training is not written yet", ha="center", transform=right.transAxes)
save_figure(figure, __file__)
