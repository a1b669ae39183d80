"""Paper 06 in code: a network whose output is a place of its input learns to sort, also
longer lists than it saw.
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
# One list, one decoder state, one score per place. The weights know nothing of the
# number of places: the same ones score 4 places and 7. A softmax makes probabilities of
# the scores, and these already are the network's answer.
heading("2. Recap of the NumPy view")
draws, H = np.random.default_rng(0), 3
W1, W2, v = draws.normal(size=(H, H)), draws.normal(size=(H, H)), draws.normal(size=H)
dec = draws.normal(size=H)
for width in (4, 7):
    scores = stretch(
        kata.pointer_scores_numpy, draws.normal(size=(width, H)), dec, W1, W2, v
    )
    if scores is not None:
        chances = np.exp(scores) / np.exp(scores).sum()
        print(
            f"{width} places: scores {scores.round(2)}, probabilities "
            f"{chances.round(2)}"
        )

# 3. Data
#
# Lists of 3 to 6 numbers, and the places of their numbers in rising order. Padding
# holds 0 in x and -100 in the targets, the number that PyTorch's cross-entropy ignores.
heading("3. Data")
generator = torch.Generator().manual_seed(0)
x, lengths, targets = kata.sort_batch(64, 3, 6, generator)
for row in range(3):
    print(
        f"numbers {x[row, :, 0].numpy().round(2)}, length {lengths[row]}, places "
        f"{targets[row].tolist()}"
    )

# The paper's second task needs no other model, only other targets: the corners of a
# hull, counter-clockwise.
points = torch.rand(12, 2, generator=torch.Generator().manual_seed(9))
hull = stretch(kata.convex_hull, points)
if hull is not None:
    print(f"12 points in the plane, the corners of their hull: {hull.tolist()}")

# 4. Model
#
# An encoder that reads, a decoder that points. The code below is the one that runs
# here: your own where the core of the kata works.
heading("4. Model")
model = kata.PointerNet(1, 48)
shown_code(kata.PointerNet.forward)
with torch.no_grad():
    logits, picks = model(x, lengths)
print(
    f"x {tuple(x.shape)}, lengths {tuple(lengths.shape)} → logits "
    f"{tuple(logits.shape)}, picks {tuple(picks.shape)}"
)
print(
    f"{sum(p.numel() for p in model.parameters())} parameters, whatever the length of "
    "a list"
)
for row in range(2):
    print(f"untrained: targets {targets[row].tolist()}, picks {picks[row].tolist()}")

# Guessing among the places that are left costs ln n in the first step, ln (n - 1) in
# the next, and nothing in the last. The mean over all steps of lists with 3 to 6
# numbers predicts the first loss.
guess = sum(math.log(math.factorial(n)) for n in range(3, 7)) / sum(range(3, 7))
print(f"prediction for the first loss: {guess:.2f}")

# 5. Training loop
#
# The trainer's body, one level lower than you write it: the loss as minus the log
# probability of the right place, the norm and the clipping as arithmetic. After the
# first backward pass every parameter has a gradient of its own shape.
heading("5. Training loop")
STEPS, MAX_NORM = 200, 2.0
parameters = dict(model.named_parameters())
adam = torch.optim.Adam(parameters.values(), lr=0.005)
losses = []
for step in range(STEPS):
    x, lengths, targets = kata.sort_batch(64, 3, 6, generator)
    scores = model(x, lengths, targets=targets)[0]
    real = targets >= 0
    surprise = -scores[real].log_softmax(dim=1)
    loss = surprise[torch.arange(len(surprise)), targets[real]].mean()
    adam.zero_grad()
    loss.backward()
    norm = math.sqrt(sum(p.grad.pow(2).sum().item() for p in parameters.values()))
    for p in parameters.values():
        p.grad *= min(1.0, MAX_NORM / norm)
    if step == 0:
        for name, p in parameters.items():
            print(
                f"gradient of {name:<20} {str(tuple(p.grad.shape)):<9} norm "
                f"{p.grad.norm().item():.4f}"
            )
        before = model.start[0].item()
    adam.step()
    losses.append(loss.item())
    if step == 0:
        print(
            f"start[0] before and after the first step: {before:.4f} → "
            f"{model.start[0].item():.4f}"
        )

# Adam's first step has the length of the learning rate, 0.005, whatever the size of
# the gradient.
for step in (0, 25, 50, 100, 150, 199):
    print(f"loss of step {step:>3}: {losses[step]:.3f}")

# 6. Evaluation and figure
#
# Now the network is on its own: each pick is fed to the next step. Lists of 5 are like
# those in training. Lists of 8 are longer than any of them; of 40,320 orders one
# is right.
heading("6. Evaluation and figure")
with torch.no_grad():
    for length in (5, 6, 8, 12):
        x, lengths, targets = kata.sort_batch(300, length, length, generator)
        logits, picks = model(x, lengths)
        match, places = (
            kata.exact_match(picks, targets),
            (picks == targets).double().mean().item(),
        )
        seen = "like in training" if length <= 6 else "never seen"
        print(
            f"length {length:>2}: {match:.2f} of the lists without a mistake, "
            f"{places:.3f} of the places ({seen})"
        )
        if length == 8:
            numbers, chances, chosen = x[0, :, 0], logits[0].softmax(dim=-1), picks[0]

# One list of length 8, and the numbers in the order of the picks. Every place is picked
# once, because the used ones have a score of -inf.
print(f"numbers {numbers.numpy().round(2)}")
print(f"picks   {chosen.tolist()}")
print(f"sorted  {numbers[chosen].numpy().round(2)}")

# Where do mistakes come from? A list is hard if two of its numbers are nearly equal.
with torch.no_grad():
    x, lengths, targets = kata.sort_batch(1000, 8, 8, generator)
    right = (model(x, lengths)[1] == targets).all(dim=1)
gaps = x[..., 0].sort(dim=1).values.diff(dim=1).amin(dim=1)
for low, high in ((0.0, 0.005), (0.005, 0.02), (0.02, 1.0)):
    some = (gaps >= low) & (gaps < high)
    share = right[some].double().mean().item()
    print(
        f"smallest gap from {low} to {high}: {int(some.sum())} lists, {share:.2f} "
        "without a mistake"
    )

# The figure: the pointers of this list, one row per step, and the second task of
# the paper.
figure = Figure(figsize=(6.6, 5.6))
first, second = figure.subplots(2)
picture = first.imshow(chances.numpy(), vmin=0, vmax=1, aspect="auto")
first.set_xticks(range(8), [f"{number:.2f}" for number in numbers.tolist()])
first.set_yticks(range(8), [str(step + 1) for step in range(8)])
first.set(
    xlabel="place of the input, by its number",
    ylabel="step",
    title="Sorting: each step points at one place",
)
first.tick_params(length=0)
figure.colorbar(picture, ax=first, shrink=0.8, ticks=[0, 0.5, 1], label="probability")
second.scatter(*points.T.tolist(), color=COLOURS[6], s=18, zorder=2)
if hull is not None:
    way = points[torch.cat([hull, hull[:1]])]
    second.plot(*way.T.tolist(), color=COLOURS[0], zorder=1)
    for rank, corner in enumerate(points[hull].tolist(), start=1):
        away = torch.tensor(corner) - points.mean(dim=0)
        offset = (12 * away / away.norm()).tolist()
        second.annotate(
            str(rank),
            corner,
            offset,
            textcoords="offset points",
            ha="center",
            va="center",
        )
second.set(
    xlabel="x",
    ylabel="y",
    title="Convex hull: the targets are places, too",
    aspect="equal",
)
second.margins(0.12)
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The trained attention's weights as arrays, and one list of random states scored twice:
# by the NumPy formula in float64, and by the module in float32. The largest difference
# is rounding.
heading("7. NumPy against PyTorch")
attention = model.attention
W1, W2, v = (getattr(attention, name).weight.detach() for name in ("W1", "W2", "v"))
enc, dec = torch.randn(2, 6, 48), torch.randn(2, 48)
arrays = [tensor.double().numpy() for tensor in (enc[0], dec[0], W1, W2, v[0])]
scores = stretch(kata.pointer_scores_numpy, *arrays)
with torch.no_grad():
    logits = attention(enc, dec)
if scores is not None:
    print("scores of the first list, NumPy:  ", scores.round(4))
    print("scores of the first list, PyTorch:", logits[0].numpy().round(4))
    print(f"largest difference: {np.abs(scores - logits[0].numpy()).max():.1e}")

# Autograd gives the gradient of a score with respect to any weight, through softmax,
# loop and two LSTMs. The check is a difference quotient: move one weight by ±ε, and see
# how the loss moves.
exact = kata.PointerAttention(4).double()
enc, dec = torch.randn(2, 5, 4).double(), torch.randn(2, 4).double()


def loss_of_two_pointers():
    return -exact(enc, dec).log_softmax(dim=1)[[0, 1], [3, 2]].mean()


loss_of_two_pointers().backward()
gradient, epsilon = exact.W2.weight.grad[0, 1].item(), 1e-5
with torch.no_grad():
    exact.W2.weight[0, 1] += epsilon
    above = loss_of_two_pointers().item()
    exact.W2.weight[0, 1] -= 2 * epsilon
    below = loss_of_two_pointers().item()
print(
    f"gradient of W2[0, 1]: autograd {gradient:.8f}, difference quotient "
    f"{(above - below) / (2 * epsilon):.8f}"
)
print(
    "PyTorch replaced the loop over lists (a batch), the backward pass (autograd), "
    "the list of arrays (nn.Module)."
)
