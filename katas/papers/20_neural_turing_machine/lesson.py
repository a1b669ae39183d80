"""Paper kata 20 in code: soft addresses, a memory that is written and read, and copying
beyond the training lengths.
"""

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
# Three slots of two numbers, and the key [1, 0]. The first slot is short and has the
# direction of the key. The second is long and 45° off, the third opposite. The cosines
# are 1, 0.71 and −1. Strength 0 should give each slot the same weight, strength 20
# should find the first slot.
heading("2. Recap of the NumPy view")
slots = np.array([[[0.1, 0.0], [8.0, 8.0], [-3.0, 0.0]]])
for strength in (0.0, 2.0, 20.0):
    found = stretch(
        kata.content_weights_numpy,
        slots,
        np.array([[1.0, 0.0]]),
        np.array([[strength]]),
    )
    if found is not None:
        print(f"   strength {strength:4.0f}: weights {found[0].round(3)}")

# 3. Data
#
# Three sequences, of one, two and three rows of bits. First the rows are shown, then as
# many empty rows with a flag: a model has to give the bits back, in order.
heading("3. Data")
generator = torch.Generator().manual_seed(0)
for length in (1, 2, 3):
    x, bits = kata.make_copy_batch(1, length, 4, generator)
    rows = [" ".join(f"{value:.0f}" for value in row) for row in x[0]]
    wanted = ["-------"] * length + [
        " ".join(f"{value:.0f}" for value in row) for row in bits[0]
    ]
    print("   bits and flag  → wanted")
    for row, answer in zip(rows, wanted, strict=True):
        print(f"   {row}      → {answer}")

# 4. Model
#
# An address is chosen in two ways. By content: which slots resemble a key? By location:
# take the address of the step before and move it. The code below is the one that
# runs here.
heading("4. Model")
print("   location_weights:")
shown_code(kata.location_weights)

# A sharp address on slot 2 of six, moved by +1 with a probability of 0.8, four times
# over. Without sharpening it should blur, with a power of 3 it should hold.
shift, gate = torch.tensor([[0.0, 0.2, 0.8]]), torch.zeros(1, 1)
for power in (1.0, 3.0):
    address = torch.eye(6)[[2]]
    for _ in range(4):
        address = kata.location_weights(
            address, address, gate, shift, torch.full((1, 1), power)
        )
    print(f"   sharpen {power:.0f}: {address[0].numpy().round(2)}")

# Two slots, [4, 4] and [1, 1], and an address with 0.5 on the first and 0 on the
# second. Erase [1, 0] and add [6, 6] should leave [2 + 3, 4 + 3] on the first slot. The
# other slot should stay as it is.
memory, weights = torch.tensor([[[4.0, 4.0], [1.0, 1.0]]]), torch.tensor([[0.5, 0.0]])
memory = kata.write_memory(
    memory, weights, torch.tensor([[1.0, 0.0]]), torch.tensor([[6.0, 6.0]])
)
print(f"   memory after a write: {memory[0].tolist()}")
print(
    "   read with weights 0.5, 0.5: "
    f"{kata.read_memory(memory, torch.tensor([[0.5, 0.5]]))[0].tolist()}"
)

# The machine has 16 slots of 6 numbers and a controller of 32 units. The number of
# slots is in no layer's shape: a larger memory costs no parameters.
torch.manual_seed(0)
WIDTH, SLOTS = 4, 16
models = {
    "NTM": kata.NTM(WIDTH + 1, WIDTH, SLOTS, 6, 32),
    "LSTM": kata.LSTMCopier(WIDTH + 1, WIDTH, 48),
}
ntm = models["NTM"]
x, _ = kata.make_copy_batch(2, 3, WIDTH, generator)
for name, part in zip(("logits", "read weights", "write weights"), ntm(x), strict=True):
    print(f"   x {tuple(x.shape)} → {name} {tuple(part.shape)}")
for name, parameter in ntm.named_parameters():
    print(f"   {name:<18} {tuple(parameter.shape)}")
for name, model in models.items():
    print(
        f"   {name}: {sum(parameter.numel() for parameter in model.parameters())} "
        "parameters"
    )

# 5. Training loop
#
# Both models learn side by side, on the same batches of one to four rows. The loss is
# written as log probabilities here, and the clipping as arithmetic, one level lower
# than you write it. A model that knows nothing has a loss of ln 2 = 0.69.
heading("5. Training loop")
STEPS, LONGEST, BATCH = 220, 4, 48
losses = {name: [] for name in models}
optimizers = {
    name: torch.optim.Adam(model.parameters(), lr=2e-2)
    for name, model in models.items()
}
for step in range(STEPS):
    length = int(torch.randint(1, LONGEST + 1, (), generator=generator))
    x, bits = kata.make_copy_batch(BATCH, length, WIDTH, generator)
    for name, model in models.items():
        logits = model(x)[0] if name == "NTM" else model(x)
        surprises = -F.logsigmoid((2 * bits - 1) * logits[:, length:])
        loss = surprises.mean()
        model.zero_grad()
        loss.backward()
        losses[name].append(loss.item())
        norm = math.sqrt(
            sum(
                parameter.grad.square().sum().item() for parameter in model.parameters()
            )
        )
        if step == 0 and model is ntm:
            for label, parameter in model.named_parameters():
                own = parameter.grad.norm().item()
                print(
                    f"   gradient of {label:<18} {str(tuple(parameter.shape)):<9} "
                    f"norm {own:.4f}"
                )
            print(f"   norm of all gradients {norm:.3f}")
            before = model.output.weight[0, 0].item()
        for parameter in model.parameters():
            parameter.grad *= min(1.0, 1.0 / norm)
        optimizers[name].step()
        if step == 0 and model is ntm:
            after = model.output.weight[0, 0].item()
            print(
                "   output.weight[0, 0] before and after the first step: "
                f"{before:.4f} → {after:.4f}"
            )

# The loss as it falls, in means over 20 steps.
print("   steps         NTM     LSTM")
for first in (0, 20, 40, 80, 120, 200):
    means = [sum(curve[first : first + 20]) / 20 for curve in losses.values()]
    print(f"   {first:>3} to {first + 19:>3}    {means[0]:.3f}   {means[1]:.3f}")

# 6. Evaluation and figure
#
# The key result. Sequences of four rows were the longest in training. The paper
# predicts that the NTM goes on beyond them and that the LSTM does not. Guessing has
# half of the bits.
heading("6. Evaluation and figure")
LENGTHS = (1, 2, 3, 4, 6, 8, 10, 12, 14)
scores = {
    name: [
        kata.copy_accuracy(model, length, WIDTH, generator=generator)
        for length in LENGTHS
    ]
    for name, model in models.items()
}
print("   length  " + "".join(f"{length:>7}" for length in LENGTHS))
for name, found in scores.items():
    print(f"   {name:<8}" + "".join(f"{share:7.3f}" for share in found))

# What has it learned? The slots with the largest weight, step by step, for one sequence
# of 12 rows: three times as long as the longest in training. A procedure should show as
# a walk, once for writing and once more for reading.
x, bits = kata.make_copy_batch(1, 12, WIDTH, generator)
with torch.no_grad():
    logits, reading, writing = ntm(x)
print(f"   written to, while shown: {writing[0, :12].argmax(dim=1).tolist()}")
print(f"   read from, while shown:  {reading[0, :12].argmax(dim=1).tolist()}")
print(f"   read from, at recall:    {reading[0, 12:].argmax(dim=1).tolist()}")
print(
    f"   bits right: {((logits[0, 12:] > 0) == bits[0].bool()).sum().item()} of "
    f"{bits.numel()}"
)

# A read head that is one slot ahead of the row to be given is no slip. A vector reaches
# the output twice: at once, and in the next step, through the controller. To see which
# way counts, each is closed in turn.
with torch.no_grad():
    for name, layer in (
        ("output does not see the new vector", ntm.output),
        ("controller sees no vector", ntm.controller),
    ):
        weight = layer.weight.clone()
        layer.weight[:, -6:] = 0.0
        print(
            f"   {name:<35} "
            f"{kata.copy_accuracy(ntm, 4, WIDTH, generator=generator):.3f} of the "
            "bits right, 4 rows"
        )
        layer.weight.copy_(weight)

# The heads' numbers tell how an address was found. The gate is 1 for an address by
# content and 0 for one by location. The shift is a choice among −1, 0 and +1. A hook
# notes what each head asks for.
asked = {"write": [], "read": []}
hooks = [
    ntm.write_head.register_forward_hook(
        lambda layer, inputs, numbers: asked["write"].append(numbers[0])
    ),
    ntm.read_head.register_forward_hook(
        lambda layer, inputs, numbers: asked["read"].append(numbers[0])
    ),
]
with torch.no_grad():
    ntm(x)
for hook in hooks:
    hook.remove()
for head, place, phase in (
    ("write", 0, "shown"),
    ("read", 0, "shown"),
    ("read", 12, "recall"),
):
    numbers = torch.stack(asked[head])[place : place + 12]
    gates, moves = numbers[:, 7].sigmoid(), numbers[:, 8:11].softmax(dim=1)
    print(
        f"   {head:<5} head, {phase:<6} first gate {gates[0]:.2f}, mean of the others "
        f"{gates[1:].mean():.2f}",
        end="",
    )
    print(f", shares of the moves −1, 0, +1: {moves[1:].mean(dim=0).numpy().round(2)}")

# The figure: accuracy by length, and both addresses over time for the sequence of 12
# rows. Two parallel diagonals are the procedure.
figure = Figure(figsize=(6.6, 8.3))
curves, shown, recalled = figure.subplots(3)
for (name, found), colour in zip(scores.items(), COLOURS, strict=False):
    curves.plot(LENGTHS, found, color=colour, marker="o", markersize=4)
    curves.text(
        9,
        found[5] - 0.05 if name == "NTM" else found[5] + 0.02,
        name,
        color=colour,
        va="center",
    )
curves.axvspan(0.5, 4.3, color="0.92")
curves.text(2.4, 0.36, "trained", ha="center")
curves.set(
    xlim=(0.5, 14.5),
    ylim=(0.33, 1.03),
    xlabel="rows to copy",
    ylabel="share of bits right",
    xticks=range(2, 15, 2),
)
curves.set_title("the memory copies on, the LSTM stops")
for axes, part, title in (
    (shown, writing, "write address"),
    (recalled, reading, "read address"),
):
    axes.imshow(part[0].T, aspect="auto", vmin=0, vmax=1)
    axes.axvline(11.5, color="white", linestyle=":", linewidth=1)
    axes.text(5.5, -0.9, "shown", ha="center")
    axes.text(17.5, -0.9, "recall", ha="center")
    axes.set(xlabel="step", ylabel="slot", xticks=range(0, 24, 6))
    axes.set_title(title, pad=14)
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The same address by content in NumPy and in PyTorch, for random memories and keys.
heading("7. NumPy against PyTorch")
memory, key, strength = (
    torch.randn(size, generator=generator) for size in ((4, SLOTS, 6), (4, 6), (4, 1))
)
strength = strength.exp()
ours = kata.content_weights(memory, key, strength)
theirs = stretch(
    kata.content_weights_numpy,
    *(part.double().numpy() for part in (memory, key, strength)),
)
if theirs is not None:
    print(f"   NumPy:   {theirs[0, :5].round(5)}")
    print(f"   PyTorch: {ours[0, :5].numpy().round(5)}")
    print(f"   largest difference: {np.abs(theirs - ours.numpy()).max():.1e}")

# In NumPy the gradient would have to be worked out by hand, through every read and
# write of a sequence. Autograd does that for free. One number shows it: a weight of the
# write head, moved by hand, against its gradient.
exact = ntm.double()
x, bits = (part.double() for part in kata.make_copy_batch(4, 3, WIDTH, generator))


def loss_of(model):
    return F.binary_cross_entropy_with_logits(model(x)[0][:, 3:], bits)


(gradient,) = torch.autograd.grad(loss_of(exact), exact.write_head.weight)
row, column = divmod(int(gradient.abs().argmax()), gradient.shape[1])
ends = []
with torch.no_grad():
    for nudge in (1e-5, -2e-5):
        exact.write_head.weight[row, column] += nudge
        ends.append(loss_of(exact).item())
slope, exactly = (ends[0] - ends[1]) / 2e-5, gradient[row, column].item()
print(
    f"   slope by moving one weight of the write head: {slope:.6f}, from autograd: "
    f"{exactly:.6f}"
)

# Batching replaced the loops over sequences and slots: all sequences of a step have one
# length. The loop over steps stays, because each step reads what the one before
# has written.
