"""Paper 14 in code: a decoder that may look back, one that may not, and where the first
one looks.
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
# Three keys with one feature each: −2, 0 and 2. Everything is a plain number here, so a
# score is 3 · tanh(query + key). Query 0 should prefer the last key. Query 2 moves all
# three into the upper half of the curve, where it is flat: the last two keys should be
# nearly equal. Without the tanh a query would add the same number to every score, and
# the softmax would not see it.
heading("2. Recap of the NumPy view")
keys = np.array([[-2.0], [0.0], [2.0]])
one = np.ones((1, 1))
print(f"{'query':>5}  {'scores':^21}  {'weights':^21}  context")
for query in (-2.0, 0.0, 2.0):
    found = stretch(
        kata.additive_attention_numpy,
        np.array([query]),
        keys,
        one,
        one,
        np.array([3.0]),
    )
    if found is None:
        break
    scores = "".join(f"{3 * math.tanh(query + key):7.2f}" for key in keys[:, 0])
    print(
        f"{query:5.0f}  {scores}  "
        + "".join(f"{share:7.2f}" for share in found[1])
        + f"  {found[0].item():7.2f}"
    )
    if query == 2.0:
        mask = np.array([True, True, False])
        context, shares = kata.additive_attention_numpy(
            np.array([query]), keys, one, one, np.array([3.0]), mask
        )
        hidden = "the same with the last key masked"
        print(
            f"{hidden:>28}  "
            + "".join(f"{share:7.2f}" for share in shares)
            + f"  {context.item():7.2f}"
        )

# 3. Data
#
# Sequences of random symbols, to be written backwards. The first symbol that is written
# was the last one read, and the last one written was the first one read: like a
# sentence whose words change places in translation.
heading("3. Data")
VOCABULARY = 12
src, lengths, tgt_in, tgt_out = kata.reverse_batch(
    3, 4, 10, VOCABULARY, torch.Generator().manual_seed(2)
)
for row, length, fed, right in zip(
    src.tolist(), lengths.tolist(), tgt_in.tolist(), tgt_out.tolist(), strict=True
):
    print(f"src (length {length:>2}) {row}")
    print(f"tgt_in          {fed}")
    print(f"tgt_out         {right}")

# 4. Model
#
# Two nets, the same but for the attention. The code below is the one that runs here:
# your own where the core of the kata works.
heading("4. Model")
HIDDEN = 32
torch.manual_seed(0)
looking = kata.Seq2Seq(VOCABULARY, HIDDEN)
torch.manual_seed(0)
fixed = kata.Seq2Seq(VOCABULARY, HIDDEN, attention=False)
nets = {"attention": looking, "one fixed vector": fixed}
shown_code(kata.BahdanauAttention.forward)
with torch.no_grad():
    logits, weights = looking(src, lengths, tgt_in)
print(
    f"src {tuple(src.shape)}, lengths {tuple(lengths.shape)}, tgt_in "
    f"{tuple(tgt_in.shape)}"
)
print(f"→ logits {tuple(logits.shape)}, weights {tuple(weights.shape)}")
for name, net in nets.items():
    print(f"{name:<17} {sum(p.numel() for p in net.parameters()):>6} parameters")

# How much does each decoder learn of the source? With attention it grows with the
# source. Without, it does not.
for length in (4, 10, 40):
    print(
        f"{length:>2} symbols: {2 * HIDDEN * length:>4} numbers to look at, or "
        f"{2 * HIDDEN} in the fixed vector"
    )

# A fresh net does not know where to look. Its weights should be near 1 / length, with
# nothing at the padding.
print(
    f"first step, source of length {lengths[1]}: {weights[1, 0].numpy().round(2)}, 1 "
    f"/ length = {1 / lengths[1]:.2f}"
)

# 5. Training loop
#
# The trainer's body, one level lower than you write it: the loss as minus the log
# probability of each right symbol, averaged over the places that hold one, and the norm
# and the clipping as arithmetic. After the first backward pass every parameter has a
# gradient of its own shape.
heading("5. Training loop")
STEPS = 140
parameters = dict(looking.named_parameters())
adam = torch.optim.Adam(parameters.values(), lr=0.01)
draws = torch.Generator().manual_seed(0)
losses, clipped = [], 0
for step in range(STEPS):
    src, lengths, tgt_in, tgt_out = kata.reverse_batch(64, 4, 10, VOCABULARY, draws)
    chances = looking(src, lengths, tgt_in)[0].log_softmax(dim=-1)
    rows, places = (tgt_out != kata.PAD).nonzero(as_tuple=True)
    surprise = -chances[rows, places, tgt_out[rows, places]].mean()
    adam.zero_grad()
    surprise.backward()
    norm = math.sqrt(sum(p.grad.pow(2).sum().item() for p in parameters.values()))
    for p in parameters.values():
        p.grad *= min(1.0, 1.0 / norm)
    clipped += norm > 1.0
    if step == 0:
        for name, p in parameters.items():
            print(
                f"gradient of {name:<28} {str(tuple(p.grad.shape)):<9} norm "
                f"{p.grad.norm().item():.4f}"
            )
        before = looking.head.weight[0, 0].item()
    adam.step()
    losses.append(surprise.item())
    if step == 0:
        print(
            f"head.weight[0, 0] before and after: {before:.4f} → "
            f"{looking.head.weight[0, 0].item():.4f}"
        )

# A fresh net guesses among all twelve symbols, at a loss of ln 12 = 2.48. PAD and BOS
# are never written: knowing that alone brings ln 10 = 2.30. To get below it, the net
# has to look at the source.
for step in (0, 25, 50, 75, 100, 139):
    print(f"loss of step {step:>3}: {losses[step]:.3f}")
print(f"the gradient was longer than 1 in {clipped} of {STEPS} steps")

# 6. Evaluation and figure
#
# The net without attention gets the same training. Then both write 200 new sequences of
# each length, with the right symbols fed in. Lengths above 10 are new to them. The
# prediction of the paper: one line falls, the other holds.
heading("6. Evaluation and figure")
kata.train_seq2seq(fixed, steps=STEPS, generator=torch.Generator().manual_seed(0))
LENGTHS = (4, 5, 6, 7, 8, 9, 10, 12, 14, 16)
accuracy = {name: [] for name in nets}
alignments = {}
for length in LENGTHS:
    draws = torch.Generator().manual_seed(1)
    src, lengths, tgt_in, tgt_out = kata.reverse_batch(
        200, length, length, VOCABULARY, draws
    )
    for name, net in nets.items():
        with torch.no_grad():
            logits, weights = net(src, lengths, tgt_in)
        accuracy[name].append((logits.argmax(dim=-1) == tgt_out).float().mean().item())
        if net is looking:
            alignments[length] = weights
print(f"{'length':<17}" + "".join(f"{length:>6}" for length in LENGTHS))
for name, shares in accuracy.items():
    print(f"{name:<17}" + "".join(f"{share:6.2f}" for share in shares))

# Where did the net look? To write symbol t of a reversal it needs symbol
# length − 1 − t. The mass near that place should be far above the 0.28 of uniform
# weights at length 10.
for length in (4, 10, 16):
    mass = stretch(
        kata.alignment_mass, alignments[length], length - 1 - torch.arange(length)
    )
    if mass is None:
        break
    uniform = (3 * length - 2) / length**2
    print(
        f"length {length:>2}: weight within 1 of the mirrored place {mass:.2f}, "
        f"uniform weights {uniform:.2f}"
    )

# On their own, the nets read what they have written themselves, and an error leads to
# others. Three sequences of length 10, written backwards. Errors are marked with
# a star.
src, lengths, _, tgt_out = kata.reverse_batch(
    3, 10, 10, VOCABULARY, torch.Generator().manual_seed(3)
)
for name, net in nets.items():
    written = stretch(kata.greedy_translate, net, src, lengths, 10)
    if written is None:
        break
    for line, right in zip(written.tolist(), tgt_out.tolist(), strict=True):
        marked = " ".join(
            f"{a:>2}{' ' if a == b else '*'}" for a, b in zip(line, right, strict=True)
        )
        print(f"{name:<17} {marked}")

# The figure: accuracy against length, and the weights of one sequence of ten symbols as
# the paper draws them, one row per written symbol.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
above.axvspan(10.5, 16.5, color="0.93")
above.text(13.5, 0.03, "longer than in training", ha="center", color="0.35")
above.axhline(0.1, color=COLOURS[6], linewidth=1, linestyle=":")
above.text(3.7, 0.12, "guessing")
for (name, shares), colour, style in zip(
    accuracy.items(), (COLOURS[0], COLOURS[1]), ("o-", "s--"), strict=True
):
    above.plot(LENGTHS, shares, style, color=colour, label=name, markersize=4)
above.set(
    xlabel="length of the sequence",
    ylabel="symbols right",
    xlim=(3.5, 16.5),
    ylim=(0, 1.03),
)
above.set_title("One vector loses long sequences")
above.legend(loc="lower left", bbox_to_anchor=(0.0, 0.17))
sample = 0
source = kata.reverse_batch(200, 10, 10, VOCABULARY, torch.Generator().manual_seed(1))[
    0
][sample]
image = below.imshow(alignments[10][sample], vmin=0, vmax=1)
below.set_xticks(range(10), source.tolist())
below.set_yticks(range(10), source.flip(0).tolist())
below.set(
    xlabel="source, as it is read",
    ylabel="reversal, from top to bottom",
    title="Where the net looks",
)
figure.colorbar(image, ax=below, label="attention weight")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# One look of the trained net at one source of five symbols, padded to eight: in NumPy
# with float64, and by the module with float32. The largest difference is rounding.
heading("7. NumPy against PyTorch")
attention = looking.attention
torch.manual_seed(1)
s, states, mask = (
    torch.rand(1, HIDDEN),
    torch.rand(1, 8, 2 * HIDDEN),
    torch.arange(8)[None] < 5,
)
with torch.no_grad():
    context, weights = attention(s, states, mask)
tensors = (
    s[0],
    states[0],
    attention.W_a.weight,
    attention.U_a.weight,
    attention.v_a.weight[0],
)
arrays = [tensor.detach().double().numpy() for tensor in tensors]
found = stretch(kata.additive_attention_numpy, *arrays, mask[0].numpy())
if found is not None:
    print("weights, NumPy:  ", found[1].round(4))
    print("weights, PyTorch:", weights[0].numpy().round(4))
    gap = max(
        np.abs(found[0] - context[0].numpy()).max(),
        np.abs(found[1] - weights[0].numpy()).max(),
    )
    print(f"largest difference of context and weights: {gap:.1e}")

# How does the weight of the first place change with each number of W_a, U_a and v_a? In
# NumPy every number would have to be moved a little, one by one. Autograd finds all
# slopes at once; one of them is checked by hand.
exact, inputs = attention.double(), (s.double(), states.double(), mask)
slopes = torch.autograd.grad(
    exact(*inputs)[1][0, 0], [exact.U_a.weight, exact.W_a.weight, exact.v_a.weight]
)
ends = []
with torch.no_grad():
    for nudge in (1e-5, -2e-5):
        exact.U_a.weight[3, 5] += nudge
        ends.append(exact(*inputs)[1][0, 0].item())
slope = (ends[0] - ends[1]) / 2e-5
print(
    f"slope for U_a[3, 5] by moving it: {slope:.8f}, from autograd: "
    f"{slopes[0][3, 5].item():.8f}"
)
print(
    f"slopes that came with it for free: {sum(slope.numel() for slope in slopes) - 1}"
)
print(
    "PyTorch replaced the loop over the batch, the backward pass through all steps, "
    "and the bookkeeping of weights."
)
