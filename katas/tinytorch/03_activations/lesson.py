"""Kata tinytorch/03 in code: the three activations, why XOR needs one, and the memory
that broadcasting takes.
"""

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, pytorch_source, save_figure, stretch

kata = code(__file__)  # chooses the modules that the following lines import

from tinytorch.setup import profile_memory  # noqa: E402
from tinytorch.tensor import Tensor  # noqa: E402

np.set_printoptions(precision=3, suppress=True)

# 1. The three activations on a few numbers. The slope of sigmoid is σ(1 - σ): gradients
#    are multiplied by it.
x = Tensor([-10.0, -2.0, -0.5, 0.0, 0.5, 2.0, 10.0])
squashed = kata.sigmoid(x).data

print("1. Three activations")
for name, values in {
    "x": x.data,
    "relu": kata.relu(x).data,
    "sigmoid": squashed,
    "tanh": kata.tanh(x).data,
}.items():
    print(f"{name:<8}", *(f"{value:8.3f}" for value in values))
print("slope σ'", *(f"{value:8.5f}" for value in squashed * (1 - squashed)))

# 2. The best straight line for AND, and for XOR. A score above a half counts as a yes.
AND_Y = np.array([0.0, 0.0, 0.0, 1.0])
print("\n2. The best line")
for name, targets in {"AND": AND_Y, "XOR": kata.XOR_Y}.items():
    fit = kata.best_linear_fit(kata.XOR_X, targets)
    weight = np.round(fit["weight"], 3) + 0.0  # + 0.0 makes 0 of -0
    print(
        f"{name}: weights {weight}, bias {fit['bias']:.3f}, mean squared error "
        f"{fit['mse']:.4f}"
    )
    print(f"     scores of 00, 01, 10, 11: {fit['predictions']}")
print("The line for XOR says a half everywhere. Guessing does as well.")

# 3. Other lines do not help. Whatever the weights, the two sums are equal; to separate
#    XOR, the second would have to be positive and the first not.
print("\n3. Attempts with a line")
print("  w1    w2     b   s00 + s11   s01 + s10   wrong at")
for w1, w2, b in ((1, 1, -0.5), (-1, -1, 1.5), (1, -1, 0), (5, 7, -6)):
    proof = kata.xor_contradiction(w1, w2, b)
    print(
        f"{w1:4} {w2:5} {b:5} {proof['same_sum']:11} {proof['different_sum']:11}   "
        f"{proof['wrong']}"
    )

# 4. Two linear layers are one. With relu between them they are not.
rng = np.random.default_rng(0)
W1, b1, W2, b2 = (
    rng.normal(size=(5, 3)),
    rng.normal(size=5),
    rng.normal(size=(2, 5)),
    rng.normal(size=2),
)
W, b = kata.collapse_linear(W1, b1, W2, b2)
points = rng.normal(size=(1000, 3))
hidden = points @ W1.T + b1
one = points @ W.T + b
straight = hidden @ W2.T + b2
bent = kata.relu(Tensor(hidden)).data @ W2.T + b2

print("\n4. Two layers and one, on 1,000 points: the largest difference")
print(f"without an activation: {np.abs(straight - one).max():.1e}")
print(f"with relu between:     {np.abs(bent - one).max():.1e}")

# 5. XOR by hand: what the hidden units say, and the output, with relu and without.
W1, b1, W2, b2 = kata.xor_by_hand()
print(f"\n5. XOR with {len(W1)} hidden units")
for point in kata.XOR_X:
    units = W1 @ point + b1
    bent = kata.relu(Tensor(units)).data
    output, straight = W2 @ bent + b2, W2 @ units + b2
    print(
        f"{point}: hidden units {bent}, output {output[0]:.0f}; without relu "
        f"{straight[0]:.0f}"
    )

# 6. Broadcasting. The prediction counts the arrays themselves; the measurement is the
#    peak of the addition.
print("\n6. A column plus a row, float32")
for n in (512, 1024, 2048):
    cost = stretch(kata.broadcast_cost, (n, 1), (n,))
    if cost is None:
        break
    column, row = (
        Tensor(np.ones((n, 1), dtype=np.float32)),
        Tensor(np.ones(n, dtype=np.float32)),
    )
    peak = profile_memory(lambda a, b: a + b, column, row).peak_bytes
    print(
        f"n = {n:5}: {cost['input_bytes']:6,} bytes in, {cost['output_bytes']:10,} out "
        f"(measured {peak:10,}), {cost['expansion']:.0f} times as much"
    )
scaling = stretch(kata.broadcast_scaling, [512, 1024, 2048])
if scaling:
    print(f"exponent of the measured bytes: {scaling['exponent']:.3f}, predicted 2")
    print("The bytes above the prediction are a buffer of NumPy, 64 KiB at every n.")
    print("100 times the n: 100 times the inputs, 10,000 times the result.")

# 7. What a chain of layers keeps: one output per layer.
print("\n7. Outputs that are kept, float32, shape (64, 256)")


def chain(x: Tensor, layers: int) -> list[Tensor]:
    outputs = []
    for _ in range(layers):
        x = kata.relu(x)
        outputs.append(x)
    return outputs


for layers in (1, 4, 16):
    predicted = stretch(kata.predict_activation_bytes, (64, 256), hidden_layers=layers)
    if predicted is None:
        break
    kept = profile_memory(
        chain, Tensor(np.ones((64, 256), dtype=np.float32)), layers
    ).retained_bytes
    print(f"{layers:3} layers: {predicted:10,} bytes predicted, {kept:10,} measured")

# 8. PyTorch has the same functions, and layers around them.
print("\n8. PyTorch does it so")
try:
    import torch
except ImportError:
    print("   (torch is not installed: no comparison)")
else:
    numbers = np.linspace(-30, 30, 1001)
    for name in ("relu", "sigmoid", "tanh"):
        ours = getattr(kata, name)(Tensor(numbers)).data
        theirs = getattr(torch, name)(torch.from_numpy(numbers)).numpy()
        print(
            f"   kata.{name}(x) and torch.{name}(x): largest difference "
            f"{np.abs(ours - theirs).max():.1e}"
        )
    pytorch_source("torch.nn.modules.activation", "ReLU.forward")
    overwritten = torch.tensor([-1.0, 2.0])
    torch.nn.ReLU(inplace=True)(overwritten)
    print("   after nn.ReLU(inplace=True) the input [-1, 2] is", overwritten.tolist())


# 9. The figure: what the best line and the network say between the four points.
def draw() -> Figure:
    side = np.linspace(-0.25, 1.25, 121)
    grid = np.stack(np.meshgrid(side, side), axis=-1)  # (121, 121, 2)
    fit = kata.best_linear_fit(kata.XOR_X, kata.XOR_Y)
    line = grid @ fit["weight"] + fit["bias"]
    W1, b1, W2, b2 = kata.xor_by_hand()
    network = (np.maximum(grid @ W1.T + b1, 0) @ W2.T + b2)[..., 0]
    figure = Figure(figsize=(6.6, 5.6))
    above, below = figure.subplots(2)
    titles = {
        "The best line: one half everywhere": line,
        f"A ReLU network with {len(W1)} hidden units": network,
    }
    for axes, (title, scores) in zip((above, below), titles.items()):
        image = axes.pcolormesh(side, side, scores, vmin=0, vmax=1, shading="gouraud")
        for point, target in zip(kata.XOR_X, kata.XOR_Y[:, 0]):
            axes.plot(
                *point,
                "o",
                color=COLOURS[1] if target else "white",
                markersize=16,
                markeredgecolor="black",
            )
            axes.text(*point, f"{target:.0f}", ha="center", va="center_baseline")
        axes.set(
            title=title,
            xlabel="first input",
            ylabel="second input",
            aspect="equal",
            xticks=[0, 1],
            yticks=[0, 1],
        )
    figure.colorbar(image, ax=[above, below], label="score; in the circles: XOR")
    return figure


save_figure(draw(), __file__)
