"""Paper kata 10 in code: a block that can do nothing, three nets on the digits, and
gradients on their way down.
"""

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from grader.datasets import digits
from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# A deeper net could always be as good as a shallow one: its further layers only have to
# hand on what they get. For two plain layers that is a precise task, W2 relu(W1 x) = x.
# A residual block is relu(x + F(x)): it hands on a positive x if its weights are zero.
# Here ten blocks with the same small random weights follow one another. How much of the
# signal is left at the end, with shortcuts and without?
heading("2. Recap of the NumPy view")
draws = np.random.default_rng(0)
start = np.abs(draws.normal(size=(4, 8)))
weights = [
    (
        0.1 * draws.normal(size=(16, 8)),
        np.zeros(16),
        0.1 * draws.normal(size=(8, 16)),
        np.zeros(8),
    )
] * 10
plain = residual = start
for number, (W1, b1, W2, b2) in enumerate(weights, start=1):
    plain = np.maximum(np.maximum(plain @ W1.T + b1, 0) @ W2.T + b2, 0)
    residual = stretch(kata.residual_block_numpy, residual, W1, b1, W2, b2)
    if residual is None:
        break
    if number in (1, 2, 5, 10):
        cosine = (
            (start * residual).sum() / np.linalg.norm(start) / np.linalg.norm(residual)
        )
        print(
            f"   after {number:2} blocks: norm {np.linalg.norm(plain):8.1e} plain, "
            f"{np.linalg.norm(residual):5.2f} "
            f"residual; cosine of the residual signal and its start {cosine:.2f}"
        )

# With weights of zero the residual blocks change nothing. The prediction for the
# largest difference is 0.
kept = start
for _ in range(10):
    kept = (
        stretch(kata.residual_block_numpy, kept, *(0 * part for part in weights[0]))
        if kept is not None
        else None
    )
if kept is not None:
    print(
        "   ten residual blocks with weights of zero: largest difference to the "
        f"start {np.abs(kept - start).max()}"
    )

# 3. Data
#
# The data are 1797 handwritten digits of 8×8 pixels. The nets learn 1200 of them.
# Degradation is a matter of the training loss, so the other 597 are looked at only
# once, at the end.
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
# Three nets: 6 plain layers, 38 plain layers, and 38 layers with shortcuts. Depth is
# 4n + 2 for n blocks per stage.
heading("4. Model")
NETS = {"plain 6": (1, False), "plain 38": (9, False), "residual 38": (9, True)}
nets = {}
for name, (n, residual) in NETS.items():
    torch.manual_seed(0)
    nets[name] = kata.ResNet(n, residual=residual)
    count = sum(parameter.numel() for parameter in nets[name].parameters())
    print(f"   {name:<12} {len(nets[name].blocks):2} blocks, {count:6} parameters")
print("   BasicBlock.forward:")
shown_code(kata.BasicBlock.forward)

# The shapes on the way through the shallow net. The second block is where the map
# shrinks and the channels double.
with torch.no_grad():
    maps = nets["plain 6"].stem(x[:5])
    print(f"   images {tuple(x[:5].shape)} → stem {tuple(maps.shape)}", end="")
    for block in nets["plain 6"].blocks:
        maps = block(maps)
        print(f" → block {tuple(maps.shape)}", end="")
    print(f" → logits {tuple(nets['plain 6'](x[:5]).shape)}")

# Deep nets were once said to fail because gradients vanish on their way down. Do they
# here? One number per block of the untrained nets, from the first block to the
# last one.
norms = {}
for name, net in nets.items():
    found = stretch(kata.init_gradient_norms, net, x_train[:200], y_train[:200])
    if found is not None:
        norms[name] = found
        print(
            f"   {name:<12} gradient norms " + " ".join(f"{norm:.2g}" for norm in found)
        )

# 5. Training loop
#
# The trainer's body, one level lower than you write it: SGD with momentum and weight
# decay as arithmetic. A velocity per parameter keeps nine tenths of itself in each
# step. All nets see the same batches.
heading("5. Training loop")
STEPS, BATCH, RATE, MOMENTUM, DECAY = 120, 32, 0.05, 0.9, 1e-4
losses = {name: [] for name in nets}
for name, net in nets.items():
    net.zero_grad()
    net.train()
    velocity = {
        label: torch.zeros_like(parameter)
        for label, parameter in net.named_parameters()
    }
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        rows = torch.randint(1200, (BATCH,), generator=generator)
        log_shares = net(x_train[rows]).log_softmax(dim=1)
        mean = -log_shares[torch.arange(BATCH), y_train[rows]].mean()
        mean.backward()
        if step == 0 and name == "plain 6":
            for label, parameter in net.named_parameters():
                norm = parameter.grad.norm().item()
                print(
                    f"   {label:<22} {str(tuple(parameter.shape)):<15} gradient norm "
                    f"{norm:.3f}"
                )
            before = net.head.weight[0, 0].item()
        with torch.no_grad():
            for label, parameter in net.named_parameters():
                velocity[label] = (
                    MOMENTUM * velocity[label] + parameter.grad + DECAY * parameter
                )
                parameter -= RATE * velocity[label]
                parameter.grad = None
        losses[name].append(mean.item())
        if step == 0 and name == "plain 6":
            print(
                f"   head.weight[0, 0] before and after the first step: {before:.4f} "
                f"→ {net.head.weight[0, 0]:.4f}"
            )
for step in (10, 30, 60, 90, 120):
    shown = "   ".join(
        f"{name} {sum(line[step - 10 : step]) / 10:.2f}"
        for name, line in losses.items()
    )
    print(f"   mean loss of steps {step - 9:3} to {step:3}:   {shown}")

# 6. Evaluation and figure
#
# The key result. All nets begin at ln 10 = 2.30. The paper predicts for the end: the
# deep plain net has the higher *training* loss, and the deep residual net does not.
heading("6. Evaluation and figure")
for name, line in losses.items():
    with torch.no_grad():
        right = (
            (nets[name].train()(x_test).argmax(dim=1) == y_test).float().mean().item()
        )
    print(
        f"   {name:<12} training loss of the last ten steps "
        f"{sum(line[-10:]) / 10:.2f}, test digits right {right:.0%}"
    )
for name, line in norms.items():
    print(
        f"   {name:<12} gradient norm of the first block / the last block: "
        f"{line[0] / line[-1]:.1f}"
    )

# Test digits are judged in train mode, all 597 as one batch, because the running
# statistics lag behind after 120 steps. Gradients do not vanish at all: in the plain
# net they *grow* on their way down, in the residual net by far less.
#
# A residual net can start as a stack of blocks that do nothing. Then the stem's maps
# reach the place where the stages meet unchanged.
torch.manual_seed(0)
idle = kata.ResNet(9)
stretch(kata.zero_init_residual, idle)
with torch.no_grad():
    begun = idle.stem(x[:50])
    handed_on = idle.blocks[:9](begun)
if not idle.blocks[0].bn2.weight.any():
    print(
        "   nine blocks after zero_init_residual: largest difference to the stem "
        f"{(handed_on - begun).abs().max():.2g}"
    )

# The figure shows both: the loss of the three nets, smoothed over ten steps, and what
# reaches each block at the start.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
for (name, line), colour, style in zip(
    losses.items(), COLOURS, ("--", "-", "-"), strict=False
):
    smooth = np.convolve(line, np.ones(10) / 10, mode="valid")
    above.plot(
        np.arange(10, STEPS + 1), smooth, style, color=colour, label=f"{name} layers"
    )
above.axhline(np.log(10), color=COLOURS[6], linestyle=":", linewidth=1)
above.text(STEPS, np.log(10) + 0.03, "uniform guessing, ln 10", ha="right", va="bottom")
above.set(
    xlabel="step",
    ylabel="training loss, mean of ten steps",
    ylim=(0, 2.6),
    title="Deeper is worse without shortcuts",
)
above.legend(loc="lower left")
for name, colour in zip(("plain 38", "residual 38"), COLOURS[1:], strict=False):
    if name in norms:
        below.semilogy(
            range(1, 19),
            norms[name],
            "o-",
            color=colour,
            label=f"{name} layers",
            markersize=4,
        )
if norms:
    below.legend()
else:
    below.text(
        0.5,
        0.5,
        "init_gradient_norms is not written yet",
        ha="center",
        transform=below.transAxes,
    )
below.set(
    xlabel="block, first to last",
    ylabel="gradient norm before training",
    title="Gradients do not vanish: they grow",
)
below.set_xticks([1, 6, 12, 18])
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# One dense block, in NumPy with float64 and in PyTorch with float32. The largest
# difference is rounding.
heading("7. NumPy against PyTorch")
draws = np.random.default_rng(1)
arrays = [draws.normal(size=size) for size in ((4, 8), (16, 8), 16, (8, 16), 8)]
tensors = [
    torch.tensor(array, dtype=torch.float32, requires_grad=True) for array in arrays
]
inputs, W1, b1, W2, b2 = tensors
ours = F.relu(inputs + F.linear(F.relu(F.linear(inputs, W1, b1)), W2, b2))
theirs = stretch(kata.residual_block_numpy, *arrays)
if theirs is not None:
    print("   NumPy:  ", theirs[0, :5].round(4))
    print("   PyTorch:", ours[0, :5].detach().numpy().round(4))
    print(f"   largest difference {np.abs(theirs - ours.detach().numpy()).max():.1e}")

# The gradient comes for free on the PyTorch side. Its interesting part is the 1 of the
# shortcut: with W2 = 0 nothing goes through the branch, and the gradient of the sum is
# 1 wherever x is positive.
silent = torch.zeros_like(W2)
total = F.relu(inputs + F.linear(F.relu(F.linear(inputs, W1, b1)), silent)).sum()
[gradient] = torch.autograd.grad(total, inputs)
print(f"   with W2 = 0: gradient {gradient[0].tolist()}")
print(f"            where x > 0: {(inputs[0] > 0).float().tolist()}")

# In NumPy each of the 38 layers would need a backward function, and batch norm has a
# long one. Autograd replaced those, `nn.Module` the lists of weights, and one
# convolution call the loops over images, channels and places.
