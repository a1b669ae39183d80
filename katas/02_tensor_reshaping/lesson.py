"""Kata 02 in code: shapes and strides, views and copies, and why a fitting shape proves
nothing about the numbers.

Run it from anywhere: `python katas/02_tensor_reshaping/lesson.py`. It prints its steps
and draws the figure.
"""

import warnings

import torch
from matplotlib.figure import Figure

from grader.datasets import digits
from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)


def complaint(action) -> str:
    """The first sentence of the error or warning that the action ends in."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            action()
        except (RuntimeError, UserWarning) as said:
            return str(said).split(". ")[0].split(" (")[0].split(" because")[0]
    return "nothing"


def row(name: str, tensor: torch.Tensor, of: torch.Tensor) -> None:
    """One line: shape, strides, and whether the memory is that of `of`."""
    memory = "same memory" if tensor.data_ptr() == of.data_ptr() else "a copy"
    print(
        f"   {name:<27} {str(tuple(tensor.shape)):<14} {str(tensor.stride()):<15} "
        f"{memory}"
    )


# 1. A tensor is a block of memory, a shape and strides. A stride says how many numbers
#    to go on in memory for one step along a dimension. Strides (12, 4, 1) say that
#    x[i, j, k] is number 12·i + 4·j + k. All of these read the same 24 numbers.
x = torch.arange(24).reshape(2, 3, 4)
print("1. One block of 24 numbers, read in nine ways")
print(f"   {'':<27} {'shape':<14} strides")
row("x", x, of=x)
row("x.view(6, 4)", x.view(6, 4), of=x)
row("x.view(-1, 4)", x.view(-1, 4), of=x)
row("x.flatten(1)", x.flatten(1), of=x)
row("x.unsqueeze(1)", x.unsqueeze(1), of=x)
row("x.unsqueeze(1).squeeze(1)", x.unsqueeze(1).squeeze(1), of=x)
row("x[None]", x[None], of=x)
row("x.permute(2, 0, 1)", x.permute(2, 0, 1), of=x)
row("x.mT", x.mT, of=x)

# 2. A transpose and a view may have the same shape and the same memory, and different
#    contents. view never copies, so it needs strides that describe the new shape. For
#    the transpose in one row there are none, so reshape copies.
table = torch.arange(6).reshape(2, 3)
print("\n2. A table, transposed")
print("   table          ", table.tolist())
print("   table.mT       ", table.mT.tolist(), " strides", table.mT.stride())
print(
    "   table.view(3,2)",
    table.view(3, 2).tolist(),
    " strides",
    table.view(3, 2).stride(),
)
print("   in memory      ", table.mT.as_strided((6,), (1,)).tolist())
print("   table.mT.view(6):   ", complaint(lambda: table.mT.view(6)))
print("   table.mT.reshape(6):", table.mT.reshape(6).tolist())
row("table.reshape(6)", table.reshape(6), of=table)
row("table.mT.reshape(6)", table.mT.reshape(6), of=table)
row_of_six = table.view(6)
row_of_six[1] = 100
print(
    "   after row_of_six = table.view(6); row_of_six[1] = 100, the table is",
    table.tolist(),
)
#    .T reverses all dimensions and is meant for matrices. .mT swaps the last two of any
#    number of dimensions.
print("   x.T of the (2, 3, 4) tensor:", complaint(lambda: x.T))
print("   x.mT of the same:", tuple(x.mT.shape))

# 3. Seven ways to another shape. The first five rename or regroup the numbers of one
#    tensor. The last two put tensors together: cat makes a dimension longer, stack
#    makes a new one.
a = torch.zeros(2, 3)
single = torch.zeros(2, 1, 3)
print("\n3. What goes in and what comes out")
for name, before, after in [
    ("view(3, 2)", a, a.view(3, 2)),
    ("unsqueeze(1)", a, a.unsqueeze(1)),
    ("squeeze(1)", single, single.squeeze(1)),
    ("transpose(0, 2)", x, x.transpose(0, 2)),
    ("permute(2, 0, 1)", x, x.permute(2, 0, 1)),
    ("cat of two, dim 0", a, torch.cat([a, a], dim=0)),
    ("stack of two, dim 0", a, torch.stack([a, a], dim=0)),
]:
    print(f"   {name:<20} {str(tuple(before.shape)):<10} → {tuple(after.shape)}")

# 4. A model wants a batch, also of one. Here the sample is a grey digit, whose single
#    channel is a dimension of size 1.
images, labels = digits()
sample = images[3]
batch = kata.add_batch_dim(sample)
print("\n4. A batch of one grey digit")
row("sample", sample, of=sample)
row("add_batch_dim(sample)", batch, of=sample)
dropped = stretch(kata.drop_batch_dim, batch)
if dropped is not None:
    row("drop_batch_dim(batch)", dropped, of=sample)
row("batch.squeeze()", batch.squeeze(), of=sample)
print("   squeeze without a position took the channel as well")
print(
    "   squeeze(0) of a batch of 2:",
    tuple(images[:2].squeeze(0).shape),
    "as before, and no error",
)

# 5. Rows of numbers for a linear layer, and back. The sample shape has no N, so it also
#    fits a part of the rows.
flat, sample_shape = kata.flatten_samples(images)
print("\n5. Digits as rows")
print(
    "   images",
    tuple(images.shape),
    "→ flat",
    tuple(flat.shape),
    "and the sample shape",
    sample_shape,
)
print("   flat[7] is images[7]:", torch.equal(flat[7], images[7].flatten()))
print(
    "   rows 5 to 7 back:", tuple(kata.unflatten_samples(flat[5:8], sample_shape).shape)
)
print(
    "   an empty batch:",
    tuple(images[:0].shape),
    "→",
    tuple(images[:0].flatten(1).shape),
)
print("   reshape(0, -1):", complaint(lambda: images[:0].reshape(0, -1)))

# 6. Channels first. In this image of four pixels the tens count pixels and the ones are
#    the channel: 0 red, 1 green, 2 blue. Both results have the shape (1, 3, 2, 2). In
#    one the first plane is all red; in the other it is a mixture.
pixels = torch.tensor([[10, 11, 12], [20, 21, 22], [30, 31, 32], [40, 41, 42]]).reshape(
    1, 2, 2, 3
)
print("\n6. NHWC to NCHW: the first plane, (H, W), of an image of 2 × 2 pixels")
print("   channels moved:", kata.nhwc_to_nchw(pixels)[0, 0].tolist())
print("   reshaped:      ", pixels.reshape(1, 3, 2, 2)[0, 0].tolist())
print("   both have the shape", tuple(kata.nhwc_to_nchw(pixels).shape))

# 7. The stretch exercises: view or copy, taking turns, many images as one.
print("\n7. View or copy, taking turns, a grid")
transposed = torch.arange(12).reshape(3, 4).mT
for shape in ((2, 2, 3), (12,)):
    answer = stretch(kata.reshape_and_check, transposed, shape)
    if answer is None:
        break
    print(f"   a transposed (4, 3) as {shape}:", "a view" if answer[1] else "a copy")
ones, tens = torch.tensor([1, 2, 3]), torch.tensor([10, 20, 30])
print("   cat:       ", torch.cat([ones, tens]).tolist())
turns = stretch(kata.interleave, ones, tens)
if turns is not None:
    print("   interleave:", turns.tolist())
grid = stretch(kata.make_grid, images[:10], 4)
if grid is not None:
    print(
        "   ten digits in four columns:",
        tuple(images[:10].shape),
        "→",
        tuple(grid.shape),
    )

# 8. The figure. Four digits, each tinted, as a file would hold them: (N, H, W, C). On
#    the left the channels are moved, below the batch is reshaped. With one channel both
#    give the same numbers, so grey digits would not show the difference.
print("\n8. Permute against reshape, on digits")
grey = images[1:5].permute(0, 2, 3, 1)
moved_grey = kata.nhwc_to_nchw(grey)
print(
    "   one channel:    equal numbers?",
    torch.equal(moved_grey, grey.reshape(moved_grey.shape)),
)
tints = torch.tensor(
    [[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in COLOURS[:4]]
)
tinted = grey * tints[:, None, None, :]
moved = kata.nhwc_to_nchw(tinted)
reshaped = tinted.reshape(moved.shape)
same = (moved == reshaped).float().mean().item()
print(
    f"   three channels: the shape is {tuple(moved.shape)} both times, and {same:.0%} "
    "of the numbers agree"
)

figure = Figure(figsize=(6.6, 7.4))
halves = figure.subfigures(2)
kinds = ["in colour", "channel 0, red", "channel 1, green", "channel 2, blue"]
titles = ["permute: the channels move", "reshape: the numbers regroup"]
for half, title, batch in zip(halves, titles, [moved, reshaped], strict=True):
    half.suptitle(f"{title}, shape {tuple(batch.shape)}", fontsize="medium")
    panels = half.subplots(4, 4)
    for n in range(4):
        panels[0, n].set_title(f"digit {labels[1 + n]}")
        # matplotlib, like files, wants the channels last
        panels[0, n].imshow(batch[n].permute(1, 2, 0).numpy())
        for channel in range(3):
            panels[1 + channel, n].imshow(
                batch[n, channel].numpy(), cmap="gray", vmin=0, vmax=1
            )
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, kind in zip(panels[:, 0], kinds, strict=True):
        axes.set_ylabel(kind, rotation=0, ha="right", va="center")
save_figure(figure, __file__)
