"""Paper 08 in code: a set is read by attention alone, and a code that knows no order is
enough to sort from.
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
# Attention reads a memory as a weighted mean. Three rows here, and a query that fits
# the first one best. A longer query makes the same choice more sharply. With the rows
# in another order the readout should be the same, to the last digit shown: that is all
# the invariance there is to it.
heading("2. Recap of the NumPy view")
memory = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 4.0], [0.5, 0.5, 6.0]])
query = np.array([1.0, -1.0, 0.5])
for factor in (0, 1, 4):
    found = stretch(kata.attention_readout_numpy, memory, factor * query)
    if found is None:
        break
    readout, weights = found
    print(
        f"   query {(factor * query).tolist()}: weights {weights.round(3)}, readout "
        f"{readout.round(3)}"
    )
    again, _ = kata.attention_readout_numpy(memory[[2, 0, 1]], factor * query)
    print(f"      rows in another order: readout {again.round(3)}")

# 3. Data
#
# Sets of five numbers, as arrays in an order that means nothing. The target is the
# order in which they are to be written: from the smallest to the largest, or, for
# comparison, an order drawn at random for each set.
heading("3. Data")
generator = torch.Generator().manual_seed(0)
x = kata.number_sets(3, 5, generator)
rising, drawn = kata.set_targets(x), kata.set_targets(x, "random", generator)
for row in range(3):
    values = x[row, :, 0].numpy().round(2)
    print(f"   {values}  sorted {rising[row].tolist()}  random {drawn[row].tolist()}")

# Nobody can predict a random order. What is left to choose from gets smaller, though:
# guessing costs ln 5 in the first step, ln 4 in the next, and nothing in the last. The
# mean is the floor of the loss for random targets, and also the loss of a
# fresh network.
floor = math.log(math.factorial(5)) / 5
print(
    "   prediction for the first loss, and for every loss with random targets: "
    f"ln(5!) / 5 = {floor:.3f}"
)

# 4. Model
#
# Three parts: `read` turns each element into a memory row, `process` looks at the
# memory a few times, and the decoder writes by pointing at rows. The process block
# below is the one that runs here: your own where the core of the kata works.
heading("4. Model")
model = kata.ReadProcessWrite(1, 32, 5)
shown_code(kata.ProcessBlock.forward)
with torch.no_grad():
    memory, set_code = model.encode(x)
    logits, picks = model(x)
print(
    f"   x {tuple(x.shape)} → memory {tuple(memory.shape)}, code "
    f"{tuple(set_code.shape)}"
)
print(f"   → logits {tuple(logits.shape)}, picks {tuple(picks.shape)}")

# The fresh network already sorts, and that is an accident: a score of one number tends
# to rise or fall with it. Under another seed it sorts downwards. The probabilities tell
# what it knows: the elements should be nearly equal.
for row in range(3):
    first = logits[row, 0].softmax(dim=0).numpy().round(2)
    print(
        f"   untrained: targets {rising[row].tolist()}, picks {picks[row].tolist()}, "
        f"first step {first}"
    )

# How much does the order of the elements change the code? For the set reader by
# rounding only, whatever its weights. The baseline reads the same elements with an
# LSTM, one after the other.
lstm_model = kata.ReadProcessWrite(1, 32, reader="lstm")
tested = kata.number_sets(500, 5, generator)
print(f"   order gap, set reader: {kata.order_gap(model, tested, generator):.1e}")
print(f"   order gap, LSTM:       {kata.order_gap(lstm_model, tested, generator):.1e}")

# 5. Training loop
#
# The trainer's body for four models side by side, on the same sets: 0, 1 and 5 process
# steps with sorted targets, and 1 step with random ones. The loop is one level lower
# than you write it: the loss as minus the log probability of the right place, the norm
# and the clipping as arithmetic.
heading("5. Training loop")
STEPS, MAX_NORM = 150, 2.0
SETTINGS = {
    "0 steps": (0, "sorted"),
    "1 step": (1, "sorted"),
    "5 steps": (5, "sorted"),
    "random order": (1, "random"),
}
models, optimizers, losses = {}, {}, {}
for name, (process_steps, _) in SETTINGS.items():
    torch.manual_seed(0)
    models[name], losses[name] = kata.ReadProcessWrite(1, 32, process_steps), []
    optimizers[name] = torch.optim.Adam(models[name].parameters(), lr=0.005)
for step in range(STEPS):
    x = kata.number_sets(64, 5, generator)
    for name, net in models.items():
        targets = kata.set_targets(x, SETTINGS[name][1], generator)
        chances = net(x, targets=targets)[0].log_softmax(dim=2)
        loss = -chances.take_along_dim(targets[:, :, None], dim=2).mean()
        optimizers[name].zero_grad()
        loss.backward()
        learned = {
            label: p for label, p in net.named_parameters() if p.grad is not None
        }
        norm = math.sqrt(sum(p.grad.square().sum().item() for p in learned.values()))
        for p in learned.values():
            p.grad *= min(1.0, MAX_NORM / norm)
        if step == 0 and name == "5 steps":
            for label, p in learned.items():
                print(
                    f"   gradient of {label:<22} {str(tuple(p.shape)):<9} norm "
                    f"{p.grad.norm().item():.5f}"
                )
            before = net.v.weight[0, 0].item()
        optimizers[name].step()
        losses[name].append(loss.item())
        if step == 0 and name == "5 steps":
            print(
                f"   v[0, 0] before and after the first step: {before:.4f} → "
                f"{net.v.weight[0, 0].item():.4f}"
            )

# The process block's gradients are small at first: a fresh writer hardly uses the code.
# The losses as they fall, in means over ten steps. Without processing the loss should
# stay the highest of the three sorted ones.
print("   steps       " + "   ".join(f"{name:>12}" for name in losses))
for first in (0, 20, 40, 80, 140):
    means = [sum(curve[first : first + 10]) / 10 for curve in losses.values()]
    print(
        f"   {first:>3} to {first + 9:>3}  "
        + "   ".join(f"{mean:12.3f}" for mean in means)
    )

# 6. Evaluation and figure
#
# Now each network follows its own picks, on 500 new sets. Chance is 1 in 120. The
# memory holds all elements, so even a writer without a code can sort: it scores each
# number and takes the best one that is left. What a look at the set adds shows in the
# loss. With random targets the picks are those of an undecided network: they may be
# sorted or not, and the loss should be the predicted floor.
heading("6. Evaluation and figure")
right_order = kata.set_targets(tested)
with torch.no_grad():
    for name, net in models.items():
        share = (net(tested)[1] == right_order).all(dim=1).double().mean().item()
        last = sum(losses[name][-20:]) / 20
        print(
            f"   {name:<13} {share:.3f} of the sets in rising order, last 20 losses "
            f"{last:.3f}"
        )

# Where does the code help? The loss of every written element, on the same sets. The
# last one costs nothing, because it is the only one left.
with torch.no_grad():
    for name in ("0 steps", "5 steps"):
        forced, _ = models[name](tested, right_order)
        surprise = (
            -forced.log_softmax(dim=2)
            .take_along_dim(right_order[:, :, None], dim=2)
            .mean(dim=(0, 2))
        )
        print(
            f"   {name}: loss of each written element {surprise.abs().numpy().round(3)}"
        )

# The baseline, trained by your trainer in one call. Training makes its order gap
# larger, for it uses the code; that of the set reader stays rounding.
curve = kata.train_sorter(lstm_model, steps=100, generator=generator)
with torch.no_grad():
    share = (lstm_model(tested)[1] == right_order).all(dim=1).double().mean().item()
print(
    f"   LSTM reader, 100 steps: loss {curve[0]:.3f} → {sum(curve[-20:]) / 20:.3f}, "
    f"{share:.3f} of the sets right"
)
print(
    "   order gap, set reader with 5 steps: "
    f"{kata.order_gap(models['5 steps'], tested, generator):.1e}"
)
print(
    "   order gap, LSTM:                    "
    f"{kata.order_gap(lstm_model, tested, generator):.1e}"
)

# What does the process block look at? The first half of q* after k steps is the query
# of step k, so the weights can be computed from outside. One set, its elements in
# rising order to make them easy to find.
one = tested[:1, right_order[0]]
process, looks = models["5 steps"].process, []
with torch.no_grad():
    memory, _ = models["5 steps"].encode(one)
    for k in range(1, 6):
        asked = process(memory, k)[0, :32]
        looks.append((memory[0] @ asked).softmax(dim=0))
print(f"   one set: {one[0, :, 0].numpy().round(2)}")
for k, look in enumerate(looks, start=1):
    print(f"   step {k}: weights {look.numpy().round(2)}")

# The figure: the losses above, and below the weights of the five steps on this one set.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
marks = {
    "0 steps": (0, "-"),
    "1 step": (1, "-"),
    "5 steps": (2, "--"),
    "random order": (4, "-"),
}
for name, (colour, line) in marks.items():
    smooth = np.convolve(losses[name], np.ones(10) / 10, "valid")
    above.semilogy(
        np.arange(len(smooth)) + 5, smooth, line, color=COLOURS[colour], label=name
    )
above.set(xlabel="training step", ylabel="loss (mean of 10 steps)")
above.set_title("A look at the set helps, a random order is not learned")
above.set_yticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])
above.minorticks_off()
above.legend(loc="upper right", bbox_to_anchor=(1, 0.9))
picture = below.imshow(torch.stack(looks).numpy(), vmin=0, vmax=0.4, aspect="auto")
below.set_xticks(range(5), [f"{number:.2f}" for number in one[0, :, 0].tolist()])
below.set_yticks(range(5), [str(k) for k in range(1, 6)])
below.set(xlabel="element", ylabel="process step", title="What each step looks at")
below.tick_params(length=0)
figure.colorbar(picture, ax=below, shrink=0.8, ticks=[0, 0.2, 0.4], label="weight")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# One process step of the trained block, in PyTorch and float32. Its h goes into the
# NumPy function as a query, in float64; the readout should be the other half of q*.
heading("7. NumPy against PyTorch")
with torch.no_grad():
    q_star = process(memory, 1)[0]
found = stretch(
    kata.attention_readout_numpy,
    memory[0].double().numpy(),
    q_star[:32].double().numpy(),
)
if found is not None:
    readout, weights = found
    print(f"   weights, NumPy:   {weights.round(5)}")
    print(f"   weights, PyTorch: {looks[0].numpy().round(5)}")
    print(
        "   readout, largest difference: "
        f"{np.abs(readout - q_star[32:].numpy()).max():.1e}"
    )

# Autograd gives the gradient of the code with respect to every element, through all
# steps of cell and attention. The check is a difference quotient: move one element by
# ±ε, and see how the sum of the code moves.
exact = kata.ReadProcessWrite(1, 4).double()
torch.set_default_dtype(torch.float64)  # also of the zeros that a model starts from
elements = torch.rand(1, 5, 1, dtype=torch.float64, requires_grad=True)
exact.encode(elements)[1].sum().backward()
ends, epsilon = [], 1e-5
with torch.no_grad():
    for nudge in (epsilon, -epsilon):
        moved = elements.clone()
        moved[0, 2] += nudge
        ends.append(exact.encode(moved)[1].sum().item())
torch.set_default_dtype(torch.float32)
slope = (ends[0] - ends[1]) / (2 * epsilon)
print(
    f"   slope by moving element 2: {slope:.8f}, from autograd: "
    f"{elements.grad[0, 2].item():.8f}"
)
print(
    "   PyTorch replaced the loop over sets (a batch), the backward pass (autograd), "
    "the list of arrays (nn.Module)."
)
