"""Paper kata 26 in code: losses, neighbours, hand gradients and their checks, spirals,
bars, and saliency.
"""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# Two samples with three scores each, both of class 0. In the first one, class 0 leads
# by 2 and by 4: with a margin of 1 that costs nothing. In the second it is behind by 1
# and by 3, so the terms are 2 and 4, and the mean should be 3. With a margin of 3 the
# first sample pays 1 and the second 4 + 6: the mean should be 5.5.
heading("2. Recap of the NumPy view")
leads = np.array([[5.0, 3.0, 1.0], [2.0, 3.0, 5.0]])
for margin in (1.0, 3.0):
    found = stretch(kata.svm_loss_numpy, leads, np.array([0, 0]), margin)
    if found is not None:
        print(f"   hinge loss with margin {margin:g}: {float(found):g}")

# Nearest neighbours need no training. Five points on a line are of class 1, 0, 0, 0, 1,
# and the place 0.4 asks. The nearest one says 1, and the vote should change with k: 1,
# then 0 (a tie), then 0.
line, classes = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]]), np.array([1, 0, 0, 0, 1])
votes = [
    stretch(kata.knn_predict_numpy, line, classes, np.array([[0.4]]), k)
    for k in (1, 2, 3)
]
if votes[0] is not None:
    print(f"   votes at 0.4 for k = 1, 2, 3: {[int(vote[0]) for vote in votes]}")

# 3. Data
#
# Two small worlds. Points on three spirals: no straight line separates them. Images of
# bars: the class is the direction of the bar, and its place is random. Both have a
# second set, which no model sees in training.
heading("3. Data")
generator = torch.Generator().manual_seed(0)
(x, y), (fresh_x, fresh_y) = (
    kata.make_spirals(100, generator=generator) for _ in range(2)
)
(bars, kinds), (fresh_bars, fresh_kinds) = (
    kata.make_bars(count, generator=generator) for count in (600, 1000)
)
print(f"   spirals {tuple(x.shape)}, bars {tuple(bars.shape)}")
for row in (20, 120, 220):
    print(f"   point ({x[row, 0]:5.2f}, {x[row, 1]:5.2f}), class {y[row]}")
KINDS = ("horizontal", "vertical", "diagonal")
# one image of each kind
three = [int((fresh_kinds == kind).nonzero()[0]) for kind in range(3)]
for rows in zip(*(fresh_bars[i, 0] for i in three), strict=True):
    print(
        "   "
        + "      ".join(
            "".join(" ░▒▓█"[min(4, max(0, int(4 * pixel + 0.5)))] for pixel in row)
            for row in rows
        )
    )
print("   " + "  ".join(f"{kind:<12}" for kind in KINDS))

# 4. Model
#
# A linear model has one weight per input and class. The two-layer net puts 64 bent
# units in between.
heading("4. Model")
linear, net = nn.Linear(2, 3), kata.TwoLayerNet(2, 64, 3)
print("   TwoLayerNet.forward:")
shown_code(kata.TwoLayerNet.forward)
for name, model in (("linear", linear), ("two layers", net)):
    count = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"   {name:<10}: {tuple(x.shape)} → {tuple(model(x).shape)}, {count} parameters"
    )

# A convolution is windows times weights. One kernel, a short horizontal bar, slides
# over an image of each kind. Its strongest response should be near 3 for the horizontal
# bar. The others cover one pixel of it, so there it should be near 1, plus what the
# noise of two pixels adds at the best of 64 places.
kernel = torch.zeros(1, 1, 3, 3)
kernel[0, 0, 1] = 1.0
maps = stretch(kata.conv2d, fresh_bars[three], kernel, padding=1)
if maps is not None:
    print(f"   conv2d: {tuple(fresh_bars[three].shape)} → {tuple(maps.shape)}")
    print(
        "   strongest response: "
        f"{[round(response, 2) for response in maps.amax(dim=(1, 2, 3)).tolist()]}"
    )
bar_net = stretch(kata.BarNet, 8)
if bar_net is not None:
    count = sum(parameter.numel() for parameter in bar_net.parameters())
    print(
        f"   BarNet: {tuple(bars.shape)} → {tuple(bar_net(bars).shape)}, {count} "
        "parameters"
    )

# 5. Training loop
#
# Before any training: are the hand gradients right? Two other ways are to agree with
# them, both on the loss below in float64. Autograd should differ by the rounding of
# float32, about 1e-8. Central differences know nothing of calculus: they ask for the
# loss twice per number, and should differ from autograd by about 1e-10.
heading("5. Training loop")


def loss_of(w, x, y, kind):
    """The loss of a TwoLayerNet with parameters w, in float64, with reg = 0.1."""
    scores = (x.double() @ w["W1"] + w["b1"]).relu() @ w["W2"] + w["b2"]
    right = scores[torch.arange(len(y)), y]
    if kind == "softmax":
        data = (scores.logsumexp(dim=1) - right).mean()
    else:
        # the right classes add 1
        data = (scores - right[:, None] + 1).relu().sum() / len(y) - 1
    return data + 0.05 * (w["W1"].square().sum() + w["W2"].square().sum())


def gaps(few_x, few_y, kind):
    """Per parameter: by hand against autograd, and autograd against
    central differences.
    """
    small = kata.TwoLayerNet(2, 10, 3)
    by_hand = small.loss_and_gradients(few_x, few_y, 0.1, kind)[1]
    w = {
        name: parameter.detach().double().requires_grad_()
        for name, parameter in small.named_parameters()
    }
    for name, automatic in zip(
        w,
        torch.autograd.grad(loss_of(w, few_x, few_y, kind), list(w.values())),
        strict=True,
    ):
        fixed = {other: parameter.detach() for other, parameter in w.items()}
        numeric = kata.numerical_gradient(
            lambda moved, name=name, fixed=fixed: loss_of(
                fixed | {name: moved}, few_x, few_y, kind
            ),
            fixed[name].clone(),
        )
        yield (
            name,
            (by_hand[name] - automatic).abs().max().item(),
            (numeric - automatic).abs().max().item(),
        )


for kind in ("softmax", "svm"):
    for name, hand, differences in gaps(x[7::15], y[7::15], kind):
        print(
            f"   {kind:<8}{name}: autograd differs by {hand:.0e} from hand, "
            f"{differences:.0e} from differences"
        )

# The same with 20 other points, one of which is the origin (0, 0), where a spiral
# begins. Biases start at 0, so this point meets every relu exactly at its kink. There a
# step up and a step down see two different slopes, and the check should fail for b1,
# and only there: not because the gradient is wrong.
for name, hand, differences in gaps(x[::15], y[::15], "softmax"):
    print(
        f"   with the origin, {name}: autograd differs by {hand:.0e} from hand, "
        f"{differences:.0e} from differences"
    )

# The loop, for both models on all 300 points per step. The loss is written as log
# probabilities here, one level lower than you write it. The learning rates are those of
# the recipe.
models = {"linear": (linear, 0.1, 200), "two layers": (net, 0.02, 400)}
losses = {name: [] for name in models}
everyone = torch.arange(len(y))
for name, (model, lr, steps) in models.items():
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for step in range(steps):
        loss = -model(x).log_softmax(dim=1)[everyone, y].mean()
        model.zero_grad()
        loss.backward()
        losses[name].append(loss.item())
        if step == 0 and model is net:
            by_hand = net.loss_and_gradients(x, y)[1]
            for label, parameter in net.named_parameters():
                norms = parameter.grad.norm().item(), by_hand[label].norm().item()
                print(
                    f"   {label} {str(tuple(parameter.shape)):<8} norm "
                    f"{norms[0]:.4f}, by hand {norms[1]:.4f}"
                )
            before = net.W1[0, 0].item()
        optimizer.step()
        if step == 0 and model is net:
            print(
                f"   W1[0, 0] before and after the first step: {before:.4f} → "
                f"{net.W1[0, 0].item():.4f}"
            )

# The loss as it falls. The first one should be near ln 3 = 1.10.
print("   step        linear   two layers")
for step in (0, 10, 50, 100, 199, 399):
    shown = [
        f"{curve[step]:10.3f}" if step < len(curve) else " " * 10
        for curve in losses.values()
    ]
    print(f"   {step:>4}    {shown[0]} {shown[1]:>12}")

# The hand gradients train a net by themselves. Plain gradient descent takes a step
# against the gradient. With momentum the steps add up: nine tenths of the last one are
# taken again, so in a steady direction they grow to ten times the learning rate. Three
# runs from one start: momentum should be ahead of plain descent at the same rate. Ten
# times the rate should come near, as this loss has no steep direction that forbids it.
start = {
    name: parameter.detach().clone()
    for name, parameter in kata.TwoLayerNet(2, 64, 3).named_parameters()
}
for lr, share in ((0.3, 0.0), (0.3, 0.9), (3.0, 0.0)):
    student = kata.TwoLayerNet(2, 64, 3)
    student.load_state_dict(start)
    velocity = {name: torch.zeros_like(value) for name, value in start.items()}
    for _ in range(400):
        value, gradients = student.loss_and_gradients(x, y)
        with torch.no_grad():
            for name, parameter in student.named_parameters():
                velocity[name] = share * velocity[name] - lr * gradients[name]
                parameter += velocity[name]
    print(
        f"   400 steps by hand, lr {lr:g}, momentum {share:g}: loss {value.item():.3f}"
    )

# A max pool by hand, on the images of step 4. All of a window's gradient goes to the
# pixel that won, so of the four pixels of a window one gets it: a quarter of the
# gradient's numbers are not 0. PyTorch's layer should agree.
upstream = torch.ones(3, 1, 4, 4)
pooling = stretch(kata.max_pool2d, fresh_bars[three], 2, upstream)
if pooling is not None:
    leaf = fresh_bars[three].clone().requires_grad_()
    nn.functional.max_pool2d(leaf, 2).backward(upstream)
    share, gap = (pooling[1] != 0).float().mean(), (pooling[1] - leaf.grad).abs().max()
    print(
        f"   max pool: {tuple(leaf.shape)} → {tuple(pooling[0].shape)}, {share:.0%} "
        "of the pixels have a gradient;",
        end=" ",
    )
    print(f"difference to autograd {gap:.0e}")


# 6. Evaluation and figure
#
# The key result: on fresh points the linear model should stay near one half, and the
# net should be right nearly always. So should a few neighbours. With 99 of them, whole
# arms of the other classes take part in the vote.
heading("6. Evaluation and figure")
for name, (model, _, _) in models.items():
    shares = kata.accuracy(model, x, y), kata.accuracy(model, fresh_x, fresh_y)
    print(
        f"   spirals, {name:<10}: {shares[0]:.3f} of the training points, "
        f"{shares[1]:.3f} of fresh ones"
    )
points = [
    part.double().numpy() if part.is_floating_point() else part.numpy()
    for part in (x, y, fresh_x, fresh_y)
]
for k in (1, 5, 99):
    found = stretch(kata.knn_predict_numpy, *points[:3], k)
    if found is not None:
        print(
            f"   spirals, {k:>2} nearest: {(found == points[3]).mean():.3f} of fresh "
            "points"
        )

# A second check before long training: 20 points can be learned by heart. A net that
# cannot do that has a bug.
torch.manual_seed(0)
student = kata.TwoLayerNet(2, 64, 3)
curve = stretch(kata.train_classifier, student, x[::15], y[::15], steps=400, lr=0.02)
if curve is not None:
    print(
        f"   20 points: loss {curve[0]:.2f} → {curve[-1]:.4f}, accuracy "
        f"{kata.accuracy(student, x[::15], y[::15]):.1f}"
    )

# The bars. In a linear model every pixel has a weight of its own, and each pixel is
# part of bars of every direction: better than guessing, 0.33, but not by much. BarNet
# looks for patterns in small windows, at all places at once.
flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
recipe = {"steps": 200, "lr": 0.02, "batch_size": 64, "generator": generator}
for name, model in (("linear", flat), ("BarNet", bar_net)):
    if (
        model is not None
        and stretch(kata.train_classifier, model, bars, kinds, **recipe) is not None
    ):
        count = sum(parameter.numel() for parameter in model.parameters())
        share = kata.accuracy(model, fresh_bars, fresh_kinds)
        print(
            f"   bars, {name:<6} with {count} parameters: {share:.3f} of fresh images"
        )

# Does BarNet look at the bar? Bars are pixels of value 1, which is rare in noise. If
# saliency were spread evenly, the bar would get the 6 % that its pixels are of
# the image.
saliency = None
if bar_net is not None:
    saliency = stretch(kata.saliency_map, bar_net, fresh_bars.clone(), fresh_kinds)
if saliency is not None:
    on_bar = fresh_bars[:, 0] == 1
    near = (
        nn.functional.max_pool2d(on_bar[:, None].float(), 3, stride=1, padding=1)[:, 0]
        > 0
    )
    for name, place in (("the bar", on_bar), ("the bar and its neighbours", near)):
        share = (saliency * place).sum() / saliency.sum()
        print(
            f"   {share:.0%} of the saliency is on {name}, which is "
            f"{place.float().mean():.0%} of the pixels"
        )

# The figure: the regions of the four classifiers on the spirals, with the training
# points, and three bars above the pixels that their scores depend on.
SIDE = 70
steps = torch.linspace(-1.15, 1.15, SIDE)
grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).flatten(0, 1)
with torch.no_grad():
    regions = {
        "linear model": linear(grid).argmax(dim=1).numpy(),
        "64 hidden units": net(grid).argmax(dim=1).numpy(),
        "nearest neighbour": stretch(
            kata.knn_predict_numpy, *points[:2], grid.double().numpy(), 1
        ),
        "99 neighbours": stretch(
            kata.knn_predict_numpy, *points[:2], grid.double().numpy(), 99
        ),
    }
figure = Figure(figsize=(6.6, 9.6))
above, below = figure.subfigures(2, height_ratios=(1.2, 1))
planes, pictures = above.subplots(2, 2), below.subplots(2, 3)
for place, (name, region) in enumerate(regions.items()):
    axis = planes.flat[place]
    for kind in range(3):
        if region is not None:
            inside = (region.reshape(SIDE, SIDE) == kind).astype(float)
            axis.contourf(
                steps,
                steps,
                inside,
                levels=[0.5, 1.5],
                colors=[COLOURS[kind]],
                alpha=0.3,
            )
        axis.scatter(*x[y == kind].T.numpy(), s=4, color=COLOURS[kind])
    axis.set(
        title=name,
        aspect="equal",
        xlabel="$x_1$",
        ylabel="$x_2$",
        xticks=[-1, 0, 1],
        yticks=[-1, 0, 1],
    )
for place, image in enumerate(three):
    shown, depends = pictures[:, place]
    shown.imshow(fresh_bars[image, 0], vmin=-0.5, vmax=1)
    shown.set(title=f"{KINDS[place]} bar")
    if saliency is not None:
        depends.imshow(saliency[image].detach())
    depends.set(title="its score depends on")
    for axis in (shown, depends):
        axis.set(xticks=[], yticks=[], xlabel="column", ylabel="row")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The hinge loss of the trained net on fresh points, in NumPy and in PyTorch. The
# nearest neighbours have no partner in PyTorch: there is nothing to differentiate in
# a vote.
heading("7. NumPy against PyTorch")
trained = net(fresh_x).detach()
value, gradient = kata.svm_loss(trained, fresh_y)
theirs = stretch(kata.svm_loss_numpy, trained.double().numpy(), fresh_y.numpy())
if theirs is not None:
    print(
        f"   NumPy {float(theirs):.6f}, PyTorch {value.item():.6f}, difference "
        f"{abs(float(theirs) - value.item()):.0e}"
    )

# In NumPy a gradient costs paper, or two calls per number. One call of backward gives
# all of it for free: here for the 900 scores of the hinge loss, beside your own.
scores = trained.clone().requires_grad_()
(
    (scores - scores[everyone, fresh_y][:, None] + 1).relu().sum() / len(fresh_y)
).backward()
print(
    f"   gradient of {scores.numel()} scores, largest difference: "
    f"{(scores.grad - gradient).abs().max():.0e}"
)
print(
    f"   scores with a slope: {(gradient != 0).float().mean():.0%}, where "
    f"cross-entropy has {1:.0%}"
)
print(
    f"   a guess costs ln 3 = {math.log(3):.2f} by cross-entropy, and 2 by the hinge "
    "loss with margin 1"
)

# Autograd replaced the paper, `nn.Module` the dictionary of weights, and `F.conv2d` the
# windows. What remains by hand is to check: the loss at the start, a few points by
# heart, and the gradient of whatever you derive yourself.
