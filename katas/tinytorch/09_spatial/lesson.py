"""Kata tinytorch/09 in code: windows, columns, a pool, a network layer by layer, and
what a convolution costs.
"""

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, pytorch_source, save_figure, stretch

kata = code(__file__)

from tinytorch.activations import relu  # noqa: E402  (found once the kata is loaded)
from tinytorch.data import load_digits  # noqa: E402
from tinytorch.setup import time_call  # noqa: E402
from tinytorch.tensor import Tensor  # noqa: E402

# eight digits, (8, 1, 8, 8), from 0 to 1
pixels = load_digits()[0][:8, None].astype(np.float32) / 16
digits = Tensor(pixels)


def show(array: np.ndarray) -> None:
    for row in array:
        print("   " + " ".join(f"{value:4.0f}" for value in row))


# 1. One kernel, moved over an image. It answers where the right side of its window is
#    brighter than the left side.
print("1. A bright bar, and what a kernel for vertical edges makes of it")
image = np.zeros((1, 1, 5, 7))
image[..., 2:5] = 1
edge = np.array([[[[-1.0, 0, 1]] * 3]])
found = kata.conv2d_loops(Tensor(image), Tensor(edge))
show(image[0, 0])
print("   becomes, at 3 × 5 positions,")
show(found.data[0, 0])

# 2. The same windows as columns, and the way back.
print("\n2. The windows as columns")
cols = kata.im2col(image, 3)
product = edge.reshape(1, -1) @ cols
print(
    f"   image {image.shape}, columns {cols.shape}: {cols.size} numbers for "
    f"{image.size} pixels"
)
print(
    "   kernel (1, 9) times columns gives the same as the loops: "
    f"{np.allclose(product.ravel(), found.data.ravel())}"
)
print("   how often each pixel is in a window, which is how many gradients it gets:")
show(kata.col2im(np.ones_like(cols), image.shape, 3)[0, 0])

# 3. Clear and slow, or fast.
print("\n3. Eight digits, one channel to sixteen, 3 × 3, by loops and by one product")
layer = kata.Conv2d(1, 16, 3, rng=np.random.default_rng(1))
slow = time_call(
    kata.conv2d_loops, digits, layer.weight, layer.bias, repeats=2, warmup=0
)
fast = time_call(layer, digits)
gap = np.abs(
    kata.conv2d_loops(digits, layer.weight, layer.bias).data - layer(digits).data
).max()
print(
    f"   loops {1e3 * slow:.1f} ms, product {1e3 * fast:.2f} ms: {slow / fast:.0f} "
    "times as fast"
)
print(f"   largest difference {gap:.0e}")

# 4. A pool, and where its gradient goes. Row 5 and column 5 fit into no window.
print("\n4. A 2 × 2 pool of 5 × 5 numbers")
x = Tensor(
    np.random.default_rng(2).integers(0, 10, (1, 1, 5, 5)).astype(float),
    requires_grad=True,
)
pooled = kata.max_pool2d(x, 2)
show(x.data[0, 0])
print("   keeps")
show(pooled.data[0, 0])
pooled.sum().backward()
print("   and one pixel per window gets the gradient:")
show(x.grad[0, 0])

# 5. Shapes and parameters, layer by layer.
print("\n5. make_cnn(28): one image of 28 × 28 on its way")
net, x = (
    kata.make_cnn(28, rng=np.random.default_rng(0)),
    Tensor(np.zeros((1, 1, 28, 28), dtype=np.float32)),
)
for layer in net:
    x = layer(x)
    own = sum(p.size for p in layer.parameters()) if hasattr(layer, "parameters") else 0
    print(f"   {type(layer).__name__:<10} {x.shape!s:<16} {own:>6,} parameters")
inputs = {
    depth: kata.make_cnn(32, channels=(8,) * depth, padding=1)[-1].weight.shape[1]
    for depth in (1, 2, 3)
}
print(
    "   inputs of the Linear after 1, 2 and 3 pools of 32 × 32: "
    f"{list(inputs.values())}, each a quarter"
)

# 6. How far one output sees. (receptive_field is a stretch exercise.)
print("\n6. Pixels of the input, along one side, that one output depends on")
for name, layers in (
    ("three 3 × 3 convolutions", [(3, 1)] * 3),
    ("one 7 × 7 convolution", [(7, 1)]),
    ("3 × 3, pool, 3 × 3, pool", [(3, 1), (2, 2)] * 2),
):
    fields = stretch(kata.receptive_field, layers)
    if fields:
        print(f"   {name:<26} {fields}")
print(
    f"   weights per pair of channels: three 3 × 3 have {3 * 9}, one 7 × 7 has {7 * 7}"
)

# 7. What it costs. (conv_cost is a stretch exercise.)
print(
    "\n"
    "7. Costs of a 3 × 3 convolution with padding 1 on a batch of 4 images, 32 × 32, "
    "16 channels to 16"
)
cost = stretch(kata.conv_cost, (4, 16, 32, 32), 16, 3, padding=1)
if cost:
    wide, layer = (
        np.zeros((4, 16, 32, 32), dtype=np.float32),
        kata.Conv2d(16, 16, 3, padding=1),
    )
    measured = {
        "output_bytes": layer(Tensor(wide)).nbytes,
        "im2col_bytes": kata.im2col(wide, 3, padding=1).nbytes,
        "parameters": sum(p.size for p in layer.parameters()),
    }
    for name, number in measured.items():
        print(f"   {name:<13} {cost[name]:>9,} predicted, {number:>9,} measured")
    print("   multiply-adds per byte that must be moved, for one image:")
    for name, shape, outputs, kernel in (
        ("3 × 3 on 32 × 32, 256 channels", (1, 256, 32, 32), 256, 3),
        ("1 × 1 on 32 × 32, 256 channels", (1, 256, 32, 32), 256, 1),
        ("3 × 3 on 32 × 32, 8 channels", (1, 8, 32, 32), 8, 3),
        ("Linear, 256 to 256", (1, 256, 1, 1), 256, 1),
    ):
        ratio = kata.conv_cost(shape, outputs, kernel, padding=kernel // 2)[
            "multiply_adds_per_byte"
        ]
        print(f"   {name:<31} {ratio:6.2f} {'█' * round(ratio / 4) or '▏'}")
    print("   The short ones wait for memory, not for arithmetic.")
    small, large = (
        kata.conv_cost((1, 3, side, side), 3, 3, padding=1) for side in (32, 320)
    )
    print(
        "   from image to image, 32 and 320 pixels a side: convolution "
        f"{small['parameters']} and"
        f" {large['parameters']} weights, Linear {small['linear_parameters']:.1e} and "
        f"{large['linear_parameters']:.1e}"
    )

# 8. The same in PyTorch, with the same weights.
print("\n8. PyTorch does it so")
try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("   (torch is not installed: no comparison)")
else:
    ours = kata.make_cnn(8, padding=1, rng=np.random.default_rng(3))
    w1, b1, w2, b2, w3, b3 = (torch.from_numpy(p.data) for p in ours.parameters())
    hidden = F.max_pool2d(
        F.conv2d(torch.from_numpy(pixels), w1, b1, padding=1).relu(), 2
    )
    theirs = F.linear(
        F.max_pool2d(F.conv2d(hidden, w2, b2, padding=1).relu(), 2).flatten(1), w3, b3
    )
    print("   ours:   make_cnn(8, padding=1)(digits)")
    print(
        "   theirs: F.conv2d, relu, F.max_pool2d, twice, flatten(1), F.linear, with "
        "the same weights"
    )
    print(
        "   largest difference of the class scores: "
        f"{np.abs(ours(digits).data - theirs.numpy()).max():.0e}"
    )
    columns = F.unfold(torch.from_numpy(pixels), 3, padding=1).numpy()
    print(
        "   im2col equals F.unfold: "
        f"{np.array_equal(kata.im2col(pixels, 3, padding=1), columns)}"
    )
    pytorch_source(
        "torch.nn.modules.conv",
        "Conv2d._conv_forward",
        start="return F.conv2d(\n",
        lines=20,
    )

# 9. The figure: what sixteen kernels see, and what the columns cost. (conv_scaling is a
#    stretch exercise.)
sizes = [3, 5, 7, 9, 11]
scaling = stretch(kata.conv_scaling, sizes)
if scaling:
    print(
        "\n"
        f"9. Memory of im2col over K: exponent {scaling['exponent']:.2f}, predicted "
        "about 2"
    )


def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5.6))
    figure.set_layout_engine("constrained", wspace=0.1)
    above, below = figure.subplots(2)
    maps = relu(
        kata.Conv2d(1, 16, 3, padding=1, rng=np.random.default_rng(1))(digits)
    ).data[3]
    # the digit twice as large, and 4 × 4 maps of 8 × 8 with gaps of one pixel
    mosaic = np.full((35, 53), np.nan)
    mosaic[9:25, :16] = pixels[3, 0].repeat(2, 0).repeat(2, 1)
    for number, features in enumerate(maps):
        row, column = 9 * (number // 4), 18 + 9 * (number % 4)
        mosaic[row : row + 8, column : column + 8] = features / maps.max()
    above.imshow(mosaic)
    above.axis("off")
    above.set_title("A digit, and what sixteen untrained kernels see")
    values = scaling["values"] if scaling else [4 * 3 * 24**2 * 4 * k**2 for k in sizes]
    below.plot(sizes, [value / 1e6 for value in values], "o-", color=COLOURS[0])
    below.set_xticks(sizes)
    title = "Columns cost K² times the images" + (
        "" if scaling else "\n(predicted; conv_scaling is not written yet)"
    )
    below.set(
        title=title,
        xlabel="kernel size K",
        ylabel="peak memory of im2col (MB)",
        ylim=(0, None),
    )
    return figure


save_figure(draw(), __file__)
