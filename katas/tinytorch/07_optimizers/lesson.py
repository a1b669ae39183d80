"""TinyTorch 07 in code: one step by hand, four learning rates on a bowl, gradients that
add up, the cost of a step.
"""

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, pytorch_source, save_figure, stretch

kata = code(__file__)

# the modules that stand beside the loaded one
from tinytorch.layers import Parameter  # noqa: E402

np.set_printoptions(suppress=True, precision=3)

# 1. One step by hand: w ← w − lr · gradient. The loss w² has the gradient 2w.
heading("1. One step")
w = Parameter(np.array([3.0, -1.0]))
optimizer = kata.SGD([w], lr=0.1)
(w * w).sum().backward()
print(
    f"   w {w.data}, gradient {w.grad}, predicted w − 0.1 · gradient = "
    f"{w.data - 0.1 * w.grad}"
)
optimizer.step()
print(f"   w after the step {w.data}")

# 2. On the bowl ½ Σ cᵢ xᵢ² one step multiplies xᵢ by 1 − lr · cᵢ. With curvatures 1 and
#    10 the two directions want different learning rates, and there is only one.
curvatures, start = [1.0, 10.0], [-9.0, 1.6]
heading("2. Factors per step on a bowl with curvatures 1 and 10")
print(
    "      lr   flat direction   steep direction   after 40 steps, predicted and "
    "measured"
)
lrs = [0.01, 0.1, 0.18, 0.205]
verdicts = kata.lr_sweep(curvatures, start, lrs, 40)
for lr in lrs:
    factors = 1 - lr * np.array(curvatures)
    predicted = start * factors**40
    measured = kata.descend_quadratic(curvatures, start, lr, 40)["points"][-1]
    print(
        f"   {lr:>5} {factors[0]:>16.3f} {factors[1]:>17.3f}   {predicted} {measured} "
        f"{verdicts[lr]}"
    )

# 3. The limit: 2 over the largest curvature. Close below it everything converges, close
#    above nothing does.
limit = kata.max_stable_lr(curvatures)
heading(f"3. The limit is 2 / 10 = {limit}")
for lr in (0.98 * limit, 1.02 * limit):
    print(f"   lr {lr:.3f}: {kata.lr_sweep(curvatures, start, [lr], 200)[lr]}")

# 4. Gradients add up: backward adds to what is there. (A stretch exercise.)
heading("4. Three passes of the loss Σ w² at w = (1, 2), whose gradient is (2, 4)")
p = Parameter(np.array([1.0, 2.0]))
report = stretch(kata.accumulation_report, p, lambda: (p * p).sum(), 3)
for name, gradients in (report or {}).items():
    print(f"   {name:<12}", *gradients)

# 5. The cost of a step, for a layer of 784 × 128 weights. (Stretch exercises.)
heading("5. One step costs")
layer = [
    Parameter(np.zeros((784, 128), np.float32)),
    Parameter(np.zeros(128, np.float32)),
]
cost = stretch(kata.update_cost, layer)
for name, number in (cost or {}).items():
    print(f"   {name:<15} {number:>9,}")
sizes = [10_000, 20_000, 40_000]
scaling = stretch(kata.step_scaling, sizes)
if scaling:
    print(
        f"   peak of a step on n float64 numbers, n = {sizes}: predicted "
        f"{[8 * n for n in sizes]}"
    )
    print(f"   measured {scaling['values']}, exponent {scaling['exponent']:.2f}")

# 6. The same ten steps in PyTorch.
heading("6. PyTorch does it so")
try:
    import torch
except ImportError:
    print("   (PyTorch is not installed here)")
else:
    ours = Parameter(np.array(start))
    theirs = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    sgd, oracle = kata.SGD([ours], lr=0.1), torch.optim.SGD([theirs], lr=0.1)
    for _ in range(10):
        sgd.zero_grad()
        oracle.zero_grad()
        (0.5 * np.array(curvatures) * ours * ours).sum().backward()
        (0.5 * torch.tensor(curvatures) * theirs * theirs).sum().backward()
        sgd.step()
        oracle.step()
    print(
        f"   after ten steps: ours {ours.data}, torch.optim.SGD "
        f"{theirs.detach().numpy()}"
    )
    pytorch_source(
        "torch.optim.sgd",
        "_single_tensor_sgd",
        start="if isinstance(lr, Tensor):",
        lines=8,
    )


# 7. The figure: four learning rates on the bowl.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 5))
    horizontal, vertical = np.meshgrid(
        np.linspace(-10.5, 4, 80), np.linspace(-2.9, 2.9, 80)
    )
    loss = 0.5 * (curvatures[0] * horizontal**2 + curvatures[1] * vertical**2)
    titles = [
        "too small: it crawls",
        "straight down the steep side",
        "zigzag, and fast",
        "above 2/10: it diverges",
    ]
    for axes, lr, title, colour in zip(
        figure.subplots(2, 2, sharex=True, sharey=True).flat, lrs, titles, COLOURS
    ):
        points = kata.descend_quadratic(curvatures, start, lr, 20)["points"]
        axes.contour(
            horizontal,
            vertical,
            loss,
            levels=[0.5, 2, 6, 14, 26, 42],
            colors="#bbbbbb",
            linewidths=0.8,
        )
        axes.plot(*points.T, "o-", markersize=3, linewidth=1.2, color=colour)
        axes.plot(0, 0, "+", color=COLOURS[6], markersize=9)
        axes.set(title=f"lr {lr}: {title}", xlim=(-10.5, 4), ylim=(-2.9, 2.9))
    figure.supxlabel("x₁, curvature 1")
    figure.supylabel("x₂, curvature 10")
    return figure


save_figure(draw(), __file__)
