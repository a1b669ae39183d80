"""Kata 03 in code: what each kind of index picks, which results share memory with the
tensor, and where it bites.
"""

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)


def shares_memory(a, b):
    """Both tensors describe the same block of memory."""
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def show(expression, result, whole):
    kind = "view" if shares_memory(result, whole) else "copy"
    print(
        f"   {expression:<22} {kind:<5} {str(tuple(result.shape)):<8} {result.tolist()}"
    )


# 1. A slice, a single number and `...` describe a part of x's memory: the result is a
#    view. Index tensors and masks may name any places in any order, so their values
#    have to be collected: the result is a copy.
x = torch.tensor([[3, -1, 4, 1], [-5, 9, -2, 6], [5, -3, 5, 8]])
rows, columns = torch.tensor([0, 2, 1]), torch.tensor([3, 0, 0])
print("1. x =", str(x.tolist()).replace("], [", "],\n        ["))
print(f"   {'expression':<22} {'':<5} {'shape':<8} values")
show("x[1, 2]", x[1, 2], x)
show("x[1][2]", x[1][2], x)
show("x[-1]", x[-1], x)
show("x[1][2:]", x[1][2:], x)
show("x[:2, 2:]", x[:2, 2:], x)
show("x[..., -1]", x[..., -1], x)
show("x[::2]", x[::2], x)
show("x[:, None, 1]", x[:, None, 1], x)
show("x[[0, 2]]", x[[0, 2]], x)
show("x[rows, columns]", x[rows, columns], x)
show("x[x > 0]", x[x > 0], x)
print("   rows =", rows.tolist(), " columns =", columns.tolist())
print(
    "   A view is a description: where it starts in memory, its shape, how far each "
    "step goes"
)
for expression, view in {
    "x": x,
    "x[::2]": x[::2],
    "x[:2, 2:]": x[:2, 2:],
    "x[..., -1]": x[..., -1],
}.items():
    print(
        f"   {expression:<22} start {view.storage_offset()}   shape "
        f"{str(tuple(view.shape)):<8} steps {view.stride()}"
    )

# 2. A view and its tensor are one block of memory: a write to one shows in the other. A
#    copy has memory of its own. On the left of = every kind of index writes to
#    x itself.
view, copy = kata.every_other_row(x), x[[0, 2]]
view[1, 0] = 50
copy[0, 0] = 30
print(
    "\n2. After view[1, 0] = 50 in every_other_row(x), and copy[0, 0] = 30 in x[[0, 2]]"
)
print("   x[2, 0] is", x[2, 0].item(), "  x[0, 0] is", x[0, 0].item())
x[x < 0] = 0
print("   after x[x < 0] = 0, x is", x.tolist())

# 3. x[1, 2] and x[1][2] agree: x[1] is row 1, and the second index picks from that row.
#    With a slice the chain means something else: x[:] is all of x, so the second index
#    picks a row again.
print("\n3. Chains of brackets")
print("   x[:, 1] is column 1:", x[:, 1].tolist())
print("   x[:][1] is row 1:   ", x[:][1].tolist())

# 4. Two index tensors are read in pairs. Two slices span a rectangle. To get a
#    rectangle from index tensors, one of them has to be a column, so that broadcasting
#    pairs everything with everything.
print("\n4. Pairs or rectangle, from x =", x.tolist())
i, j = torch.tensor([0, 2]), torch.tensor([1, 3])
print("   x[i, j]          pairs (0, 1) and (2, 3):", x[i, j].tolist())
print("   x[i[:, None], j] rows 0, 2 by columns 1, 3:", x[i[:, None], j].tolist())
print("   diagonal of x[:, :3]:", kata.diagonal(x[:, :3]).tolist())
sequence = torch.arange(4.0, requires_grad=True)
windows = kata.sliding_windows(sequence, 2)
windows.sum().backward()
print("   sliding_windows([0, 1, 2, 3], 2):", windows.tolist())
print("   the gradient of their sum:       ", sequence.grad.tolist())
long = torch.zeros(6, 2, 5)
unfolded, windows = long.unfold(0, 3, 1), kata.sliding_windows(long, 3)
print(
    "   windows of 3 over (6, 2, 5): unfold",
    tuple(unfolded.shape),
    "shares memory:",
    shares_memory(unfolded, long),
)
print(
    "                       sliding_windows",
    tuple(windows.shape),
    "shares memory:",
    shares_memory(windows, long),
)

# 5. gather by hand. out[r, k] = scores[r, index[r, k]]: along dimension 1 the place
#    comes from the index, all other places stay. pick_per_row is this with one k.
scores = torch.tensor(
    [[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.3, 0.4, 0.3]]
)
target = torch.tensor([1, 0, 2, 2])
index = target.unsqueeze(1)
print("\n5. gather along dimension 1")
for r in range(len(scores)):
    c = index[r, 0].item()
    print(
        f"   out[{r}, 0] = scores[{r}, index[{r}, 0]] = scores[{r}, {c}] = "
        f"{scores[r, c]:.1f}"
    )
gathered = scores.gather(1, index)
print(
    "   scores.gather(1, index):      ",
    [round(v, 1) for v in gathered.flatten().tolist()],
    tuple(gathered.shape),
)
print("   shares memory with the scores:", shares_memory(gathered, scores))
picked = kata.pick_per_row(scores, target)
print(
    "   pick_per_row(scores, target): ",
    [round(v, 1) for v in picked.tolist()],
    tuple(picked.shape),
)
print("   scores[:, target] instead has the shape", tuple(scores[:, target].shape))

# 6. Where it bites. A negative index counts from the end, a slice past the end returns
#    less, integers name rows.
print("\n6. What raises nothing")
labels = torch.tensor([1, -1, 2, 0])
print("   labels with a missing one, -1:", labels.tolist())
wrapped = scores[torch.arange(4), labels]
print(
    "   two index tensors take the last class for it:",
    [round(v, 1) for v in wrapped.tolist()],
)
try:
    scores.gather(1, labels.unsqueeze(1))
except RuntimeError as error:
    print("   gather refuses it:", error)
image = torch.arange(48).reshape(6, 8)
print(
    "   image[4:4 + 3, 6:6 + 3] of a 6 × 8 image has the shape",
    tuple(image[4:7, 6:9].shape),
)
flags = torch.tensor([0, 1, 1, 0])
print(
    "   rows kept by a bool mask:",
    torch.arange(4)[flags.bool()].tolist(),
    "  by the same as 0 and 1:",
    end=" ",
)
print(torch.arange(4)[flags].tolist())
bordered = torch.ones(3, 4)
bordered[-0:] = 0
print("   after bordered[-0:] = 0, the sum of 12 ones is", bordered.sum().item())

# 7. The stretch exercises: the same tools where they are used.
print("\n7. The stretch exercises")
cropped = stretch(kata.crop, image, 4, 5, 2, 3)
if cropped is not None:
    print(
        "   crop, a view:            ", cropped.tolist(), shares_memory(cropped, image)
    )
ring = stretch(kata.zero_border, image[:3, :4])
if ring is not None:
    print("   zero_border, a copy:     ", ring.tolist(), not shares_memory(ring, image))
steps = torch.tensor([[1.0, 2.0, float("nan")], [3.0, 4.0, 5.0]])
last = stretch(kata.last_valid, steps, torch.tensor([2, 3]))
if last is not None:
    print("   last_valid of 2, 3 steps:", last.tolist())
kept = stretch(kata.filter_rows, scores, scores.max(dim=1).values > 0.5)
if kept is not None:
    print("   filter_rows, sure ones:  ", "rows", kept[1].tolist(), "of", len(scores))

# 8. The figure: which cells of a 6 × 8 grid an expression picks, and the shape of the
#    result. Each expression is applied to a tensor of cell numbers, so the picture
#    shows what it does, not what somebody drew.
cells = torch.arange(48).reshape(6, 8)
noise = torch.randn(6, 8, generator=torch.Generator().manual_seed(3))
panels = {
    "x[1, 2]": lambda t: t[1, 2],
    "x[-1]": lambda t: t[-1],
    "x[..., -1]": lambda t: t[..., -1],
    "x[1:4, 2:6]": lambda t: t[1:4, 2:6],
    "x[::2]": lambda t: t[::2],
    "x[[0, 1, 5]]": lambda t: t[[0, 1, 5]],
    "x[[0, 2, 5], [6, 1, 4]]": lambda t: t[[0, 2, 5], [6, 1, 4]],
    "x[x > 0]": lambda t: t[noise > 0],
}
figure = Figure(figsize=(6.6, 7.6))
grids = figure.subplots(4, 2, sharex=True, sharey=True)
for axes, (expression, pick) in zip(grids.flat, panels.items(), strict=True):
    result = pick(cells)
    colour = COLOURS[0] if shares_memory(result, cells) else COLOURS[1]
    for r in range(6):
        for c in range(8):
            chosen = bool((result == cells[r, c]).any())
            axes.add_patch(
                Rectangle(
                    (c, r),
                    1,
                    1,
                    facecolor=colour if chosen else "0.94",
                    edgecolor="white",
                )
            )
    axes.set(xlim=(0, 8), ylim=(6, 0), aspect="equal")
    axes.set_xticks([c + 0.5 for c in range(8)], range(8))
    axes.set_yticks([r + 0.5 for r in range(6)], range(6))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{expression}\n{tuple(result.shape)}", family="monospace")
for axes in grids[:, 0]:
    axes.set_ylabel("row")
for axes in grids[-1]:
    axes.set_xlabel("column")
views, copies = (
    Patch(color=COLOURS[0], label="view"),
    Patch(color=COLOURS[1], label="copy"),
)
figure.legend(handles=[views, copies], loc="outside lower center", ncols=2)
save_figure(figure, __file__)
