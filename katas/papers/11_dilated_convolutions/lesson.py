"""Paper kata 11 in code: taps with gaps, two stacks of five layers, and what each of
them can see.
"""

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# A dilated kernel has gaps between its taps. A sequence with a single 1 makes them
# visible: the answer shows the taps, with d − 1 zeros between them.
heading("2. Recap of the NumPy view")
single = np.zeros(18)
single[1] = 1.0
for dilation in (1, 2, 4):
    answer = stretch(
        kata.dilated_conv1d_numpy, single, np.array([1.0, 2.0, 3.0]), dilation
    )
    if answer is not None:
        print(f"   dilation {dilation}:", *(f"{value:.0f}" for value in answer))

# Layers on top of each other: with kernels of two ones, the answer counts the ways from
# the 1 to each step. Dilations 1, 2, 4 should reach 8 steps by one way each. Dilations
# 1, 1, 1 reach 4 steps by many ways, and 2, 4, 8 leave holes: the wide reach of 15
# steps has only 8 in it that are seen.
for dilations in ((1, 2, 4), (1, 1, 1), (2, 4, 8)):
    signal = single
    for dilation in dilations:
        signal = (
            stretch(kata.dilated_conv1d_numpy, signal, np.ones(2), dilation)
            if signal is not None
            else None
        )
    reach = kata.receptive_field(2, dilations)
    ways = (
        "" if signal is None else "ways " + " ".join(f"{value:.0f}" for value in signal)
    )
    print(f"   dilations {dilations}: reach by formula {reach:>2}   {ways}")

# 3. Data
#
# Random symbols 0 to 3. The answer at each step is the symbol 24 steps earlier, and the
# first 24 steps have none. So a model that sees fewer than 25 steps can only guess.
# Three samples, with a lag of 5 to make them short:
heading("3. Data")
x, y = kata.lag_batch(3, 20, 5, 4, torch.Generator().manual_seed(0))
for sample, answers in zip(x, y, strict=True):
    print("   symbols", *sample.argmax(dim=0).tolist())
    print("   answers", *("." if answer < 0 else answer for answer in answers.tolist()))
print(
    f"   x {tuple(x.shape)}, one-hot in dimension 1; y {tuple(y.shape)}; a point "
    "stands for −100"
)

# 4. Model
#
# Two stacks that differ in nothing but their dilations. They have the same parameters
# and cost the same. The code below is the one that runs here: your own where the core
# of the kata works.
heading("4. Model")
LAG, VOCAB, STEPS = 24, 4, 100
STACKS = {"dilated": (1, 2, 4, 8, 16), "undilated": (1, 1, 1, 1, 1)}
nets = {}
for name, dilations in STACKS.items():
    torch.manual_seed(0)
    nets[name] = kata.DilatedStack(VOCAB, 24, VOCAB, 2, dilations)
    count = sum(parameter.numel() for parameter in nets[name].parameters())
    print(f"   {name:<9} {count} parameters")
print("   CausalConv1d.forward:")
shown_code(kata.CausalConv1d.forward)
print("   DilatedStack.forward:")
shown_code(kata.DilatedStack.forward)
x, y = kata.lag_batch(16, 64, LAG, VOCAB, torch.Generator().manual_seed(0))
h = nets["dilated"].stem(x)
layer = nets["dilated"].layers[0]
print(
    f"   x {tuple(x.shape)} → stem {tuple(h.shape)} → layer {tuple(layer(h).shape)} → "
    "logits",
    end=" ",
)
print(tuple(nets["dilated"](x).shape))

# How far does each stack see after 1, 2, … layers? A lag of 24 needs 25 steps.
print("   depth     " + " ".join(f"{depth:>4}" for depth in range(1, 6)) + "   … 10")
for name, dilations in STACKS.items():
    reaches = [kata.receptive_field(2, dilations[:depth]) for depth in range(1, 6)]
    ten = [2**i for i in range(10)] if name == "dilated" else [1] * 10
    print(
        f"   {name:<10}"
        + " ".join(f"{reach:>4}" for reach in reaches)
        + f"   {kata.receptive_field(2, ten):>4}"
    )

# 5. Training loop
#
# The trainer's body, one level lower than you write it: the loss as minus the log
# probability of the right symbol, over the steps that have an answer. Both stacks see
# the same batches. After the first backward pass every parameter has a gradient of its
# own shape.
heading("5. Training loop")
losses = {name: [] for name in nets}
for name, net in nets.items():
    net.zero_grad()
    adam = torch.optim.Adam(net.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        x, y = kata.lag_batch(16, 64, LAG, VOCAB, generator)
        log_shares = net(x).log_softmax(dim=1)[:, :, LAG:]
        right_ones = log_shares.gather(1, y[:, None, LAG:])
        mean = -right_ones.mean()
        adam.zero_grad()
        mean.backward()
        if step == 0 and name == "dilated":
            for label, parameter in net.named_parameters():
                norm = parameter.grad.norm().item()
                print(
                    f"   {label:<20} {str(tuple(parameter.shape)):<12} gradient norm "
                    f"{norm:.3f}"
                )
            before = net.stem.weight[0, 0, 0].item()
        adam.step()
        losses[name].append(mean.item())
        if step == 0 and name == "dilated":
            after = net.stem.weight[0, 0, 0].item()
            print(
                "   stem.weight[0, 0, 0] before and after the first step: "
                f"{before:.4f} → {after:.4f}"
            )

# Guessing among four symbols costs ln 4 = 1.386. The prediction: one stack leaves that
# value, the other cannot.
for step in (0, 10, 20, 30, 40, 60, 99):
    print(
        f"   loss of step {step:>2}: "
        + "   ".join(f"{name} {line[step]:.3f}" for name, line in losses.items())
    )

# 6. Evaluation and figure
#
# The key result on 100 new sequences: nearly all answers right against about one in
# four. The gradient of the last output says why. It should reach back as far as the
# formula promises, to step 32 and to step 6.
heading("6. Evaluation and figure")
x, y = kata.lag_batch(100, 64, LAG, VOCAB, torch.Generator().manual_seed(1))
for name, net in nets.items():
    with torch.no_grad():
        share = (net(x).argmax(dim=1) == y)[:, LAG:].float().mean().item()
    print(
        f"   {name:<9} right answers {share:.1%}, reach by formula "
        f"{kata.receptive_field(2, STACKS[name])}",
        end="",
    )
    reach = stretch(kata.empirical_receptive_field, net, VOCAB, 64)
    print("" if reach is None else f", by gradient {reach}")

# The same question with more detail: how large is the gradient at each step, on average
# over the sequences? Backward starts from the last output, in a random direction. The
# trained stack should look at the step 24 back most of all.
sizes = {}
for name, net in nets.items():
    asked = x.clone().requires_grad_()
    logits = net(asked)
    # what backward starts from: the direction in which the logits are asked
    probe = torch.zeros_like(logits)
    probe[..., 63] = torch.randn(100, VOCAB)
    logits.backward(probe)
    sizes[name] = asked.grad.abs().sum(dim=1).mean(dim=0).flip(0)[:36]
    top = sizes[name].argmax().item()
    share = sizes[name][top] / sizes[name].sum()
    print(f"   {name:<9} the largest gradient is {top} steps back, {share:.0%} of all")

# The paper's module for images. A fresh one hands on its input, and still every pixel
# is in touch with 33×33 others. One kernel of that size would need far more weights
# than five small ones.
context = kata.ContextModule2d(8)
maps = torch.rand(1, 8, 40, 50)
with torch.no_grad():
    print(
        "   context module: largest change of a fresh one "
        f"{(context(maps) - maps).abs().max().item():.0f}"
    )
count = sum(parameter.numel() for parameter in context.parameters())
print(
    f"   {count} parameters; one kernel of 33×33 from 8 to 8 channels has "
    f"{33 * 33 * 8 * 8 + 8}"
)

# The figure: which steps the last output sees, layer by layer, and how large its
# gradient is at each of them.
figure = Figure(figsize=(6.6, 9.6))
panels = figure.subplots(4, sharex=True).reshape(2, 2)
for (name, dilations), row, colour in zip(
    STACKS.items(), panels, COLOURS, strict=False
):
    tree, bars = row
    seen = {0}
    for place, dilation in enumerate(reversed(dilations)):
        level = len(dilations) - place
        for back in seen:
            for target in (back, back + dilation):
                tree.plot(
                    [-back, -target], [level, level - 1], color=colour, linewidth=0.9
                )
        seen |= {back + dilation for back in seen}
    for level in range(len(dilations) + 1):
        tree.plot(
            range(-35, 1), [level] * 36, ".", color="#999999", markersize=2.5, zorder=0
        )
    tree.set(
        ylabel=f"{name}\nlayer", yticks=range(6), yticklabels=["input", *range(1, 6)]
    )
    tree.set_title(
        f"dilations {', '.join(map(str, dilations))}: sees {len(seen)} steps"
    )
    bars.bar([-back for back in range(36)], sizes[name].tolist(), color=colour)
    bars.set(ylabel="gradient of the last output", title=f"{name}, after {STEPS} steps")
    for panel in row:
        panel.axvline(-LAG, color=COLOURS[6], linestyle="--", linewidth=1, zorder=0)
    bars.annotate(
        "the answer ", (-LAG, 0.9), xycoords=("data", "axes fraction"), ha="right"
    )
for panel in panels[1]:
    panel.set(xlabel="input step, counted from the last one", xlim=(-35.7, 0.7))
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# One channel, one kernel of three taps: the NumPy function in float64 and the layer in
# float32 read the same sequence. The largest difference is rounding.
heading("7. NumPy against PyTorch")
numbers = np.random.default_rng(0).normal(size=40)
torch.manual_seed(0)
layer = kata.CausalConv1d(1, 1, 3, 4)
kernel, bias = layer.conv.weight.detach()[0, 0].double().numpy(), layer.conv.bias.item()
inputs = torch.tensor(numbers, dtype=torch.float32)[None, None].requires_grad_()
outputs = layer(inputs)
answer = stretch(kata.dilated_conv1d_numpy, numbers, kernel, 4)
if answer is not None:
    answer = answer + bias
    print("   NumPy:  ", answer[:6].round(4))
    print("   PyTorch:", outputs[0, 0, :6].detach().numpy().round(4))
    print(
        "   largest difference of 40 values: "
        f"{np.abs(answer - outputs[0, 0].detach().numpy()).max():.1e}"
    )

# The gradient of the last output comes for free. It holds the kernel, last tap first as
# one looks back, and zeros.
outputs[0, 0, -1].backward()
print(
    "   kernel:                             ", *(f"{weight:6.3f}" for weight in kernel)
)
print(
    "   gradient at t − 8, t − 4 and t:     ",
    *(f"{inputs.grad[0, 0, 39 - back]:6.3f}" for back in (8, 4, 0)),
)
others = inputs.grad[0, 0].clone()
others[[31, 35, 39]] = 0
print(f"   largest gradient at any other step:   {others.abs().max():.0f}")
print(
    "   PyTorch replaced the loop over taps (Conv1d), the loop over sequences and "
    "channels (a batch, einsum)"
)
print("   and the search for what an output sees (autograd).")
