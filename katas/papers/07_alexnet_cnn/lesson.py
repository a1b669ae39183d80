"""Paper 07 in code: convolution, response normalisation, shifted digits, two nets, and
views that are averaged.
"""

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import nn

from grader.datasets import digits
from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another


def drawn(images):
    """Print images (B, 1, H, W) of the same height side by side, as characters."""
    for line in range(images.shape[2]):
        rows = (
            "".join(" .:*#"[int(4 * pixel)] for pixel in image[0, line].tolist())
            for image in images
        )
        print("   |" + "|  |".join(rows) + "|")


# 2. Recap of the NumPy view
#
# A convolution puts a small kernel on every window of an image and writes down one
# weighted sum per window. The image below is dark on the left and bright on the right.
# The kernel −1 1 compares a pixel with its left neighbour, so it should answer at the
# edge only. Its output has one column less, because the last pixel has no
# right neighbour.
heading("2. Recap of the NumPy view")
image = np.repeat([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]], 3, axis=0)[None, None]
kernel = np.array([[[[-1.0, 1.0]]]])
edges = stretch(kata.conv2d_numpy, image, kernel)
if edges is not None:
    print("row of the image: ", image[0, 0, 0])
    print("row of the output:", edges[0, 0, 0])

# Size, stride and padding decide the output's size: (size + 2 · padding − kernel) //
# stride + 1. The last line has the numbers of AlexNet's first layer, with one channel
# in place of three.
for size, kernel_size, stride, padding in ((8, 3, 1, 1), (8, 3, 2, 0), (227, 11, 4, 0)):
    predicted = (size + 2 * padding - kernel_size) // stride + 1
    arrays = np.ones((1, 1, size, size)), np.ones((2, 1, kernel_size, kernel_size))
    out = stretch(kata.conv2d_numpy, *arrays, stride=stride, padding=padding)
    measured = "" if out is None else f", measured {out.shape[2]}"
    print(
        f"size {size}, kernel {kernel_size}, stride {stride}, padding {padding}: "
        f"predicted {predicted}{measured}"
    )

# 3. Data
#
# The data are 1797 handwritten digits of 8×8 pixels, all well centred: 1200 for
# training and 597 for testing. The second row below holds the same digits, each moved
# by up to two pixels. What leaves the image is lost.
heading("3. Data")
order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
x, y = (part[order] for part in digits())
x_train, y_train, x_test, y_test = x[:1200], y[:1200], x[1200:], y[1200:]
shifted_test = kata.random_shift(x_test, 2, generator=torch.Generator().manual_seed(0))
print(
    f"training {tuple(x_train.shape)}, test {tuple(x_test.shape)}; three samples with "
    f"labels {y_test[:3].tolist()}:"
)
drawn(x_test[:3])
print("the same, shifted:")
drawn(shifted_test[:3])
print(
    f"share of the ink that is left: {(shifted_test.sum() / x_test.sum()).item():.0%}"
)

# 4. Model
#
# Response normalisation first. At one pixel, five channels are at rest and one is
# active. A channel's window reaches two channels to each side, so four neighbours of
# the active one should shrink, and the two far away should not.
heading("4. Model")
for active in (1.0, 20.0):
    pixel = torch.ones(7)
    pixel[4] = active
    normed = kata.local_response_norm(pixel.view(1, 7, 1, 1), 5, 0.02, 0.75, 1.0)
    print(
        f"channel 4 at {active:4.1f}: all channels become",
        normed.flatten().numpy().round(2),
    )

# The net is AlexNet's sequence in small. Dropout is on only in training; pooling
# windows of 3 pixels that are 2 apart overlap by one. The code below is the one that
# runs here: your own where the core of the kata works.
shown_code(kata.MiniAlexNet.forward)
torch.manual_seed(0)
nets = {0: kata.MiniAlexNet(dropout=0.2)}
torch.manual_seed(0)
nets[2] = kata.MiniAlexNet(dropout=0.2)  # the same start


def shapes_of(layer, inputs, output):
    print(
        f"   {type(layer).__name__:13} {str(tuple(inputs[0].shape)):15} → "
        f"{tuple(output.shape)}"
    )


hooks = [
    m.register_forward_hook(shapes_of)
    for m in nets[0].modules()
    if not list(m.children())
]
with torch.no_grad():
    nets[0](x_test[:3])
for hook in hooks:
    hook.remove()
print(
    f"{sum(p.numel() for p in nets[0].parameters()):,} parameters; AlexNet has 60 "
    "million"
)

# 5. Training loop
#
# The trainer's body, one level lower than you write it: batches are slices of a
# shuffled list of all images, the loss is minus the log probability of the right digit.
# Two nets with the same start are trained. The first sees plain digits, the second each
# batch moved by up to two pixels. An untrained net that guesses evenly would have a
# loss of ln 10 = 2.30; Kaiming-normal weights in the last layer make it bolder than
# that, and so a little worse.
heading("5. Training loop")
STEPS, BATCH = 200, 64
losses = {}
for shift, net in nets.items():
    draws = torch.Generator().manual_seed(0)
    adamw = torch.optim.AdamW(net.parameters(), lr=0.003, weight_decay=1e-4)
    queue, losses[shift] = torch.empty(0, dtype=torch.int64), []
    for step in range(STEPS):
        if len(queue) < BATCH:
            queue = torch.randperm(len(x_train), generator=draws)
        picked, queue = queue.split([BATCH, len(queue) - BATCH])
        seen = x_train[picked]
        if shift:
            seen = kata.random_shift(seen, shift, draws)
        surprise = -net(seen).log_softmax(dim=1)[torch.arange(BATCH), y_train[picked]]
        adamw.zero_grad()
        surprise.mean().backward()
        first = next(net.parameters())
        before = first[0, 0, 0, 0].item()
        if step == 0 and shift == 0:
            for name, p in net.named_parameters():
                print(
                    f"gradient of {name:<20} {str(tuple(p.grad.shape)):<15} norm "
                    f"{p.grad.norm().item():.3f}"
                )
        adamw.step()
        losses[shift].append(surprise.mean().item())
        if step == 0 and shift == 0:
            print(
                f"one weight before and after the first step: {before:.4f} → "
                f"{first[0, 0, 0, 0].item():.4f}"
            )

# AdamW's first step has about the length of the learning rate, 0.003. Shifted digits
# are harder to learn: there are 25 versions of each, and some have lost a stroke.
for step in (0, 10, 25, 50, 100, 199):
    print(
        f"loss of step {step:>3}: plain {losses[0][step]:.3f}, shifted "
        f"{losses[2][step]:.3f}"
    )

# 6. Evaluation and figure
#
# Prediction: both nets know digits, and only the second one knows that digits move. On
# the shifted test set the first should lose most of its accuracy.
heading("6. Evaluation and figure")
names = {0: "trained on plain digits", 2: "trained on shifted digits"}
rates = {
    shift: [kata.accuracy(net, part, y_test) for part in (x_test, shifted_test)]
    for shift, net in nets.items()
}
for shift, (plain, moved) in rates.items():
    print(f"{names[shift]:25}: test {plain:.1%}, shifted test {moved:.1%}")
print(f"gain on the shifted test set: {100 * (rates[2][1] - rates[0][1]):.0f} points")

# The paper also averages the predictions for several views of a test image. One view
# may show the digit where the net expects it. This helps a little, and costs
# five passes.
for shift, net in nets.items():
    chances = stretch(kata.predict_averaged, net, shifted_test)
    if chances is not None:
        right = (chances.argmax(dim=1) == y_test).float().mean().item()
        print(
            f"{names[shift]:25}: shifted test {rates[shift][1]:.1%} from one view, "
            f"{right:.1%} from five"
        )

# In the paper a ReLU net learns several times faster than one with tanh. Does it here?
# Count the steps until the mean of five losses is below 0.3, on the same plain digits.
torch.manual_seed(0)
tanh_losses = kata.train_alexnet(
    kata.MiniAlexNet(activation="tanh", dropout=0.2),
    x_train,
    y_train,
    steps=60,
    generator=torch.Generator().manual_seed(0),
)
for name, found in (("ReLU", losses[0]), ("tanh", tanh_losses)):
    means = np.convolve(found, np.ones(5) / 5, mode="valid")
    steps = (
        int((means < 0.3).argmax()) + 5
        if (means < 0.3).any()
        else f"more than {len(found)}"
    )
    print(f"{name}: {steps} steps")

# It does not. The net is shallow, its start values are scaled, and pixels lie between 0
# and 1, so tanh hardly ever saturates. A claim about a net of eight layers need not
# hold for one of five.


# What do the layers make of a digit? Hooks note what each convolution returns; the relu
# keeps what is positive. A digit that has moved by one pixel should give the first maps
# moved by one pixel, except at the border: a convolution has no weight of its own for
# any place. Behind the pooling and the linear layers that is lost.
def maps_of(images):
    """The maps of each convolution after its relu, from the net trained on shifted
    digits in eval mode.
    """
    found = []
    layers = [layer for layer in nets[2].modules() if isinstance(layer, nn.Conv2d)]
    hooks = [
        layer.register_forward_hook(lambda _, __, out: found.append(out.relu()))
        for layer in layers
    ]
    nets[2].eval()
    with torch.no_grad():
        logits = nets[2](images)
    for hook in hooks:
        hook.remove()
    return found, logits


digit = x_test[2:3]
moved = F.pad(digit, (1, 0))[..., :-1]
maps, logits = maps_of(torch.cat([digit, moved]))
for number, layer in enumerate(maps, start=1):
    share = (layer > 0).float().mean().item()
    print(
        f"maps of convolution {number}: {tuple(layer.shape[1:])}, {share:.0%} of the "
        "values are not 0"
    )
inside = (maps[0][0, :, 1:-1, 1:-2] - maps[0][1, :, 1:-1, 2:-1]).abs().max().item()
changed = (logits[0] - logits[1]).abs().max().item()
print(
    f"moved by one pixel: the first maps move along, difference {inside:.0e} away "
    "from the border;",
    end=" ",
)
print(f"a logit changes by {changed:.1f}")


# The figure: digits and their shifted copies, the 16 kernels of the first layer, its
# maps for one digit and for the digit moved by one pixel, and the accuracies of
# both nets.
def mosaic(images, columns):
    """Images (N, H, W) as one picture, with a gap of one pixel between them."""
    rows = F.pad(images, (0, 1, 0, 1), value=float("nan")).split(columns)
    return torch.cat([torch.cat(list(row), dim=1) for row in rows])[:-1, :-1].numpy()


figure = Figure(figsize=(6.6, 9.6))
above, below = figure.subfigures(2, height_ratios=(2, 1))
upper, lower, lowest = above.subplots(3, 1, height_ratios=(1, 1, 1.7))
upper.imshow(
    mosaic(torch.cat([x_test[:7, 0], shifted_test[:7, 0]]), 7),
    cmap=colormaps["Greys"].with_extremes(bad=COLOURS[5]),
)
upper.set_title("Seven digits, and the same ones shifted")
kernels = next(nets[2].parameters()).detach()[:, 0]
bound = kernels.abs().max().item()
lower.imshow(mosaic(kernels, 8), cmap="RdBu_r", vmin=-bound, vmax=bound)
lower.set_title("The 16 kernels of the first layer, after shifted training")
lowest.imshow(
    mosaic(
        torch.cat(
            [
                layer
                for pair in zip(*[part.split(8) for part in maps[0]], strict=True)
                for layer in pair
            ]
        ),
        8,
    )
)
lowest.set_title("Its maps of the third digit; below each, of that digit moved right")
for axes in (upper, lower, lowest):
    axes.set_axis_off()
bars = below.subplots()
for place, shift in enumerate(nets):
    drawn_bars = bars.bar(
        np.arange(2) + 0.4 * place,
        rates[shift],
        0.36,
        color=COLOURS[place],
        label=names[shift],
    )
    bars.bar_label(drawn_bars, fmt="{:.0%}", padding=2)
bars.axhline(0.1, color=COLOURS[6], linestyle="--", linewidth=1)
bars.text(2.02, 0.11, "guessing", ha="right", va="bottom")
bars.set_xticks([0.2, 1.2], ["plain test digits", "shifted test digits"])
bars.set(
    ylabel="accuracy",
    xlim=(-0.3, 2.05),
    ylim=(0, 1.25),
    title="Only the net that saw shifted digits can read them",
)
bars.set_yticks([0, 0.25, 0.5, 0.75, 1])
bars.legend(loc="upper right")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The trained first layer on eight digits, by the NumPy loops in float64 and by PyTorch
# in float32. The largest difference is rounding.
heading("7. NumPy against PyTorch")
weight, bias = list(nets[2].parameters())[:2]
with torch.no_grad():
    theirs = F.conv2d(x_test[:8], weight, bias, padding=1)
arrays = (part.detach().double().numpy() for part in (x_test[:8], weight, bias))
ours = stretch(kata.conv2d_numpy, *arrays, padding=1)
if ours is not None:
    print("first map, row 4, NumPy:  ", ours[0, 0, 4].round(4))
    print("first map, row 4, PyTorch:", theirs[0, 0, 4].numpy().round(4))
    print(
        f"largest difference of all {ours.size} values: "
        f"{np.abs(ours - theirs.numpy()).max():.1e}"
    )

# The loops compute values only. Autograd adds the gradient through convolution,
# normalisation, pooling and all, from the forward pass alone. The check is a difference
# quotient: move one weight by ±ε, and see how the loss moves.
exact = nets[2].double().eval()
weight = next(exact.parameters())
exact.zero_grad()


def loss_of_eight():
    return F.cross_entropy(exact(shifted_test[:8].double()), y_test[:8])


loss_of_eight().backward()
gradient, epsilon = weight.grad[0, 0, 1, 1].item(), 1e-6
with torch.no_grad():
    weight[0, 0, 1, 1] += epsilon
    above = loss_of_eight().item()
    weight[0, 0, 1, 1] -= 2 * epsilon
    below = loss_of_eight().item()
print(
    f"gradient of one weight: autograd {gradient:.8f}, difference quotient "
    f"{(above - below) / (2 * epsilon):.8f}"
)
print(
    "PyTorch replaced the loops over windows, the backward pass (autograd) and the "
    "list of arrays (nn.Module)."
)
