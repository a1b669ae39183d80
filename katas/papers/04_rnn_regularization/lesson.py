"""Paper 04 in code: the same dropout in two places of a recurrent net, and what each
does to texts it has not seen.
"""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# Dropout multiplies by a mask and scales what is left. A value of 1 that passes one
# mask with p = 0.5 becomes 0 or 2: its mean stays 1. What if it has to pass ten masks
# in a row, one per time step? The prediction: one value in 2¹⁰ is left, and it is 2¹⁰
# times as large.
heading("2. Recap of the NumPy view")
draws = np.random.default_rng(0)
values = np.ones(1_000_000)
for step in range(1, 11):
    values = kata.dropout_numpy(values, draws.random(len(values)) >= 0.5, 0.5)
    if step in (1, 2, 5, 10):
        left = (values > 0).mean()
        print(
            f"after {step:>2} masks: {left:6.2%} left, of size {values.max():4.0f}; "
            f"mean {values.mean():.2f}"
        )
print(f"prediction for 10 masks: {0.5**10:.2%} left, of size {2**10}")

# That is what dropout on the path through time does to whatever is passed on there. The
# paper drops out only on the way up through the layers: with two layers that is three
# masks, however long ago something was read. Here is one step of such a stack, with
# three units per layer.
shapes = (12, 3), (12, 3), (12,)
weights = [tuple(draws.uniform(-1, 1, shape) for shape in shapes) for _ in range(2)]
states = [(np.full(3, 0.5), np.full(3, 1.0)) for _ in range(2)]
masks = [
    np.array([True, False, True]),
    np.array([False, True, True]),
    np.array([True, True, False]),
]
stepped = stretch(kata.lstm_stack_step_numpy, np.ones(3), states, weights, masks, 0.5)
if stepped is not None:
    print("output:", stepped[0].round(3))
    for layer, (h, c) in enumerate(stepped[1]):
        print(f"layer {layer}: h {h.round(3)}, c {c.round(3)}")

# 3. Data
#
# A text of 8 symbols in which each symbol depends on the two before it, by a random
# table. The training text is short: 600 symbols for a table of 8 · 8 · 8 = 512
# probabilities. A net with enough weights can learn the text by heart instead of the
# table. The validation text has the same table and other draws.
heading("3. Data")
V = 8
texts = torch.Generator().manual_seed(0)
table = kata.transition_table(V, texts)
training, validation = (kata.markov_text(n, V, texts, table) for n in (600, 900))
print(
    f"training text {tuple(training.shape)}, validation text {tuple(validation.shape)}"
)
for start in (0, 200, 400):
    print(
        f"symbols {start:>3} to {start + 14}: "
        f"{' '.join(map(str, training[start : start + 15].tolist()))}"
    )
first, second = training[:2].tolist()
print(
    f"after {first} {second}, symbols 0 to 7 have these probabilities: "
    f"{table[first, second].numpy().round(2)}"
)

# How well can a model do? The table itself is the best one. Its perplexity is the goal.
# Guessing evenly has 8.
chances = table[validation[:-2], validation[1:-1], validation[2:]]
goal = chances.log().mean().neg().exp().item()
print(f"perplexity of the table on the validation text: {goal:.2f}")

# 4. Model
#
# An embedding, two LSTM layers with 48 units, a head. The code below is the one that
# runs here: your own where the core of the kata works.
heading("4. Model")
SIZE = 48
torch.manual_seed(0)
model = kata.RegularizedLSTM(V, SIZE, p=0.5)
shown_code(kata.RegularizedLSTM.forward)
ids = training[:60].reshape(3, 20)
logits, state = model(ids)
print(
    f"ids {tuple(ids.shape)} → logits {tuple(logits.shape)}, and per layer h "
    f"{tuple(state[0][0].shape)} and c"
)
print(
    f"{sum(p.numel() for p in model.parameters()):,} parameters for {len(training)} "
    "symbols"
)

# In training mode each call draws new masks, so the same input has other logits. In
# eval mode there are no masks.
with torch.no_grad():
    for mode in (True, False):
        model.train(mode)
        twice = [model(ids)[0][0, -1, :4].numpy().round(3) for _ in range(2)]
        print(
            f"{'training' if mode else 'eval':>8} mode, the same ids twice: "
            f"{twice[0]} {twice[1]}"
        )
print(
    f"prediction for a fresh net: a perplexity near {V}; measured: "
    f"{kata.perplexity(model, validation):.2f}"
)

# 5. Training loop
#
# The trainer's body, one level lower than you write it: all windows of the text side by
# side, the loss as minus the log probability of what came next, the norm and the
# clipping as arithmetic. After the first backward pass every parameter has a gradient
# of its own shape.
heading("5. Training loop")
STEPS, BATCH, LENGTH, RATE = 60, 32, 15, 0.03
net = model.train()
parameters = dict(net.named_parameters())
adam = torch.optim.Adam(parameters.values(), lr=RATE)
every_window = training.unfold(0, LENGTH + 1, 1)
windows_from = torch.Generator().manual_seed(0)
losses = []
for step in range(STEPS):
    chosen = every_window[
        torch.randperm(len(every_window), generator=windows_from)[:BATCH]
    ]
    inputs, targets = chosen.split([LENGTH, 1], dim=1)[0], chosen[:, 1:]
    surprise = -net(inputs)[0].log_softmax(dim=2).gather(2, targets.unsqueeze(2))
    adam.zero_grad()
    surprise.mean().backward()
    norm = math.sqrt(sum(p.grad.pow(2).sum().item() for p in parameters.values()))
    for p in parameters.values():
        p.grad /= max(1.0, norm)
    if step == 0:
        for name, p in parameters.items():
            print(
                f"gradient of {name:<18} {str(tuple(p.grad.shape)):<10} norm "
                f"{p.grad.norm().item():.3f}"
            )
        before = net.head.weight[0, 0].item()
    adam.step()
    losses.append(surprise.mean().item())
    if step == 0:
        print(
            f"head.weight[0, 0] before and after the first step: {before:.4f} → "
            f"{net.head.weight[0, 0].item():.4f}"
        )

# The loss in nats, and exp of it: the perplexity of the net with half of its
# units dropped.
for step in (0, 10, 20, 30, 40, 50, 59):
    print(
        f"loss of step {step:>2}: {losses[step]:.3f}, a perplexity of "
        f"{math.exp(losses[step]):.2f}"
    )

# 6. Evaluation and figure
#
# Now the comparison. All nets have the same start values and the same number of steps.
# The net of step 5 is one of them, four more are trained here: without dropout, with
# p = 0.3 between the layers, and with both p through time.
heading("6. Evaluation and figure")


def measured(net):
    return kata.perplexity(net, validation), kata.perplexity(net, training)


def trained(net):
    options = {"steps": STEPS, "batch": BATCH, "seq_len": LENGTH, "lr": RATE}
    kata.train_lm(net, training, **options, generator=torch.Generator().manual_seed(0))
    return measured(net)


results = {("non_recurrent", 0.5): measured(net)}
for place, p in (
    ("non_recurrent", 0.0),
    ("non_recurrent", 0.3),
    ("recurrent", 0.3),
    ("recurrent", 0.5),
):
    torch.manual_seed(0)
    results[place, p] = trained(kata.RegularizedLSTM(V, SIZE, p=p, where=place))
results["recurrent", 0.0] = results["non_recurrent", 0.0]

# Is it the path through time as such that must have no dropout? Gal and Ghahramani keep
# one mask for all steps of a text, and drop out everywhere.
torch.manual_seed(0)
variational = stretch(kata.VariationalLSTM, V, SIZE, p=0.5)
if variational is not None and stretch(variational.forward, ids) is not None:
    results["variational", 0.5] = trained(variational)

# The key result: the net without dropout has almost learned the training text by heart,
# and is worse than even guesses on the validation text. The prediction for p = 0.5
# between the layers is half of its validation perplexity.
NAMES = {
    "non_recurrent": "between layers",
    "recurrent": "through time",
    "variational": "everywhere, one mask per text",
}
print(f"{'dropout':<32}{'p':>4}{'training':>10}{'validation':>12}")
for (place, p), (unseen, seen) in sorted(
    results.items(), key=lambda item: (list(NAMES).index(item[0][0]), item[0][1])
):
    if (place, p) != ("recurrent", 0.0):
        print(f"{NAMES[place] if p else 'none':<32}{p:>4}{seen:>10.2f}{unseen:>12.2f}")
free, between, through = (
    results[key][0]
    for key in (("recurrent", 0.0), ("non_recurrent", 0.5), ("recurrent", 0.5))
)
print(f"validation, between layers / none:         {between / free:.2f}")
print(f"validation, between layers / through time: {between / through:.2f}")

# Where do the zeros stand? A hook notes what the second layer gets in training mode,
# for the first 20 symbols of the text: its input from below and its own old h. Half of
# the numbers should be 0 where dropout is. With one mask per text they should be the
# same units at all steps; with a new mask per step no unit should be 0 at all 20.
caught = {}
for place in NAMES:
    if place == "variational" and ("variational", 0.5) not in results:
        continue
    torch.manual_seed(0)
    kind = {"where": place} if place != "variational" else {}
    shown = (kata.VariationalLSTM if place == "variational" else kata.RegularizedLSTM)(
        V, SIZE, p=0.5, **kind
    )
    seen = []
    shown.cells[1].register_forward_pre_hook(
        lambda _, given, seen=seen: seen.append((given[0][0], given[1][0][0]))
    )
    with torch.no_grad():
        shown(training[None, :20])
    if len(seen) != 20:
        continue
    for part, name in enumerate(("input from below", "old h")):
        # (steps, units); the first old h is 0
        steps_seen = torch.stack([step[part] for step in seen])[1:]
        caught[place, name] = steps_seen
        zero = steps_seen == 0
        print(
            f"{NAMES[place]:<28} {name:<16} {zero.float().mean():4.0%} zeros, ", end=""
        )
        print(f"{int(zero.all(dim=0).sum()):>2} of {SIZE} units are 0 at all steps")

# The figure: both perplexities against p, for the two places. A training perplexity far
# below that of the table is a sign that the text was learned by heart. Below, the zeros
# that the second layer gets.
figure = Figure(figsize=(6.6, 9.6))
grid = figure.add_gridspec(4, 3, height_ratios=(1.7, 1.7, 1, 1))
axes = [figure.add_subplot(grid[0, :]), figure.add_subplot(grid[1, :])]
for number, ((place, name), values) in enumerate(caught.items()):
    picture = figure.add_subplot(grid[2 + number // 3, number % 3])
    picture.imshow(
        values[:, :24].T == 0,
        cmap="Greys",
        aspect="auto",
        interpolation="nearest",
        vmin=0,
        vmax=1,
    )
    picture.set(
        xticks=[], yticks=[], xlabel="step", ylabel="unit" if number % 3 == 0 else ""
    )
    picture.spines[["top", "right"]].set_visible(True)
    picture.set_title(f"{NAMES[place].replace(', ', ',' + chr(10))}:\n{name}")
for side, (axis, title) in enumerate(
    zip(axes, ("Validation text", "Training text"), strict=True)
):
    for place, colour in (("non_recurrent", COLOURS[0]), ("recurrent", COLOURS[1])):
        line = [results[place, p][side] for p in (0.0, 0.3, 0.5)]
        axis.plot([0.0, 0.3, 0.5], line, color=colour, marker="o", label=NAMES[place])
    if ("variational", 0.5) in results:
        point = results["variational", 0.5][side]
        axis.plot(
            [0.5],
            [point],
            color=COLOURS[2],
            marker="D",
            linestyle="",
            label=NAMES["variational"],
        )
    axis.axhline(
        goal,
        color=COLOURS[6],
        linestyle="--",
        linewidth=1,
        label="the table itself, validation text",
    )
    axis.set(
        xlabel="dropout p",
        ylabel="perplexity",
        title=title,
        ylim=(1, 15),
        xlim=(-0.02, 0.54),
    )
axes[1].legend(loc="upper left")
figure.suptitle("The same dropout does more between layers than through time")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# PyTorch's dropout draws its mask and hides it. From its output the mask can be read
# off, and with that mask the NumPy function has to give the same values.
heading("7. NumPy against PyTorch")
x = torch.randn(4, 6)
dropped = F.dropout(x, 0.3)
same = kata.dropout_numpy(x.double().numpy(), (dropped != 0).numpy(), 0.3)
print("first row, NumPy:  ", same[0].round(4))
print("first row, PyTorch:", dropped[0].numpy().round(4))
print(f"largest difference: {np.abs(same - dropped.numpy()).max():.1e}")

# One step of the trained net, from the state after 20 symbols: by the NumPy stack with
# all units kept, and by the net in eval mode.
net.eval()
with torch.no_grad():
    _, state = net(training[None, :20])
    logits, after = net(training[None, 20:21], state)
    embedded = net.embed(training[20]).double().numpy()
arrays = []
for cell in net.cells:
    bias = cell.bias_ih + cell.bias_hh
    arrays.append(
        tuple(
            w.detach().double().numpy() for w in (cell.weight_ih, cell.weight_hh, bias)
        )
    )
old = [tuple(part[0].double().numpy() for part in layer) for layer in state]
stepped = stretch(
    kata.lstm_stack_step_numpy, embedded, old, arrays, [np.full(SIZE, True)] * 3, 0.0
)
if stepped is not None:
    print("top h, NumPy:  ", stepped[0][:5].round(4))
    print("top h, PyTorch:", after[-1][0][0, :5].numpy().round(4))
    print(
        f"largest difference: {np.abs(stepped[0] - after[-1][0][0].numpy()).max():.1e}"
    )

# The gradient comes from PyTorch alone. It takes the same way back, through two layers
# and 20 steps. The check is a difference quotient: move one weight by ±ε, and see how
# the loss moves.
exact = copy.deepcopy(net).double()
torch.set_default_dtype(torch.float64)  # also of the zeros that the net starts from


def loss_of_a_window():
    return F.cross_entropy(exact(training[None, :20])[0][0], training[1:21])


loss_of_a_window().backward()
weight, epsilon = exact.cells[0].weight_hh, 1e-5
gradient = weight.grad[0, 1].item()
with torch.no_grad():
    weight[0, 1] += epsilon
    above = loss_of_a_window().item()
    weight[0, 1] -= 2 * epsilon
    below = loss_of_a_window().item()
torch.set_default_dtype(torch.float32)
print(
    f"gradient of one weight: autograd {gradient:.8f}, difference quotient "
    f"{(above - below) / (2 * epsilon):.8f}"
)
print(
    "PyTorch replaced the backward pass (autograd), the loop over texts (a batch), "
    "the lists of arrays (nn.Module)."
)
