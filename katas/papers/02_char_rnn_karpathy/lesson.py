"""Paper 02 in code: one recurrence, trained on a stream of characters, which then
writes what it has learned.
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
# Karpathy's program min-char-rnn.py is NumPy throughout. Its forward pass is a loop
# over characters with one vector h. Here two words are read that end alike, by weights
# that nobody has trained. Do the logits after the last letter differ? Only h can tell
# the words apart.
heading("2. Recap of the NumPy view")
stoi, itos = kata.build_vocab("drag fog")
print("the vocabulary of 'drag fog':", stoi)
draws, V, H = np.random.default_rng(0), len(itos), 4
arrays = {
    "W_xh": draws.uniform(-1, 1, (H, V)),
    "W_hh": draws.uniform(-1, 1, (H, H)),
    "W_hy": draws.uniform(-1, 1, (V, H)),
    "b_h": np.zeros(H),
    "b_y": np.zeros(V),
}
for word in ("drag", "fog"):
    read = stretch(
        kata.rnn_forward_numpy,
        [stoi[character] for character in word],
        np.zeros(H),
        **arrays,
    )
    if read is not None:
        states, logits = read
        print(
            f"{word!r}: states {states.shape}, logits {logits.shape}; the last h is "
            f"{states[-1].round(2)}"
        )

# 3. Data
#
# One sentence with 125 characters, written for this kata, is learned by heart. The
# stream is the sentence twice over, so that its end is followed by its beginning. Each
# chunk is a pair: what is read, and what follows at each place.
heading("3. Data")
stoi, itos = kata.build_vocab(kata.TEXT)
ids = torch.tensor([stoi[character] for character in kata.TEXT])
stream = ids.repeat(2)
pairs = kata.chunks(stream, 25)


def text_of(numbers):
    return "".join(itos[number] for number in numbers.tolist())


print(f"{len(ids)} characters, {len(itos)} different ones: {''.join(itos)!r}")
for inputs, targets in pairs[:3]:
    print(f"read {text_of(inputs)!r}, predict {text_of(targets)!r}")
print(
    f"{len(stream)} characters give {len(pairs)} chunks of 25; the rest is too short "
    "for one more"
)

# 4. Model
#
# Five parameters and one formula. The code below is the one that runs here: your own
# where the core of the kata works.
heading("4. Model")
SIZE = 64
model = kata.CharRNN(len(itos), SIZE)
shown_code(kata.CharRNN.forward)
logits, h = model(pairs[0][0][None])
print(
    f"ids {tuple(pairs[0][0][None].shape)} → logits {tuple(logits.shape)} and the "
    f"last h {tuple(h.shape)}"
)
print(
    "parameters:",
    {name: tuple(parameter.shape) for name, parameter in model.named_parameters()},
)

# A model that knows nothing gives each of the 21 characters about the same probability.
# The loss of that is ln 21.
chances = logits[0, -1].softmax(dim=-1)
print(
    f"probabilities from {chances.min().item():.3f} to {chances.max().item():.3f}; "
    f"1/21 = {1 / 21:.3f}"
)
print(f"prediction for the first loss: ln 21 = {math.log(21):.2f}")

# 5. Training loop
#
# The trainer's body, one level lower than you write it: the loss as minus the log
# probability of what came next, the norm and the clipping as arithmetic. The state goes
# from chunk to chunk, its graph does not. After the first backward pass every parameter
# has a gradient of its own shape.
heading("5. Training loop")
STEPS, MAX_NORM = 300, 5.0
parameters = dict(model.named_parameters())
adam = torch.optim.Adam(parameters.values(), lr=0.01)
losses, written = [], {}
state = None
for step in range(STEPS + 1):
    if step in (0, 20, 50, 300):
        written[step] = text_of(kata.sample(model, ids[:5], 70, temperature=0))
    if step == STEPS:
        break
    inputs, targets = pairs[step % len(pairs)]
    if step % len(pairs) == 0:
        state = None  # the stream starts again
    scores, state = model(inputs.view(1, -1), state)
    state = state.detach()
    surprise = -scores.squeeze(0).log_softmax(dim=1)[torch.arange(25), targets]
    loss = surprise.mean()
    adam.zero_grad()
    loss.backward()
    norm = math.sqrt(sum(p.grad.pow(2).sum().item() for p in parameters.values()))
    for p in parameters.values():
        p.grad *= min(1.0, MAX_NORM / norm)
    if step == 0:
        for name, p in parameters.items():
            print(
                f"gradient of {name:<5} {str(tuple(p.grad.shape)):<9} norm "
                f"{p.grad.norm().item():.3f}"
            )
        before = model.W_hh[0, 0].item()
    adam.step()
    losses.append(loss.item())
    if step == 0:
        print(
            f"W_hh[0, 0] before and after the first step: {before:.4f} → "
            f"{model.W_hh[0, 0].item():.4f}"
        )

# Adam's first step has the length of the learning rate, 0.01, whatever the size of
# the gradient.
for step in (0, 25, 50, 100, 150, 200, 250, 299):
    print(f"loss of step {step:>3}: {losses[step]:.3f}")

# One chunk of the nine is learned later than the others. It holds the end of the
# sentence, which is read once per pass: where it comes up the second time, the stream
# is over. Everything else is read twice.
late = max(range(len(pairs)), key=lambda place: losses[9 * 6 + place])
print(
    f"the highest loss of the seventh pass: {losses[9 * 6 + late]:.2f}, at "
    f"{text_of(pairs[late][0])!r}"
)

# 6. Evaluation and figure
#
# What does the model write after "the w", always with the most probable character? The
# samples were taken on the way: first noise, then words, then a phrase that leads back
# to its own beginning. In the end all 120 characters should be right.
heading("6. Evaluation and figure")
for step, said in written.items():
    print(f"after {step:>3} steps: 'the w' → {said!r}")
new = kata.sample(model, ids[:5], 120, temperature=0)
print(f"the last 20 losses have a mean of {sum(losses[-20:]) / 20:.4f}")
print(f"right: {int((new == ids[5:]).sum())} of 120 characters")

# A temperature above 1 makes the model bolder. At 2 it misspells a word and finds its
# way back, at 3 it is mostly lost.
for temperature in (1.0, 2.0, 3.0):
    draws = torch.Generator().manual_seed(0)
    said = text_of(
        kata.sample(model, ids[:5], 60, temperature=temperature, generator=draws)
    )
    print(f"temperature {temperature:.0f}: {said!r}")

# Five places of the sentence have just read "the ", and four different words follow.
# How does the model know which one? By its state: the units have other values at each
# of these places.
with torch.no_grad():
    h, rows = None, []
    for place in range(len(ids)):
        _, h = model(ids[place].view(1, 1), h)
        rows.append(h[0])
activity = torch.stack(rows)  # (characters, units)
ends = [
    place
    for place in range(3, len(ids))
    if text_of(ids[place - 3 : place + 1]) == "the "
]
for place in ends:
    follows = text_of(ids[place + 1 : place + 6])
    print(
        f"after 'the ' at place {place:>3} comes {follows!r}; units 0 to 3: "
        f"{activity[place, :4].numpy().round(2)}"
    )

# The figure: the loss, and what the units do while the model reads. Two frames mark the
# characters "the ", which come up twice: the same letters, in different states.
figure = Figure(figsize=(6.6, 5.6))
first, second = figure.subplots(2)
first.plot(losses, color=COLOURS[0])
first.axhline(math.log(21), color=COLOURS[6], linestyle="--", linewidth=1)
first.annotate(
    "ln 21: knows nothing",
    (STEPS, math.log(21)),
    (0, -4),
    textcoords="offset points",
    ha="right",
    va="top",
)
first.set(
    xlabel="step",
    ylabel="loss, nats per character",
    title="From guessing to knowing by heart",
    ylim=(0, 3.3),
)
SHOWN = 50
chosen = (activity > 0).float().mean(dim=0).argsort()[:: SIZE // 16]
picture = second.imshow(
    activity[:SHOWN, chosen].T.numpy(), aspect="auto", vmin=-1, vmax=1, cmap="RdBu_r"
)
second.set_xticks(
    range(SHOWN), list(kata.TEXT[:SHOWN].replace(" ", "␣")), family="monospace"
)
second.set_yticks(range(len(chosen)), [str(unit) for unit in chosen.tolist()])
for place in (0, 20):
    second.axvspan(
        place - 0.5, place + 3.5, fill=False, edgecolor=COLOURS[6], linewidth=2.5
    )
second.set(
    xlabel="character read",
    ylabel="hidden unit",
    title="16 of 64 units: “the ” twice, in different states",
)
second.tick_params(length=0)
figure.colorbar(
    picture, ax=second, shrink=0.8, ticks=[-1, 0, 1], label="value of the unit"
)
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The trained weights as arrays, and the same chunk read twice: by the NumPy loop in
# float64, and by the model in float32. The largest difference is rounding.
heading("7. NumPy against PyTorch")
arrays = {
    name: parameter.detach().double().numpy()
    for name, parameter in model.named_parameters()
}
read = stretch(kata.rnn_forward_numpy, pairs[0][0].tolist(), np.zeros(SIZE), **arrays)
with torch.no_grad():
    logits, h = model(pairs[0][0][None])
if read is not None:
    print("logits of the first place, NumPy: ", read[1][0, :4].round(4))
    print("logits of the first place, PyTorch:", logits[0, 0, :4].numpy().round(4))
    print(
        "largest difference of all logits: "
        f"{np.abs(read[1] - logits[0].numpy()).max():.1e}"
    )

# min-char-rnn.py also derives the backward pass by hand: from the last character to the
# first, each state gets what its own logits and the next state hand back to it.
# Autograd does this walk from the forward pass alone. The model in float64, one chunk,
# and all five gradients by both: they should agree to rounding.
exact = kata.CharRNN(len(itos), SIZE).double()


def loss_of_a_chunk():
    inputs, targets = pairs[0]
    return torch.nn.functional.cross_entropy(
        exact(inputs[None], torch.zeros(1, SIZE).double())[0][0], targets
    )


loss_of_a_chunk().backward()
arrays = {
    name: parameter.detach().numpy() for name, parameter in exact.named_parameters()
}
numbers, nexts = pairs[0][0].tolist(), pairs[0][1].tolist()
read = stretch(kata.rnn_forward_numpy, numbers, np.zeros(SIZE), **arrays)
if read is not None:
    through = arrays["W_hh"], arrays["W_hy"]
    by_hand = stretch(
        kata.rnn_backward_numpy, numbers, nexts, np.zeros(SIZE), *read, *through
    )
    for name, array in (by_hand or {}).items():
        automatic = getattr(exact, name).grad.numpy()
        print(
            f"gradient of {name:<5} norm {np.linalg.norm(array):.4f}, to autograd "
            f"{np.abs(array - automatic).max():.0e}"
        )

# How far back does a state get anything? The loss of the last character alone, and its
# gradient for the state t places before: it is multiplied with W_hh and the slope of a
# tanh at each place, and shrinks.
parts, h = [], torch.zeros(1, SIZE).double()
for character in numbers:
    _, h = exact(torch.tensor([[character]]), h)
    h.retain_grad()
    parts.append(h)
torch.nn.functional.cross_entropy(
    h @ exact.W_hy.T + exact.b_y, torch.tensor(nexts[-1:])
).backward()
norms = [part.grad.norm().item() for part in parts]
print(
    "gradient of the state t places before the end:",
    {t: f"{norms[-1 - t]:.0e}" for t in (0, 5, 10, 20)},
)

# Neither of the two needs to be believed. The check is a difference quotient: move one
# weight by ±ε, and see how the loss moves.
exact.zero_grad()
loss_of_a_chunk().backward()
gradient, epsilon = exact.W_hh.grad[0, 1].item(), 1e-5
with torch.no_grad():
    exact.W_hh[0, 1] += epsilon
    above = loss_of_a_chunk().item()
    exact.W_hh[0, 1] -= 2 * epsilon
    below = loss_of_a_chunk().item()
print(
    f"gradient of W_hh[0, 1]: autograd {gradient:.8f}, difference quotient "
    f"{(above - below) / (2 * epsilon):.8f}"
)
print(
    "PyTorch replaced the backward pass (autograd), the loop over texts (a batch), "
    "the list of arrays (nn.Module)."
)
