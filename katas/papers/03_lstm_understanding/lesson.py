"""Paper 03 in code: the gates of an LSTM, a task that needs a long memory, and the
gradient on its way back.
"""

import math

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# Olah draws the cell as a conveyor belt for c, with gates beside it. Here are three
# units whose gates are set by their biases alone: all weights are 0. All three hold
# c = 2 and are offered g = −1. The first one only keeps, the second only writes, the
# third does both. The prediction for c' is 2, −1 and 1.
heading("2. Recap of the NumPy view")
OPEN, SHUT = 20.0, -20.0
bias = np.array(
    [[SHUT, OPEN, OPEN], [OPEN, SHUT, OPEN], [-20.0, -20.0, -20.0], [OPEN, OPEN, SHUT]]
).ravel()
old_c = np.full((1, 3), 2.0)
arguments = (
    np.ones((1, 2)),
    np.zeros((1, 3)),
    old_c,
    np.zeros((12, 2)),
    np.zeros((12, 3)),
    bias,
)
stepped = stretch(kata.lstm_step_numpy, *arguments)
if stepped is not None:
    new_h, new_c = stepped
    print(f"{'unit':<22}{'c':>7}{'c′':>7}{'h′':>7}")
    for unit, name in enumerate(("keeps", "writes", "does both, shows none")):
        print(
            f"{name:<22}{old_c[0, unit]:7.2f}{new_c[0, unit]:7.2f}{new_h[0, unit]:7.2f}"
        )
    print(f"tanh(2) = {math.tanh(2):.2f}, tanh(−1) = {math.tanh(-1):.2f}")

# 3. Data
#
# A symbol is shown once, as a one-hot vector. Then come 39 steps of noise. The question
# at the end: which symbol was it? Nothing in the last steps can tell.
heading("3. Data")
LENGTH, SYMBOLS = 40, 4
x, y = kata.recall_batch(3, LENGTH, SYMBOLS, generator=torch.Generator().manual_seed(0))
print(f"x {tuple(x.shape)}, y {tuple(y.shape)}")
for sequence, symbol in zip(x, y.tolist(), strict=True):
    print(
        f"symbol {symbol}: {sequence[0].tolist()}, then "
        f"{sequence[1].numpy().round(2)}, …"
    )

# 4. Model
#
# A cell that reads 40 steps, and a head that names the symbol. The code below is the
# one that runs here: your own where the core of the kata works.
heading("4. Model")
HIDDEN = 24
torch.manual_seed(0)
nets = {
    "plain RNN": kata.RecallNet("rnn", SYMBOLS, HIDDEN, SYMBOLS),
    "LSTM, forget bias 0": kata.RecallNet(
        "lstm", SYMBOLS, HIDDEN, SYMBOLS, forget_bias=0.0
    ),
    "LSTM, forget bias 4": kata.RecallNet(
        "lstm", SYMBOLS, HIDDEN, SYMBOLS, forget_bias=4.0
    ),
}
shown_code(kata.RecallNet.forward)
print(f"x {tuple(x.shape)} → logits {tuple(nets['LSTM, forget bias 4'](x).shape)}")
for name, net in nets.items():
    print(f"{name:<20} {sum(p.numel() for p in net.parameters()):>5} parameters")

# How much of c is left at the end, if the gates stay where they start? A fresh forget
# gate is near σ(bias), and 39 steps multiply.
for forget_bias in (0.0, 1.0, 4.0):
    kept = 1 / (1 + math.exp(-forget_bias))
    print(
        f"forget bias {forget_bias:.0f}: σ = {kept:.3f}, and {kept:.3f} to the power "
        f"of 39 is {kept**39:.1e}"
    )

# The gradient is measured before anything is trained: how much does the loss at the end
# change with the input of each step? Equal factors from step to step would make
# straight lines on a log axis.
x, y = kata.recall_batch(
    32, LENGTH, SYMBOLS, generator=torch.Generator().manual_seed(0)
)
profiles = {name: kata.gradient_through_time(net, x, y) for name, net in nets.items()}
print(
    f"\n{'norm of d loss / d x_t':<24}"
    + "".join(f"{f't = {t}':>10}" for t in (0, 13, 26, 39))
    + "   first / last"
)
for name, norms in profiles.items():
    row = "".join(f"{norms[t].item():10.1e}" for t in (0, 13, 26, 39))
    print(f"{name:<24}{row}{(norms[0] / norms[-1]).item():15.1e}")

# With forget bias 4 the first step counts most of all. Is that the road of c alone? Cut
# the other way back, through h, and measure again: the ratio should be near 0.98 to the
# power of 39, which is 0.5.
net, inputs = nets["LSTM, forget bias 4"], x.clone().requires_grad_()
h = c = torch.zeros(len(x), HIDDEN)
for step in range(LENGTH):
    h, c = net.cell(inputs[:, step], (h.detach(), c))
surprise = -net.head(h).log_softmax(dim=1)[torch.arange(len(y)), y].mean()
road = torch.autograd.grad(surprise, inputs)[0].square().sum(dim=(0, 2)).sqrt()
print(
    f"through c alone: first / last {(road[0] / road[-1]).item():.2f}; the rest comes "
    "back through h"
)

# 5. Training loop
#
# The trainer's body, one level lower than you write it: the loss as minus the log
# probability of the right symbol, the norm and the clipping as arithmetic. After the
# first backward pass every parameter has a gradient of its own shape.
heading("5. Training loop")
STEPS, RATE = 150, 0.007
lstm = nets["LSTM, forget bias 4"]
parameters = dict(lstm.named_parameters())
adam = torch.optim.Adam(parameters.values(), lr=RATE)
draws = torch.Generator().manual_seed(0)
losses, clipped = [], 0
for step in range(STEPS):
    sequences, symbols = kata.recall_batch(32, LENGTH, SYMBOLS, generator=draws)
    chances = lstm(sequences).log_softmax(dim=1)
    surprise = -chances[torch.arange(32), symbols].mean()
    adam.zero_grad()
    surprise.backward()
    norm = math.sqrt(sum(p.grad.pow(2).sum().item() for p in parameters.values()))
    for p in parameters.values():
        p.grad *= min(1.0, 1.0 / norm)
    clipped += norm > 1.0
    if step == 0:
        for name, p in parameters.items():
            print(
                f"gradient of {name:<15} {str(tuple(p.grad.shape)):<9} norm "
                f"{p.grad.norm().item():.4f}"
            )
        before = lstm.head.weight[0, 0].item()
    adam.step()
    losses.append(surprise.item())
    if step == 0:
        print(
            f"head.weight[0, 0] before and after the first step: {before:.4f} → "
            f"{lstm.head.weight[0, 0].item():.4f}"
        )

# A model that guesses has a loss of ln 4 = 1.39. For a while nothing seems to happen.
# Then the net finds the symbol.
for step in (0, 25, 50, 75, 100, 149):
    print(f"loss of step {step:>3}: {losses[step]:.3f}")
print(f"the gradient was longer than 1 in {clipped} of {STEPS} steps")

# 6. Evaluation and figure
#
# The plain RNN and the LSTM without a forget bias get the same training. All three
# answer for 500 sequences that none of them has seen. Guessing is right for one
# in four.
heading("6. Evaluation and figure")
for name in ("plain RNN", "LSTM, forget bias 0"):
    kata.train_recall(
        nets[name], steps=STEPS, lr=RATE, generator=torch.Generator().manual_seed(0)
    )
unseen, answers = kata.recall_batch(
    500, LENGTH, SYMBOLS, generator=torch.Generator().manual_seed(1)
)
for name, net in nets.items():
    with torch.no_grad():
        accuracy = (net(unseen).argmax(dim=1) == answers).float().mean().item()
    ratio = (profiles[name][0] / profiles[name][-1]).item()
    print(
        f"{name:<20} first / last gradient before training {ratio:.1e}, accuracy "
        f"{accuracy:.3f}"
    )

# What do the gates of the two trained LSTMs do? The record has each gate at each step.
# What is left of the first c at the end is the product of the forget gates of 39 steps.
records = {}
for name in ("LSTM, forget bias 0", "LSTM, forget bias 4"):
    with torch.no_grad():
        record = stretch(kata.run_lstm, nets[name].cell, unseen)
    if record is None:
        break
    records[name] = record
    forget, write = (record[key].mean().item() for key in "fi")
    left = record["f"][:, 1:].log().sum(dim=1).exp().mean(dim=0)
    print(
        f"{name}: forget gates {forget:.2f}, input gates {write:.2f} on average;",
        end=" ",
    )
    print(f"of the first c, {left.min().item():.1e} to {left.max().item():.1e} is left")

# The figure: the gradients of the three fresh nets, and the forget gates of the two
# trained LSTMs. Training does not open gates that start half shut: the gradient that
# would open them does not arrive. Below, everything inside the trained LSTM while it
# reads one sequence, a row per unit, and the state of the plain RNN beside it.
figure = Figure(figsize=(6.6, 9.6))
grid = figure.add_gridspec(4, 3, height_ratios=(1.5, 1.5, 1, 1))
above, below = figure.add_subplot(grid[0, :]), figure.add_subplot(grid[1, :])
styles = {
    "plain RNN": (COLOURS[1], "--"),
    "LSTM, forget bias 0": (COLOURS[2], ":"),
    "LSTM, forget bias 4": (COLOURS[0], "-"),
}
for name, norms in profiles.items():
    colour, style = styles[name]
    above.semilogy(norms.numpy(), color=colour, linestyle=style, label=name)
above.set(
    xlabel="step t of the input",
    ylabel="norm of d loss / d $x_t$",
    title="Before training: which steps matter?",
)
above.legend(loc="lower right", handlelength=3)
for name, record in records.items():
    colour, style = styles[name]
    units = record["f"].mean(dim=0).numpy()  # (steps, units)
    below.plot(units, color=colour, linewidth=0.6, alpha=0.4)
    below.plot(
        units.mean(axis=1),
        color=colour,
        linestyle=style,
        label=f"{name}: mean of {HIDDEN} units",
    )
below.set(
    xlabel="step t",
    ylabel="forget gate f",
    ylim=(0, 1.05),
    title="After training: gates near where they began",
)
if records:
    below.legend(loc="lower right", handlelength=3)
else:
    below.text(
        0.5, 0.5, "run_lstm is not written yet", ha="center", transform=below.transAxes
    )
inside = {}
if records:
    names = {
        "f": "forget gate f",
        "i": "input gate i",
        "o": "output gate o",
        "c": "memory c",
        "h": "h, LSTM",
    }
    order = records["LSTM, forget bias 4"]["c"][0, -1].argsort()
    inside = {
        title: records["LSTM, forget bias 4"][key][0, :, order]
        for key, title in names.items()
    }
with torch.no_grad():
    states = nets["plain RNN"].cell
    h, inside["h, plain RNN"] = torch.zeros(1, HIDDEN), torch.zeros(LENGTH, HIDDEN)
    for step in range(LENGTH):
        h = states(unseen[:1, step], h)
        inside["h, plain RNN"][step] = h[0]
for title in ("h, LSTM", "h, plain RNN"):
    if title in inside:
        values = inside[title][20:]
        ratio = (values.std(dim=0).mean() / values.abs().mean()).item()
        print(f"{title}: from step 20 on, a unit varies by {ratio:.2f} of its size")
for place, (title, shown) in enumerate(inside.items()):
    axis = figure.add_subplot(grid[2 + place // 3, place % 3])
    limits = (
        {"vmin": 0, "vmax": 1}
        if "gate" in title
        else {"vmin": -1, "vmax": 1, "cmap": "RdBu_r"}
    )
    axis.imshow(shown.T, aspect="auto", interpolation="nearest", **limits)
    axis.set(title=title, xlabel="step t", xticks=[0, LENGTH - 1], yticks=[])
    if place % 3 == 0:
        axis.set_ylabel("unit")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The trained weights as arrays, and the same step taken twice: in NumPy with float64,
# and by the cell with float32. The largest difference is rounding.
heading("7. NumPy against PyTorch")
cell = lstm.cell
with torch.no_grad():
    h, c = cell(unseen[:5, 0])
    next_h, next_c = cell(unseen[:5, 1], (h, c))
tensors = (unseen[:5, 1], h, c, cell.weight_ih, cell.weight_hh, cell.bias)
stepped = stretch(
    kata.lstm_step_numpy, *(tensor.detach().double().numpy() for tensor in tensors)
)
if stepped is not None:
    print("c′ of the first sequence, NumPy:  ", stepped[1][0, :4].round(4))
    print("c′ of the first sequence, PyTorch:", next_c[0, :4].numpy().round(4))
    gap = max(
        np.abs(stepped[0] - next_h.numpy()).max(),
        np.abs(stepped[1] - next_c.numpy()).max(),
    )
    print(f"largest difference of h′ and c′: {gap:.1e}")

# Autograd finds what the paper's picture promises: on the way from c to c′ the gradient
# is multiplied by f and nothing else.
c = c.clone().requires_grad_()
[slope] = torch.autograd.grad(cell(unseen[:5, 1], (h, c))[1].sum(), c)
with torch.no_grad():
    forget = cell.gates(unseen[:5, 1], h)[1]
print("d c′ / d c of four units:", slope[0, :4].numpy().round(4))
print("their forget gates:      ", forget[0, :4].numpy().round(4))
print(
    "PyTorch replaced the backward pass (autograd), the bookkeeping of weights "
    "(nn.Module), the update (Adam)."
)
