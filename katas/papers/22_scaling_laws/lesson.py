"""Paper kata 22 in code: losses on a line, a prediction before the training, and a
budget split in two.
"""

import re

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn

from grader.datasets import prose
from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# Kaplan et al. write the loss of a language model as a power of its size,
# (8.8e13 / N)^0.076. Here are five losses from that law, with 1 % of noise. The fit
# should find an exponent near 0.076. A power law has no scale: ten times the size
# should multiply the loss by 10^-0.076 = 0.84, wherever one starts.
heading("2. Recap of the NumPy view")
parameters = np.array([1e5, 1e6, 1e7, 1e8, 1e9])
noisy = (8.8e13 / parameters) ** 0.076 * (
    1 + 0.01 * np.random.default_rng(0).standard_normal(5)
)
found = stretch(kata.fit_power_law_numpy, parameters, noisy)
for n, loss in zip(parameters, noisy, strict=True):
    print(f"   {n:8.0e} parameters: loss {loss:.3f}")
if found is not None:
    a, alpha = found
    print(f"   fit: a = {a:.2f}, alpha = {alpha:.4f}")
    print(f"   ten times the size: loss times {10**-alpha:.3f}")
    print(
        f"   1e11 parameters: {a * 1e11**-alpha:.3f} predicted, "
        f"{(8.8e13 / 1e11) ** 0.076:.3f} by the law"
    )

# 3. Data
#
# y is a sum of 256 features, which matter less and less. A model that reads the first n
# of them misses the others, and their share falls as a power of n. So the exponent of
# the law is known beforehand: 0.8.
heading("3. Data")
x, y = kata.make_power_law_data(3, generator=torch.Generator().manual_seed(0))
print(f"   x {tuple(x.shape)}, y {tuple(y.shape)}")
for features, target in zip(x, y.tolist(), strict=True):
    print(f"   {features[:4].numpy().round(2)} and 252 more features: y = {target:.3f}")

# The smallest possible loss of each size, and the slope from one size to the next in
# logs. It should be near 0.8 up to size 32. Then it gets steeper, because there are
# finitely many features: with all 256 of them nothing is missing.
SIZES = [2, 4, 8, 16, 32, 64, 128]
best = [kata.exact_loss(size) for size in SIZES]
slopes = [
    float(np.log2(small / large)) for small, large in zip(best, best[1:], strict=False)
]
print("   size                " + "".join(f"{size:>8}" for size in SIZES))
print("   smallest loss       " + "".join(f"{loss:8.3f}" for loss in best))
print(
    "   slope from before   " + " " * 8 + "".join(f"{slope:8.2f}" for slope in slopes)
)

# 4. Model
#
# A linear model of the first n features. The code below is the one that runs here: your
# own where the core of the kata works.
heading("4. Model")
model = kata.FeatureModel(8)
shown_code(kata.FeatureModel.forward)
print(
    f"   x {tuple(x.shape)} → predictions {tuple(model(x).shape)}, "
    f"{model.linear.weight.numel()} parameters"
)

# The model is blind to later features. Feature 9 and then feature 8 are raised by 1.
# The first change should do nothing, the second one should change the prediction by the
# last weight.
with torch.no_grad():
    for column in (8, 7):
        nudged = x.clone()
        nudged[:, column] += 1.0
        print(
            f"   feature {column + 1} plus 1: prediction "
            f"{(model(nudged) - model(x))[0].item():+.4f}"
        )
    print(f"   the last weight: {model.linear.weight[0, -1].item():+.4f}")

# 5. Training loop
#
# Five sizes learn side by side from the same batches. The trainer's body is one level
# lower than you write it: the squared error as arithmetic, and the update without an
# optimizer. The rate falls in equal parts. Every step has new samples, so nothing can
# be learned by heart.
heading("5. Training loop")
STEPS, RATE = 300, 0.1
draws = torch.Generator().manual_seed(0)
models = {size: kata.FeatureModel(size) for size in SIZES[:5]}
curves = {size: [] for size in models}
for net in models.values():
    net.linear.weight.data *= 0
for step in range(STEPS):
    x, y = kata.make_power_law_data(128, generator=draws)
    for size, net in models.items():
        weight = net.linear.weight
        error = (net(x) - y).square().sum() / len(y)
        weight.grad = None
        error.backward()
        curves[size].append(error.item())
        if step == 0:
            print(
                f"   size {size:>2}: gradient of linear.weight "
                f"{tuple(weight.grad.shape)!s:<8}",
                end="",
            )
            print(f" norm {weight.grad.norm():.3f}")
        before = weight[0, 0].item()
        weight.data -= (STEPS - step) * RATE / STEPS * weight.grad
        if step == 0 and size == 32:
            print(
                "   first weight of size 32, before and after the first step: "
                f"{before:.3f} → {weight[0, 0]:.3f}"
            )

# All start with the variance of y, about 1.88. Each size should level off at its own
# smallest loss. The numbers are means of 20 steps.
print("   steps        " + "".join(f"{f'size {size}':>10}" for size in models))
for first in (0, 10, 40, 280):
    means = [sum(curve[first : first + 20]) / 20 for curve in curves.values()]
    print(
        f"   {first:>3} to {first + 19:>3}   "
        + "".join(f"{mean:10.3f}" for mean in means)
    )
print("   smallest loss" + "".join(f"{kata.exact_loss(size):10.3f}" for size in models))

# 6. Evaluation and figure
#
# The trainer does all of that in one call per size, and measures the loss on 4000 fresh
# samples. Four small models are fitted first. The line says what size 32 will reach,
# before it is trained. It should say a bit too much, because the true curve
# gets steeper.
heading("6. Evaluation and figure")
draws = torch.Generator().manual_seed(0)
losses = {size: kata.train_size(size, generator=draws) for size in (2, 4, 8, 16)}
line_a, line_alpha = kata.fit_power_law(list(losses), list(losses.values()))
predicted = line_a * 32**-line_alpha
losses[32] = kata.train_size(32, generator=draws)
for size, loss in losses.items():
    print(
        f"   size {size:>2}: loss {loss:.4f}, smallest possible "
        f"{kata.exact_loss(size):.4f}"
    )
print(f"   line through sizes 2 to 16: a = {line_a:.3f}, alpha = {line_alpha:.3f}")
print(
    f"   size 32: predicted {predicted:.4f}, measured {losses[32]:.4f}: "
    f"{predicted / losses[32] - 1:+.1%}"
)
print(
    "   line through all five: alpha = "
    f"{kata.fit_power_law(list(losses), list(losses.values()))[1]:.3f}"
)

# Real text has a floor: even a perfect model cannot know the next word. Suppose that
# 0.3 of noise were added to y. A line without a floor should then find an exponent that
# is much too small.
floored = [loss + 0.3 for loss in losses.values()]
print(
    "   with a floor of 0.3, fitted without one: alpha = "
    f"{kata.fit_power_law(list(losses), floored)[1]:.3f}"
)
saturating = stretch(kata.fit_saturating, list(losses), floored)
if saturating is not None:
    print(
        "   fitted with one: a = {:.3f}, alpha = {:.3f}, c = {:.3f}".format(*saturating)
    )

# The other law is that of data. A model of 8 features has learned all that its samples
# can tell. With D samples its excess over the smallest loss should be near 8 / (D − 9)
# of that loss, and no number of samples gets it lower.
SAMPLES = [32, 64, 128, 256, 512]
limited = []
for samples in SAMPLES:
    loss = stretch(kata.data_limited_loss, samples, generator=draws)
    if loss is None:
        break
    limited.append(loss)
    expected = kata.exact_loss(8) * 8 / (samples - 9)
    print(
        f"   {samples:>3} samples: loss {loss:.4f}, excess "
        f"{loss - kata.exact_loss(8):.4f}, expected {expected:.4f}"
    )

# With a law in both, a budget can be split. Hoffmann et al. fit
# 1.69 + 406.4 · N^-0.34 + 410.7 · D^-0.28 to language models, N parameters and D
# tokens. With 100 times the budget N should grow by 100^(0.28 / 0.62) = 8 and D by
# 12.5. A model twice or half as large should be worse.
LAW = (406.4, 0.34, 410.7, 0.28)


def text_loss(n, compute):
    """The loss by the law of Hoffmann et al., for a model of size n that spends the
    whole budget.
    """
    return 1.69 + LAW[0] * n ** -LAW[1] + LAW[2] * (compute / (6 * n)) ** -LAW[3]


optima = {}
print(
    f"   {'budget':>6} {'N':>9} {'D':>9} {'D / N':>6} {'loss':>7} {'half N':>7} "
    f"{'2 · N':>7}"
)
for compute in (1e19, 1e21, 1e23):
    n, d = kata.compute_optimal(compute, *LAW)
    optima[compute] = n
    three = "".join(f" {text_loss(factor * n, compute):7.4f}" for factor in (1, 0.5, 2))
    print(f"   {compute:6.0e} {n:9.2e} {d:9.2e} {d / n:6.1f}{three}")

# Until here the exponent was built into the data. Nobody has built one into text. So
# the same question for language models: transformers of one layer and six widths, which
# read 32 letters of Python's help texts and predict the next ones. As in the paper, N
# counts neither embeddings nor the last layer. All are trained now, 500 steps each:
# about half a minute.
CONTEXT, BATCH = 32, 24
text = re.sub(r"[^a-z.]+", " ", prose().lower())
letters = sorted(set(text))
tokens = torch.tensor([letters.index(letter) for letter in text])
END = len(tokens) * 9 // 10
UNSEEN = tokens[END:].unfold(0, CONTEXT + 1, CONTEXT + 1)[:600]
print(
    f"   {len(tokens):,} letters, {len(letters)} different ones; measured on "
    f"{UNSEEN.numel():,} of the last tenth"
)


class LanguageModel(nn.Module):
    """A transformer of one layer that predicts the next letter. Without its block it
    looks at the last letter only.
    """

    def __init__(self, width, has_block):
        super().__init__()
        self.letter, self.place = (
            nn.Embedding(len(letters), width),
            nn.Embedding(CONTEXT, width),
        )
        for table in (self.letter, self.place):
            nn.init.normal_(table.weight, std=0.1)
        heads = max(1, width // 8)
        self.block = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(letters)))
        self.mask = nn.Transformer.generate_square_subsequent_mask(CONTEXT)
        self.has_block = has_block

    def forward(self, ids):
        x = self.letter(ids) + self.place.weight
        return self.out(
            self.block(x, self.mask, is_causal=True) if self.has_block else x
        )

    def loss(self, rows):
        """The mean loss per letter in nats, where each row's letters are predicted from
        those before.
        """
        return F.cross_entropy(self(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())


def measured(width, steps, has_block=True):
    """The size of a model, and its loss on unseen text after so many steps."""
    torch.manual_seed(0)
    net = LanguageModel(width, has_block)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = (
            0.01 * min(1, (step + 1) / 50) * (1 - step / steps)
        )
        starts = torch.randint(END - CONTEXT - 1, (BATCH, 1))
        optimizer.zero_grad()
        net.loss(tokens[starts + torch.arange(CONTEXT + 1)]).backward()
        optimizer.step()
    with torch.no_grad():
        return sum(parameter.numel() for parameter in net.block.parameters()), net.loss(
            UNSEEN
        ).item()


WIDTHS = (4, 8, 16, 32, 48, 64)
points = dict(measured(width, 500) for width in WIDTHS)
counts, text_losses = list(points), list(points.values())
for width, count, loss in zip(WIDTHS, counts, text_losses, strict=True):
    print(f"   width {width:>2}: {count:>6,} parameters, loss {loss:.3f}")

# Where does the law bend? The slope between neighbours would be the same everywhere if
# size alone limited the loss. The tiny models know little more than which letter
# follows which. Embeddings and last layer are enough for that, and N does not count
# them: without its block a tiny model should be as good. The large ones are cut short
# by their 500 steps. So the line through the middle, widths 8 to 32, should promise too
# much for width 64.
for width in WIDTHS[:4]:
    print(
        f"   width {width:>2} without its block: loss "
        f"{measured(width, 500, has_block=False)[1]:.3f}"
    )
for small, large in zip(counts, counts[1:], strict=False):
    alpha = kata.fit_power_law([small, large], [points[small], points[large]])[1]
    print(f"   from {small:>6,} to {large:>6,} parameters: alpha = {alpha:.3f}")
text_a, text_alpha = kata.fit_power_law(counts[1:4], text_losses[1:4])
promised = text_a * counts[-1] ** -text_alpha
longer = measured(64, 1000)[1]
print(
    f"   line through widths 8, 16 and 32: alpha = {text_alpha:.3f}; all six: ", end=""
)
print(f"{kata.fit_power_law(counts, text_losses)[1]:.3f}; Kaplan et al.: 0.076")
print(
    f"   width 64: the line says {promised:.3f}; 500 steps {text_losses[-1]:.3f}, "
    f"1000 steps {longer:.3f}"
)
saturated = stretch(kata.fit_saturating, counts, text_losses)
if saturated is not None:
    print(
        (
            "   six sizes, fitted with a floor: a = {:.3f}, alpha = {:.3f}, c = {:.3f}"
        ).format(*saturated)
    )

# The figure: the points and the line through the small models; the language models with
# theirs; the loss over N for three budgets; and the loss over samples with the floor
# that only a larger model lowers.
figure = Figure(figsize=(6.6, 11.6))
law, real, budget, data = figure.subplots(4)
ends = np.array([150.0, 80_000.0])
real.loglog(ends, text_a * ends**-text_alpha, "--", color=COLOURS[1])
real.loglog(counts, text_losses, "o", color=COLOURS[0])
real.loglog(
    counts[-1:], [longer], "o", color=COLOURS[0], markerfacecolor="white", markersize=8
)
real.text(
    160,
    1.55,
    f"line through widths 8 to 32:\n{text_a:.2f} · N^−{text_alpha:.2f}",
    color=COLOURS[1],
)
real.text(
    counts[-1] / 1.3,
    longer,
    "twice the steps",
    color=COLOURS[0],
    ha="right",
    va="center",
)
real.set_xticks([1e3, 1e4], ["1,000", "10,000"])
real.set_yticks([1.5, 2.0, 2.5], ["1.5", "2.0", "2.5"])
real.minorticks_off()
real.set(
    xlabel="parameters N",
    ylabel="loss per letter (nats)",
    title="language models: bent at both ends",
)
ends = np.array([1.6, 45.0])
law.loglog(ends, line_a * ends**-line_alpha, "--", color=COLOURS[1])
law.loglog(list(losses)[:4], list(losses.values())[:4], "o", color=COLOURS[0])
law.loglog(
    [32], [losses[32]], "o", color=COLOURS[0], markerfacecolor="white", markersize=8
)
law.text(
    1.75,
    0.075,
    f"line through sizes 2 to 16:\n{line_a:.2f} · n^−{line_alpha:.2f}",
    color=COLOURS[1],
)
law.annotate(
    "size 32, trained\nafterwards",
    (32, losses[32]),
    (13, 0.35),
    color=COLOURS[0],
    arrowprops={"arrowstyle": "-", "color": COLOURS[0]},
)
law.set_xticks(list(losses), [str(size) for size in losses])
law.set_yticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])
law.minorticks_off()
law.set(
    xlabel="size n of the model",
    ylabel="test loss",
    title="small models predict a larger one",
)
for (compute, n), colour in zip(
    optima.items(), (COLOURS[2], COLOURS[0], COLOURS[4]), strict=True
):
    around = n * np.logspace(-1.1, 1.1, 50)
    budget.semilogx(around, text_loss(around, compute), color=colour)
    budget.plot([n], [text_loss(n, compute)], "o", color=colour)
    budget.text(
        n, text_loss(n, compute) + 0.1, f"C = {compute:.0e}", color=colour, ha="center"
    )
budget.set(
    xlabel="size N of the model",
    ylabel="loss",
    ylim=(1.7, 3.6),
    title="every budget has its best size",
)
data.axhline(kata.exact_loss(8), color=COLOURS[1], linestyle="--")
data.text(
    512,
    kata.exact_loss(8) - 0.004,
    "smallest loss of size 8",
    color=COLOURS[1],
    ha="right",
    va="top",
)
if limited:
    data.semilogx(SAMPLES[: len(limited)], limited, "o-", color=COLOURS[0])
    data.set_xticks(SAMPLES, [str(samples) for samples in SAMPLES])
    data.minorticks_off()
else:
    data.text(
        0.5,
        0.5,
        "data_limited_loss is not written yet",
        ha="center",
        transform=data.transAxes,
    )
data.set(
    xlabel="number of samples D",
    ylabel="test loss",
    ylim=(0.19, None),
    title="more data: down to a floor",
)
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The five losses above, fitted twice. The two lines should agree but for rounding.
heading("7. NumPy against PyTorch")
ours = kata.fit_power_law(list(losses), list(losses.values()))
theirs = stretch(
    kata.fit_power_law_numpy, np.array(list(losses)), np.array(list(losses.values()))
)
print(f"   PyTorch: a = {ours[0]:.6f}, alpha = {ours[1]:.6f}")
if theirs is not None:
    print(f"   NumPy:   a = {theirs[0]:.6f}, alpha = {theirs[1]:.6f}")
    largest = max(abs(mine - other) for mine, other in zip(ours, theirs, strict=True))
    print(f"   largest difference: {largest:.1e}")

# The law with a floor has no closed form, and a grid over three numbers would be slow.
# Hoffmann et al. follow the gradient instead, by L-BFGS. Autograd gives it for free:
# write the error down, and descend. From a rough start it should come to the numbers of
# `fit_saturating` on the same losses, or slightly better: those are the best ones for a
# *given* c in another measure.
n, logs = (
    torch.tensor(values, dtype=torch.float64) for values in (list(losses), floored)
)
logs = logs.log()
# log a, alpha, log c
guess = torch.tensor([0.0, 0.5, -2.0], dtype=torch.float64, requires_grad=True)
search = torch.optim.LBFGS(
    [guess], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
)


def closure():
    search.zero_grad()
    misfit = (
        (torch.logaddexp(guess[0] - guess[1] * n.log(), guess[2]) - logs).square().sum()
    )
    misfit.backward()
    return misfit


start = closure().item()
print(f"   error at the start {start:.3f}, gradient {guess.grad.numpy().round(3)}")
search.step(closure)
end = closure().item()
a, alpha, c = guess[0].exp().item(), guess[1].item(), guess[2].exp().item()
print(
    f"   by gradient:   a = {a:.3f}, alpha = {alpha:.3f}, c = {c:.3f}, error {end:.2e}"
)
if saturating is not None:
    a, alpha, c = saturating
    rough = sum(
        (np.log(a * size**-alpha + c) - log) ** 2
        for size, log in zip(losses, logs.tolist(), strict=True)
    )
    print(
        f"   fit_saturating: a = {a:.3f}, alpha = {alpha:.3f}, c = {c:.3f}, error "
        f"{rough:.2e}"
    )
