"""Paper kata 21 in code: paths and labels, a sum over all paths, and a frame classifier
that finds an alignment.
"""

from math import comb

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
# First two frames, with the probabilities 0.6 and 0.5 for the blank. Three paths stand
# for the target [1]: blank 1, 1 blank, and 1 1. Their probabilities sum to
# 0.3 + 0.2 + 0.2 = 0.7.
heading("2. Recap of the NumPy view")
coin = np.log(np.array([[0.6, 0.4], [0.5, 0.5]]))
loss = stretch(kata.ctc_forward_numpy, coin, [1])
if loss is not None:
    print(f"   [1] in two frames: probability {np.exp(-loss):.4f}, loss {loss:.4f}")

# If all classes are equally likely, the probability of a target counts its paths: it is
# their number over C^T. L labels in T frames should have C(T + L − r, 2L) paths, where
# r is the number of equal neighbours, since each of them needs a frame for its blank.
# Twenty frames of five classes have 5^20 = 95 million million paths in all. The
# recursion takes 20 · 7 steps.
uniform = np.full((20, 5), -np.log(5))
for target, repeats in (([1, 2, 3], 0), ([1, 1, 3], 1), ([1, 1, 1], 2)):
    loss = stretch(kata.ctc_forward_numpy, uniform, target)
    if loss is not None:
        print(
            f"   {target}: {comb(20 + 3 - repeats, 6)} paths expected, "
            f"{np.exp(-loss + 20 * np.log(5)):.1f} found"
        )

# 3. Data
#
# An utterance is a row of symbols. Each one is a pattern of two ones among eight
# numbers, held for two to four frames, with silence and noise. The frames come first in
# (T, B, 8). What is known of each utterance is its length and its symbols, in order. In
# which frames a symbol is, nobody says.
heading("3. Data")
generator = torch.Generator().manual_seed(0)
features, lengths, targets = kata.make_utterances(3, generator=generator)
print(f"   features {tuple(features.shape)}, lengths {lengths.tolist()}")
for b, target in enumerate(targets):
    print(f"   utterance {b}: {lengths[b]} frames, symbols {target}")
    print(f"      frame 2: {features[2, b].numpy().round(1)}")

# Below is an utterance without noise, one row per feature. Symbols last two to four
# frames, pauses one or two.
clean, _, [target] = kata.make_utterances(
    1, noise=0.0, generator=torch.Generator().manual_seed(12)
)
print(f"   without noise: symbols {target}")
for feature in range(8):
    print(
        "      " + "".join("#" if value > 0 else "." for value in clean[:, 0, feature])
    )

# 4. Model
#
# The model reads five frames around each frame, and gives the log-probabilities of four
# symbols and the blank. Below is the code that runs here, and that of the loss.
heading("4. Model")
torch.manual_seed(0)
model = kata.SpeechModel(8, 32, 5)
print("   SpeechModel.forward:")
shown_code(kata.SpeechModel.forward)
print("   ctc_forward:")
shown_code(kata.ctc_forward)
log_probs = model(features)
print(
    f"   features {tuple(features.shape)} → log-probabilities {tuple(log_probs.shape)}"
)
print(
    f"   the probabilities of frame 0 sum to {log_probs[0, 0].exp().sum().item():.4f}"
)

# An untrained model labels frames more or less at random, which is far from the truth.
print(f"   decoded before training: {kata.greedy_decode(log_probs, lengths)}")
print(f"   true symbols:            {targets}")

# 5. Training loop
#
# The mean is written out here, one level lower than you write it: the loss of each
# utterance, divided by the number of its symbols, then averaged. For the first batch
# `ctc_forward` computes it again, utterance by utterance, each without its padding. One
# utterance is kept aside, to see its best classes change. A dot is the blank.
heading("5. Training loop")
watched, watched_length, [watched_target] = kata.make_utterances(
    1, generator=torch.Generator().manual_seed(12)
)
print(f"   the utterance that is watched has the symbols {watched_target}")


def best_path():
    """The best class of each frame of the watched utterance, as text."""
    with torch.no_grad():
        return "".join(".1234"[c] for c in model(watched)[:, 0].argmax(dim=1))


STEPS = 200
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
losses, paths = [], {}
for step in range(STEPS):
    if step in (0, 5, 20, 40, 80):
        paths[step] = best_path()
    features, lengths, targets = kata.make_utterances(16, generator=generator)
    counts = torch.tensor([len(target) for target in targets])
    joined = torch.cat([torch.tensor(target) for target in targets])
    log_probs = model(features)
    per_utterance = F.ctc_loss(log_probs, joined, lengths, counts, reduction="none")
    loss = (per_utterance / counts).mean()
    model.zero_grad()
    loss.backward()
    losses.append(loss.item())
    if step == 0:
        ours = [
            kata.ctc_forward(log_probs[: lengths[b], b], target) / counts[b]
            for b, target in enumerate(targets)
        ]
        print(
            f"   first loss: {loss.item():.5f} by PyTorch, "
            f"{torch.stack(ours).mean().item():.5f} by ctc_forward"
        )
        for label, parameter in model.named_parameters():
            norm = parameter.grad.norm().item()
            print(
                f"   gradient of {label:<13} {str(tuple(parameter.shape)):<10} norm "
                f"{norm:.3f}"
            )
        before = model.conv.weight[0, 0, 0].item()
    optimizer.step()
    if step == 0:
        print(
            f"   conv.weight[0, 0, 0] before and after: {before:.4f} → "
            f"{model.conv.weight[0, 0, 0].item():.4f}"
        )
paths[STEPS] = best_path()

# The loss as it falls, and the best path of the utterance kept aside.
for step, path in paths.items():
    print(f"   step {step:>3}: loss {losses[min(step, STEPS - 1)]:.3f}   {path}")

# 6. Evaluation and figure
#
# The key result: new utterances, decoded by the best class of each frame. The paper
# predicts few errors, although no frame of the training data had a label.
heading("6. Evaluation and figure")
clean, lengths, targets = kata.make_utterances(100, noise=0.0, generator=generator)
real = torch.arange(len(clean))[:, None] < lengths
silent = (clean.abs().sum(dim=2) == 0) & real
features = (
    clean + 0.3 * torch.randn(clean.shape, generator=generator) * real[:, :, None]
)
with torch.no_grad():
    log_probs = model(features)
decoded = kata.greedy_decode(log_probs, lengths)
print(
    "   label error rate of 100 new utterances: "
    f"{kata.label_error_rate(decoded, targets):.4f}"
)
for ours, right in [
    pair for pair in zip(decoded, targets, strict=True) if pair[0] != pair[1]
][:3]:
    print(f"      wrong: {ours}, right {right}")

# Does the blank mean silence? If it did, as many frames would be labelled blank as are
# silent, and the same ones.
blank = (log_probs.argmax(dim=2) == 0) & real
print(
    f"   of the real frames {silent.sum() / real.sum():.1%} are silent, "
    f"{blank.sum() / real.sum():.1%} labelled blank"
)
print(
    "   of the frames with a symbol "
    f"{(blank & ~silent).sum() / (real & ~silent).sum():.1%} are labelled blank"
)
print(
    f"   of the silent frames {(silent & ~blank).sum() / silent.sum():.1%} are "
    "labelled with a symbol"
)

# The figure: the lattice of "hi" in four frames, each state with the number of
# beginnings that lead there. Below, the utterance kept aside and the probabilities of
# all classes. Coloured areas are the frames in which a symbol really is, which the
# model was never told.
with torch.no_grad():
    probs = model(watched)[:, 0].exp()
shared, _, _ = kata.make_utterances(
    1, noise=0.0, generator=torch.Generator().manual_seed(12)
)
sounding = (shared[:, 0].abs().sum(dim=1) > 0).tolist()
figure = Figure(figsize=(6.6, 7.8))
lattice, image, curves = figure.subplots(3, height_ratios=[1.8, 1, 2])
image.sharex(curves)
ways = {(1, 0): 1, (1, 1): 1}
for t in range(1, 5):
    for s, name in enumerate(states := "-h-i-"):
        before = [s, s - 1, s - 2] if name == "i" else [s, s - 1]
        came = [place for place in before if (t - 1, place) in ways]
        if t > 1 and came:
            ways[t, s] = sum(ways[t - 1, place] for place in came)
            lattice.plot(
                [[t - 1] * len(came), [t] * len(came)],
                [came, [s] * len(came)],
                color="0.7",
                zorder=0,
            )
for (t, s), count in ways.items():
    ends = t == 4 and s >= 3
    lattice.plot(t, s, "o", markersize=22, color=COLOURS[1 if ends else 0])
    lattice.text(t, s, count, ha="center", va="center", color="white")
lattice.set(
    xticks=range(1, 5),
    yticks=range(5),
    yticklabels=states,
    ylim=(4.6, -0.6),
    xlabel="frame",
    ylabel="state",
)
lattice.set_title("beginnings of paths in each state; 10 + 5 paths say hi")
image.imshow(watched[:, 0].T, aspect="auto", origin="lower")
image.set(ylabel="feature", title="an utterance, as the model hears it")
number = -1
for t, now in enumerate(sounding):
    number += now and not (t and sounding[t - 1])
    if now:
        curves.axvspan(
            t - 0.5,
            t + 0.5,
            color=COLOURS[watched_target[number] - 1],
            alpha=0.15,
            linewidth=0,
        )
curves.plot(probs[:, 0], color=COLOURS[6], linestyle=":", label="blank")
for c in sorted(set(watched_target)):
    curves.plot(probs[:, c], color=COLOURS[c - 1], label=f"symbol {c}")
curves.set(
    ylim=(0, 1.05), xticks=range(0, len(probs), 2), xlabel="frame", ylabel="probability"
)
curves.set_title("label spikes and blanks between (areas: where each symbol really is)")
curves.legend(loc="center left", bbox_to_anchor=(1, 0.5))
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# Four ways to the same number, for five frames and the target [1, 1].
heading("7. NumPy against PyTorch")
logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
log_probs = logits.log_softmax(dim=1)
ours = kata.ctc_forward(log_probs, [1, 1]).item()
ready = F.ctc_loss(
    log_probs, torch.tensor([1, 1]), torch.tensor(5), torch.tensor(2), reduction="sum"
).item()
print(f"   ctc_forward {ours:.6f}, F.ctc_loss {ready:.6f}")
slow = stretch(kata.ctc_brute_force, log_probs, [1, 1])
if slow is not None:
    print(f"   ctc_brute_force {slow.item():.6f}, over {3**5} paths")
theirs = stretch(kata.ctc_forward_numpy, log_probs.double().numpy(), [1, 1])
if theirs is not None:
    print(f"   ctc_forward_numpy {theirs:.6f}")
    print(f"   largest difference between NumPy and PyTorch: {abs(theirs - ours):.1e}")

# NumPy has no gradient. The paper derives it by a second recursion, backward in time.
# Autograd goes back through the first one for free, and the result has a meaning:
# softmax − gradient is the share of each class in each frame, among the paths that
# stand for the target. For the two frames of step 2, the label should have
# (0.2 + 0.2) / 0.7 = 0.571 and (0.3 + 0.2) / 0.7 = 0.714.
logits = torch.tensor(coin, dtype=torch.float32, requires_grad=True)
kata.ctc_forward(logits.log_softmax(dim=1), [1]).backward()
shares = logits.detach().softmax(dim=1) - logits.grad
print(
    "   share of the label among the paths, by frame: "
    f"{[round(share, 3) for share in shares[:, 1].tolist()]}"
)

# These shares are a soft alignment. Training moves the probabilities of every frame
# towards them.
