"""Kata 12 in code: a step of an LSTM, padding, three models of one text, and how fast
the first steps are forgotten.
"""

import re

import torch
from matplotlib.figure import Figure
from torch import nn

from grader.course import downloads
from grader.datasets import prose
from grader.lesson import code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another


def shown(row):
    return "  ".join(f"{value:5.2f}" for value in row.tolist())


# 1. One step of an LSTM, gate by gate. i, f and o are shares between 0 and 1; tanh(g)
#    is what could be written.
cell = kata.LSTMCell(3, 4)
x, h, c = (
    torch.tensor([[1.0, -1.0, 0.5]]),
    torch.zeros(1, 4),
    torch.tensor([[1.0, 1.0, -1.0, 0.0]]),
)
with torch.no_grad():
    sums = x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
    i, f, g, o = sums[0].split(4)
    new_h, new_c = cell(x, (h, c))
print("1. One step of an LSTM with four hidden features")
for name, row in {
    "the old c": c[0],
    "σ(f), what stays": f.sigmoid(),
    "σ(i), what is let in": i.sigmoid(),
    "tanh(g), of this": g.tanh(),
    "the new c": new_c[0],
    "σ(o), what is shown": o.sigmoid(),
    "the new h": new_h[0],
}.items():
    print(f"   {name:<22} {shown(row)}")

# 2. The same numbers as PyTorch's layers, over a padded batch: the final state is each
#    sequence's own.
layer = nn.LSTM(3, 4, batch_first=True)
with torch.no_grad():
    for name, parameter in cell.named_parameters():
        parameter.copy_(getattr(layer, f"{name}_l0"))
    x, lengths = torch.randn(3, 6, 3), torch.tensor([6, 2, 4])
    packed = nn.utils.rnn.pack_padded_sequence(
        x, lengths, batch_first=True, enforce_sorted=False
    )
    theirs, (last, _) = layer(packed)
    theirs, _ = nn.utils.rnn.pad_packed_sequence(theirs, batch_first=True)
    ours, (final, _) = kata.run_recurrent(cell, x, lengths)
    through, (wrong, _) = kata.run_recurrent(cell, x)
print("\n2. Three sequences of 6, 2 and 4 steps in one batch")
print(
    "   largest difference to nn.LSTM on the packed batch: "
    f"{(ours - theirs).abs().max().item():.1e}"
)
print(
    "   and of the final h:                                "
    f"{(final - last[0]).abs().max().item():.1e}"
)
print(
    "   how far the final h is off where padding is read:  "
    + shown((wrong - final).abs().amax(dim=1))
)
both = stretch(
    kata.run_bidirectional, kata.RNNCell(3, 4), kata.RNNCell(3, 4), x, lengths
)
if both is not None:
    print(f"   in both directions: outputs {tuple(both[0].shape)}")

# 3. How long is the signal? x_0 reaches h_49 through 50 steps. An RNN passes each of
#    them through W_hh and the slope of tanh. In an LSTM, c is only multiplied by the
#    forget gate: with a bias of 3 that is about σ(3) = 0.95 per step.
STEPS = 50
cells = {
    "RNN": kata.RNNCell(8, 16),
    "LSTM": kata.LSTMCell(8, 16),
    "LSTM, forget bias 3": kata.LSTMCell(8, 16),
}
with torch.no_grad():
    cells["LSTM, forget bias 3"].bias_ih[16:32] = 3.0
    cells["LSTM, forget bias 3"].bias_hh[16:32] = 0.0
print(
    f"\n3. The gradient of h_{STEPS - 1} with respect to the input of step t: its norm"
)
gru = stretch(kata.GRUCell, 8, 16)
if gru is not None:
    cells["GRU"] = gru
signal = torch.randn(4, STEPS, 8)
norms = {
    name: stretch(kata.input_gradient_norms, one, signal) for name, one in cells.items()
}
norms = {name: line for name, line in norms.items() if line is not None}
if norms:
    at = (0, 10, 20, 30, 40, STEPS - 1)
    print(f"   {'t':<20}" + "".join(f"{t:>9}" for t in at) + "   per step")
    for name, line in norms.items():
        share = (line[0] / line[-1]).item() ** (1 / (STEPS - 1))
        print(
            f"   {name:<20}"
            + "".join(f"{line[t].item():9.0e}" for t in at)
            + f"   × {share:.2f}"
        )
    with torch.no_grad():
        cells["RNN"].weight_hh *= 4
    grown = kata.input_gradient_norms(cells["RNN"], signal)
    print(
        "   With W_hh four times as large, the RNN's first norm is "
        f"{grown[0] / grown[-1]:,.0f} times its last."
    )

# 4. Three models learn the same text. The loss to beat is the entropy of the
#    characters' counts: what it costs to know how frequent each one is, and
#    nothing else.
folder = downloads.find("text")
text = (
    (folder / "tiny_shakespeare.txt").read_text(encoding="utf-8") if folder else prose()
)
# runs of blanks, lines drawn with dashes
text = re.sub(r"([^\w\s])\1{3,}", r"\1", re.sub(r"\s+", " ", text))[:200_000]
symbols = sorted(set(text))
number = {character: i for i, character in enumerate(symbols)}
data = torch.tensor([number[character] for character in text])
share = data.bincount() / len(data)
source = (
    "tiny Shakespeare"
    if folder
    else "Python's own help texts (for Shakespeare: kata data text)"
)
print(f"\n4. {len(text):,} characters of {source}, {len(symbols)} different ones")
print(
    f"   entropy of their counts: {-(share * share.log()).sum().item():.2f}; ln "
    f"{len(symbols)} = "
    f"{torch.tensor(len(symbols)).log().item():.2f} is what guessing costs"
)


def sample(model, start, length, temperature=0.6):
    """Let a model go on: one symbol at a time, each drawn from its guess and read back,
    with the state handed on.
    """
    generator = torch.Generator().manual_seed(1)
    ids, state = torch.tensor([[number[character] for character in start]]), None
    said = start
    with torch.no_grad():
        for _ in range(length):
            logits, state = model(ids, state)
            ids = torch.multinomial(
                (logits[:, -1] / temperature).softmax(-1), 1, generator=generator
            )
            said += symbols[ids.item()]
    return said


TRAINING = 160
# short windows: a step waits for each of their symbols
OPTIONS = {"batch_size": 32, "seq_len": 16, "lr": 0.015}
models = {}
print(
    f"   {'':<6}{'step 0':>8}{'40':>8}{'80':>8}{f'{TRAINING}':>8}   tokens per second"
)
for kind in ("rnn", "lstm", "gru"):
    torch.manual_seed(0)
    models[kind] = kata.CharRNN(len(symbols), 24, 96, kind)
    generator = torch.Generator().manual_seed(0)
    result = kata.train_char_rnn(
        models[kind], data, TRAINING, **OPTIONS, generator=generator
    )
    losses = result["losses"]
    means = [losses[0], *(sum(losses[t - 20 : t]) / 20 for t in (40, 80, TRAINING))]
    print(
        f"   {kind:<6}"
        + "".join(f"{mean:8.2f}" for mean in means)
        + f"{result['tokens_per_second']:16,.0f}"
    )
for kind, model in models.items():
    print(f"   {kind} goes on: {sample(model, 'The ', 100)!r}")

# 5. What the model has in mind: one row of states for each character of a sentence.
sentence = "The value of a list is a new object to be used."
sentence = "".join(character for character in sentence if character in symbols)
states = models["lstm"].hidden_states(
    torch.tensor([number[character] for character in sentence])
)
print(
    "\n"
    f"5. The states of the LSTM over a sentence of {len(sentence)} characters: "
    f"{tuple(states.shape)}"
)
blank = torch.tensor([character == " " for character in sentence])
gap = (states[blank].mean(0) - states[~blank].mean(0)) / (
    states[blank].std(0) + states[~blank].std(0)
)
order = gap.argsort(descending=True)
for unit in (order[0], order[-1]):
    after, elsewhere = states[blank, unit].mean(), states[~blank, unit].mean()
    print(
        f"   unit {unit} is at {after:5.2f} after a blank, at {elsewhere:5.2f} "
        "elsewhere"
    )

# 6. The figure: the norms of step 3, and the ten units of step 5 that tell blanks from
#    letters best.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
for (name, line), style in zip(norms.items(), ("-", "--", ":", "-."), strict=False):
    above.semilogy(line, style, label=name)
above.set(
    xlabel="step t of the input",
    ylabel="norm of the gradient",
    title=f"How much of x_t is left in h_{STEPS - 1}",
)
if norms:
    above.legend(loc="lower right", handlelength=3)
else:
    above.text(
        0.5,
        0.5,
        "input_gradient_norms is not written yet",
        ha="center",
        transform=above.transAxes,
    )
chosen = torch.cat([order[:5], order[-5:]])
values = states[:, chosen].T.numpy()
picture = below.imshow(
    values, aspect="auto", vmin=-1, vmax=1, cmap="RdBu_r", interpolation="nearest"
)
below.set_xticks(
    range(len(sentence)), list(sentence.replace(" ", "␣")), family="monospace"
)
below.set_yticks(range(len(chosen)), [str(unit) for unit in chosen.tolist()])
below.set(
    xlabel="character read",
    ylabel="unit of h",
    title="Ten of 96 states of a trained LSTM",
)
below.tick_params(length=0)
figure.colorbar(
    picture, ax=below, shrink=0.8, ticks=[-1, 0, 1], label="value of the unit"
)
save_figure(figure, __file__)
