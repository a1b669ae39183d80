"""Paper 30 in code: a reader that learns where answers usually are, the U that follows,
and two cures.
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
# Three documents, and a query that matches the one in the middle: its product with the
# query is 4, which is a score of 2 after the division by √4. The others have 0. Now a
# bias prefers both ends. Without it the middle should get e² / (e² + 2) = 0.79 of the
# attention. With a bias of 2 all scores are equal. With 4 the middle is lost, although
# its content has not changed.
heading("2. Recap of the NumPy view")
query = np.array([[2.0, 0.0, 0.0, 0.0]])
keys = np.array([[[0.0, 1.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]])
for preference in (0.0, 2.0, 4.0):
    weights = stretch(
        kata.attention_weights_numpy,
        query,
        keys,
        np.array([preference, 0.0, preference]),
    )
    if weights is None:
        break
    print(f"   bias {preference:.0f} at both ends: weights {weights[0].round(2)}")

# 3. Data
#
# A question has nine documents, each with a key of eight numbers and a value from 0
# to 4. The query is the key of one of them plus noise as large as the key itself. The
# answer is that document's value. In training most answers are at the ends: this prior
# stands for what a language model sees while it is trained.
heading("3. Data")
prior = kata.position_prior(9)
print(
    "   prior of the position:", "  ".join(f"{share:.2f}" for share in prior.tolist())
)
draws = torch.Generator().manual_seed(35)
query, keys, values, positions, answers = kata.make_examples(
    3, 9, prior=prior, generator=draws
)
for row in range(3):
    products = (keys[row] @ query[row]).round().int().tolist()
    said = f"values {values[row].tolist()}, query · key {products}"
    print(
        f"   relevant: document {positions[row].item()}, answer "
        f"{answers[row].item()}, {said}"
    )

# Is content enough? Over many questions, the document with the largest product with the
# query is not always the relevant one. Where content leaves doubt, a hint about the
# position is worth something.
query, keys, _, positions, _ = kata.make_examples(2000, 9, generator=draws)
best = (keys @ query.unsqueeze(2)).squeeze(2).argmax(dim=1)
print(
    "   the largest product is the relevant document in "
    f"{(best == positions).float().mean():.0%} of 2000 questions"
)

# 4. Model
#
# Two projections for content and nine numbers for position. The code below is the one
# that runs here: your own where the core of the kata works.
heading("4. Model")
reader = kata.Reader(9, 8, 5, 16)
shown_code(kata.Reader.attention)
shown_code(kata.Reader.forward)
query, keys, values, positions, answers = kata.make_examples(
    500, 9, prior=prior, generator=draws
)
with torch.no_grad():
    weights, log_shares = reader.attention(query, keys), reader(query, keys, values)
print(
    f"   query {tuple(query.shape)}, keys {tuple(keys.shape)}, values "
    f"{tuple(values.shape)}"
)
print(
    f"   → weights {tuple(weights.shape)} → log-probabilities {tuple(log_shares.shape)}"
)
print(
    "   mean weight by position, untrained:",
    weights.mean(dim=0).numpy().round(2),
    "(1/9 = 0.11)",
)

# 5. Training loop
#
# The trainer's body, one level lower than you write it: the loss picks each answer's
# log-probability by its index. Two levels to compare with come from readers without
# content, whose projections are zero. One gives all documents equal weights. It should
# be a little better than ln 5 = 1.61, because the relevant document has one of nine
# votes. The other knows the prior: its bias is the log of it.
heading("5. Training loop")
STEPS = 400
blind = kata.Reader(9, 8, 5, 16)
with torch.no_grad():
    for parameter in blind.parameters():
        parameter.zero_()
    for name, bias in (
        ("equal weights", torch.zeros(9)),
        ("the prior alone", prior.log()),
    ):
        blind.position_bias.copy_(bias)
        query, keys, values, _, answers = kata.make_examples(
            5000, 9, prior=prior, generator=draws
        )
        cost = -blind(query, keys, values)[torch.arange(5000), answers].mean()
        print(f"   {name}: {cost:.2f}")

# Now the reader itself. After the first backward pass every parameter has a gradient of
# its own shape.
parameters = dict(reader.named_parameters())
adam = torch.optim.Adam(parameters.values(), lr=0.02)
losses = []
for step in range(STEPS):
    query, keys, values, _, answers = kata.make_examples(
        64, 9, prior=prior, generator=draws
    )
    surprise = -reader(query, keys, values)[torch.arange(64), answers].mean()
    adam.zero_grad()
    surprise.backward()
    if step == 0:
        for name, parameter in parameters.items():
            norm = parameter.grad.norm().item()
            print(
                f"   gradient of {name:<23} {str(tuple(parameter.shape)):<8} norm "
                f"{norm:.4f}"
            )
        before = reader.position_bias[0].item()
    adam.step()
    losses.append(surprise.item())
    if step == 0:
        print(
            f"   position_bias[0] before and after: {before:.4f} → "
            f"{reader.position_bias[0].item():.4f}"
        )
for first in (0, 50, 100, 200, 380):
    print(
        f"   loss of steps {first:>3} to {first + 19:>3}: "
        f"{sum(losses[first : first + 20]) / 20:.3f}"
    )

# What has the bias become? Nobody told the reader the prior. For a reader that combines
# content and position as odds, the log of the prior is the best bias: a prediction for
# nine numbers.
learned = (reader.position_bias - reader.position_bias.mean()).detach()
print(
    "   log prior:    ",
    "  ".join(f"{x:5.2f}" for x in (prior.log() - prior.log().mean()).tolist()),
)
print("   learned bias: ", "  ".join(f"{x:5.2f}" for x in learned.tolist()))

# 6. Evaluation and figure
#
# The key result, with 1000 questions per position. The paper finds a U, and so should
# the biased reader. Two cures need no further training: bring the documents into an
# order that puts relevant ones at the ends, or measure the preference for positions
# from outside and subtract it. A second reader, trained on uniform positions, should
# have no U.
heading("6. Evaluation and figure")
torch.manual_seed(0)
even = kata.Reader(9, 8, 5, 16)
kata.train_reader(
    even, steps=STEPS, prior=None, generator=torch.Generator().manual_seed(0)
)


def curve(model, **options):
    """Accuracy by position, each time on the same questions."""
    questions = torch.Generator().manual_seed(1)
    return kata.accuracy_by_position(
        model, examples_per_position=1000, generator=questions, **options
    )


measured = stretch(
    kata.measure_position_bias, reader, generator=torch.Generator().manual_seed(2)
)
if measured is None:
    print("   the learned bias takes the place of the measured one")
    measured = learned
print(
    "   measured and learned bias differ by at most "
    f"{(measured - learned).abs().max():.2f}"
)
curves = {
    "biased": curve(reader),
    "reordered": curve(reader, reorder=True),
    "corrected": curve(reader, correction=measured),
    "uniformly trained": curve(even),
}
print(
    f"   {'position':<17} "
    + "".join(f"{position:6}" for position in range(9))
    + "   mean"
)
for name, shares in curves.items():
    print(
        f"   {name:<17} "
        + "".join(f"{share:6.2f}" for share in shares.tolist())
        + f" {shares.mean():6.2f}"
    )

# Was the bias an error, then? The table counts all positions alike. With answers where
# the prior has them, each position counts by its share, and the biased reader should
# win: its preference is right for the questions that it was trained on.
print("   mean over positions, weighted by the prior of training:")
for name, shares in curves.items():
    print(f"   {name:<17} {(prior * shares).sum():.2f}")

# How deep is the U with fewer or more documents? Each length has a reader of its own,
# trained for 200 steps.
LENGTHS = (3, 5, 9, 15, 21)
depths = stretch(
    kata.length_sweep, LENGTHS, steps=200, generator=torch.Generator().manual_seed(0)
)
if depths is not None:
    for length, depth in depths.items():
        print(f"   {length:>2} documents: both ends are {depth:.2f} above the middle")

# The figure: the four curves above, and the depth of the U over the number of
# documents below.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
for (name, shares), colour, style in zip(
    curves.items(), COLOURS, ("o-", "s--", "^-.", "d:"), strict=False
):
    above.plot(range(9), shares, style, color=colour, label=name, markersize=4)
above.axhline(0.2, color=COLOURS[6], linewidth=1, linestyle=":")
above.text(0, 0.215, "guessing")
above.set(
    xlabel="position of the relevant document",
    ylabel="share of right answers",
    ylim=(0, 1),
)
above.set_xticks(range(9))
above.set_title("One U, and two ways to flatten it")
above.legend(loc="lower right", bbox_to_anchor=(1, 0.2), ncols=2)
if depths is not None:
    below.plot(list(depths), list(depths.values()), "o-", color=COLOURS[0])
below.set(
    xlabel="number of documents",
    ylabel="ends minus middle",
    ylim=(0, 0.6),
    title="Depth of the U",
)
below.set_xticks(LENGTHS)
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The trained reader's attention on three questions, in NumPy with float64 and by the
# module with float32. NumPy gets the projected vectors. The largest difference
# is rounding.
heading("7. NumPy against PyTorch")
query, keys, values = query[:3], keys[:3], values[:3]
with torch.no_grad():
    ours = reader.attention(query, keys).numpy()
    vectors = (
        reader.query_projection(query),
        reader.key_projection(keys),
        reader.position_bias,
    )
theirs = stretch(
    kata.attention_weights_numpy, *(part.detach().double().numpy() for part in vectors)
)
if theirs is not None:
    for name, found in (("NumPy", theirs), ("PyTorch", ours)):
        print(f"   {name:<8} " + " ".join(f"{weight:.4f}" for weight in found[0]))
    print(f"   largest difference: {np.abs(theirs - ours).max():.1e}")

# How does the weight of the middle change with each bias? In NumPy each of nine numbers
# would have to be moved a little. Autograd finds all slopes at once; one of them is
# checked by hand.
exact = reader.double()
inputs = query.double(), keys.double()
(slopes,) = torch.autograd.grad(exact.attention(*inputs)[0, 4], exact.position_bias)
ends = []
with torch.no_grad():
    for nudge in (1e-5, -2e-5):
        exact.position_bias[0] += nudge
        ends.append(exact.attention(*inputs)[0, 4].item())
slope = (ends[0] - ends[1]) / 2e-5
print(
    f"   slope for position_bias[0] by moving it: {slope:.8f}, from autograd: "
    f"{slopes[0].item():.8f}"
)

# Batching replaced the loop over questions, autograd the slopes, and `nn.Module` the
# bookkeeping of weights.
